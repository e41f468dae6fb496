package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
)

// Worker is a Watermill subscriber for automation workers. The members of a group share the messages of a topic: each
// message goes to one of them, at least once, and never to two at a time. A message that is refused (nacked) comes again
// after a pause, a limited number of times, and then goes to the topic's dead-letter stream, as does at once what is no
// message, and what a handler neither takes nor refuses in time. If a member dies, others get what it had in hand.
//
// A subscription hands out one message after the other, in their order but for those of members that have died. Whoever
// wants to work on several at a time subscribes several times. Redis is no source here either: what it loses before a
// member has read it is not delivered, and what it gets again (after a restart, from a relay) is delivered again.
type Worker struct {
	client  *goredis.Client
	group   string
	name    string
	log     *slog.Logger
	options workerOptions

	ctx     context.Context // of all subscriptions, until Close
	stop    context.CancelFunc
	mu      sync.Mutex // over adding to running, once closed
	running sync.WaitGroup
	members int
}

var _ message.Subscriber = (*Worker)(nil)

// workerOptions are what WorkerOptions set.
type workerOptions struct {
	attempts int
	pause    time.Duration
	limit    time.Duration
}

// WorkerOption sets up a Worker.
type WorkerOption func(*workerOptions)

// WithAttempts sets how often a message is delivered before it goes to the dead-letter stream. The default is 5.
func WithAttempts(n int) WorkerOption { return func(o *workerOptions) { o.attempts = max(1, n) } }

// WithPause sets how long a message waits that was refused once. Each further wait is twice as long, up to half the time
// limit of a handler. The default is 100 ms.
func WithPause(d time.Duration) WorkerOption { return func(o *workerOptions) { o.pause = d } }

// WithLimit sets how much time a handler has for a message, whose context ends then. The default is 30 seconds.
func WithLimit(d time.Duration) WorkerOption { return func(o *workerOptions) { o.limit = d } }

// grace is how long a handler has to notice that its message's context has ended.
func (o workerOptions) grace() time.Duration { return o.limit / 2 }

// idle is after how long without a sign of life a message is taken from its member: more than that holds it for.
func (o workerOptions) idle() time.Duration { return 3 * o.limit }

// NewWorker returns a member of group. Name tells the members of a group apart; a member that comes back under its name
// goes on with what it had in hand. The client is the caller's, also to close.
func NewWorker(client *goredis.Client, group, name string, log *slog.Logger, options ...WorkerOption) *Worker {
	w := &Worker{client: client, group: group, name: name, log: log, options: workerOptions{5, 100 * time.Millisecond, 30 * time.Second}}
	for _, option := range options {
		option(&w.options)
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

// errClosed is what subscribing ends with after Close.
var errClosed = fmt.Errorf("%w: the worker is closed", domain.ErrUnavailable)

// Subscribe implements message.Subscriber. The channel is closed when ctx ends, or at Close, and for no other reason. Redis
// need not be there.
func (w *Worker) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return nil, errClosed
	}
	w.members++
	ctx, stop := context.WithCancel(ctx)
	unlink := context.AfterFunc(w.ctx, stop)
	s := &subscription{Worker: w, topic: topic, member: fmt.Sprintf("%s-%d", w.name, w.members), out: make(chan *message.Message), most: 1, own: "0"}
	w.running.Go(func() {
		defer stop()
		defer unlink()
		defer close(s.out)
		s.run(ctx)
	})
	return s.out, nil
}

// Close ends all subscriptions and waits for them. What they have in hand goes to others. The client stays open.
func (w *Worker) Close() error {
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running.Wait()
	return nil
}

// Sizes and times of a subscription.
const (
	mostInHand = 100                    // messages read at once
	soon       = 100 * time.Millisecond // within which messages that were read together are to be done, and answered for
)

// subscription is one member at one topic.
type subscription struct {
	*Worker
	topic   string
	member  string
	out     chan *message.Message
	most    int      // messages to read at once: many while they are done quickly
	fresh   bool     // what was read last has never been delivered before
	own     string   // from where the messages are read that it had in hand when it was last stopped, empty once there are none
	done    []string // messages to be acknowledged
	claimed time.Time
	away    bool // Redis did not answer last time
}

// run reads and delivers until ctx ends.
func (s *subscription) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			s.trouble(ctx, err)
			continue
		}
		s.away = false
	}
	ending, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := s.acknowledge(ending); err != nil {
		s.log.Debug("messages that were done could not be acknowledged: they come again", "topic", s.topic, "cause", err)
	}
}

// trouble makes the group again if it is gone, as after FLUSHALL, and else waits for Redis.
func (s *subscription) trouble(ctx context.Context, err error) {
	if strings.HasPrefix(err.Error(), "NOGROUP") {
		if err = s.client.XGroupCreateMkStream(ctx, s.topic, s.group, "0").Err(); err == nil || strings.HasPrefix(err.Error(), "BUSYGROUP") {
			return
		}
	}
	if !s.away {
		s.away = true
		s.log.Warn("messages cannot be read for now", "topic", s.topic, "group", s.group, "cause", err)
	}
	wait(ctx, pause)
}

// round acknowledges what is done, and delivers some messages: those of members that have died first.
func (s *subscription) round(ctx context.Context) error {
	if err := s.acknowledge(ctx); err != nil {
		return err
	}
	began := time.Now()
	messages, err := s.read(ctx)
	if err != nil {
		return err
	}
	for i, m := range messages {
		if ctx.Err() != nil || time.Since(began) > s.options.limit/2 { // of the time that they are this member's
			return s.release(messages[i:])
		}
		if err := s.deliver(ctx, m); err != nil {
			return err
		}
	}
	if took := time.Since(began); took > soon && len(messages) > 0 {
		s.most = max(1, s.most/4)
	} else if len(messages) == s.most {
		s.most = min(2*s.most, mostInHand)
	}
	return nil
}

// read reads messages: its own of before, then those of the dead, then new ones.
func (s *subscription) read(ctx context.Context) ([]goredis.XMessage, error) {
	s.fresh = false
	if s.own != "" {
		messages, err := s.readGroup(ctx, s.own, -1)
		if err != nil || len(messages) > 0 {
			return messages, err
		}
		s.own = ""
	}
	if time.Since(s.claimed) > s.options.idle()/8 {
		messages, _, err := s.client.XAutoClaim(ctx, &goredis.XAutoClaimArgs{Stream: s.topic, Group: s.group, Consumer: s.member,
			MinIdle: s.options.idle(), Start: "0-0", Count: int64(s.most)}).Result()
		if err != nil {
			return nil, err
		}
		if len(messages) > 0 {
			return messages, nil // and there may be more of them
		}
		s.claimed = time.Now()
	}
	s.fresh = true
	return s.readGroup(ctx, ">", heartbeat)
}

func (s *subscription) readGroup(ctx context.Context, from string, patience time.Duration) ([]goredis.XMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, max(patience, 0)+answerTime)
	defer cancel()
	found, err := s.client.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: s.group, Consumer: s.member, Streams: []string{s.topic, from},
		Count: int64(s.most), Block: patience}).Result()
	if errors.Is(err, goredis.Nil) || err == nil && len(found) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return found[0].Messages, nil
}

// acknowledge tells Redis what is done. What cannot be told now is told later, before anything else is read.
func (s *subscription) acknowledge(ctx context.Context) error {
	if len(s.done) == 0 {
		return nil
	}
	if err := s.client.XAck(ctx, s.topic, s.group, s.done...).Err(); err != nil {
		return err
	}
	s.done = s.done[:0]
	return nil
}

// release lets others have messages at once, by making them as old as they have to be for it.
func (s *subscription) release(messages []goredis.XMessage) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime) // also at the end
	defer cancel()
	args := []any{"XCLAIM", s.topic, s.group, s.member, 0}
	for _, m := range messages {
		args = append(args, m.ID)
	}
	s.claimed = time.Time{}
	return s.client.Do(ctx, append(args, "IDLE", s.options.idle().Milliseconds(), "JUSTID")...).Err()
}
