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
// message goes to one of them, at least once, and not to two at a time unless a whole process was frozen with it in hand.
// A message that is refused (nacked) comes again after a pause, a limited number of times, and then goes to the topic's
// dead-letter stream, as does at once what is no message, and what a handler neither takes nor refuses in time. What a
// member that has died had in hand goes to others.
//
// A subscription hands out one message after the other. Whoever wants to work on several at a time subscribes several
// times, or in several processes; whoever needs them in order asks for it (InOrder). Redis is no source here either: of
// the stream of events a relay brings back what was lost, so that it is delivered, perhaps again; other topics are as safe
// as Redis is.
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
	inOrder  bool
}

// WorkerOption sets up a Worker.
type WorkerOption func(*workerOptions)

// WithAttempts sets how often a message is delivered before it goes to the dead-letter stream. The default is 5. It may be
// once more if members die of it, since what they had read along with it was perhaps not handed out yet.
func WithAttempts(n int) WorkerOption { return func(o *workerOptions) { o.attempts = max(1, n) } }

// WithPause sets how long a message waits that was refused once. Each further wait is twice as long, up to half the time
// limit of a handler. The default is 100 ms.
func WithPause(d time.Duration) WorkerOption { return func(o *workerOptions) { o.pause = d } }

// WithLimit sets how much time a handler has for a message, whose context ends then. The default is 30 seconds. What a
// member had in hand that has died goes to others after three times as long.
func WithLimit(d time.Duration) WorkerOption { return func(o *workerOptions) { o.limit = d } }

// InOrder has one member of the group work while the others stand by, so that messages come in their order, and after a
// death from the first on that was not acknowledged.
func InOrder() WorkerOption { return func(o *workerOptions) { o.inOrder = true } }

// grace is how long a handler has to notice that its message's context has ended.
func (o workerOptions) grace() time.Duration { return o.limit / 2 }

// idle is after how long without a sign of life a message is taken from its member: more than that holds it for.
func (o workerOptions) idle() time.Duration { return 3 * o.limit }

// NewWorker returns a member of group. Name tells the members of a group apart; a member that comes back under its name
// goes on with what it had in hand. The client is the caller's, also to close.
func NewWorker(client *goredis.Client, group, name string, log *slog.Logger, options ...WorkerOption) *Worker {
	w := &Worker{client: client, group: group, name: name, log: log, options: workerOptions{attempts: 5, pause: 100 * time.Millisecond, limit: 30 * time.Second}}
	for _, option := range options {
		option(&w.options)
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

// errClosed is what subscribing ends with after Close.
var errClosed = fmt.Errorf("%w: the worker is closed", domain.ErrUnavailable)

// Subscribe implements message.Subscriber. The channel is closed when ctx ends, or at Close, and for no other reason. Redis
// need not be there, nor the topic: the group begins with the first message that it has.
func (w *Worker) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return nil, errClosed
	}
	w.members++
	ctx, stop := context.WithCancel(ctx)
	unlink := context.AfterFunc(w.ctx, stop)
	s := &subscription{Worker: w, topic: topic, member: fmt.Sprintf("%s-%d", w.name, w.members), out: make(chan *message.Message), most: 1, again: true}
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
	again   bool     // there may be messages that it had in hand before
	turn    bool     // it is this member's, where order counts
	done    []string // messages to be acknowledged
	claimed time.Time
	away    bool // Redis did not answer last time
}

// inHand is a message that a member has read.
type inHand struct {
	goredis.XMessage
	before int // how often it may have been handed out already
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
	if err := errors.Join(s.acknowledge(ending), s.yieldTurn(ending)); err != nil {
		s.log.Debug("messages that were done could not be acknowledged: they come again", "topic", s.topic, "cause", err)
	}
}

// trouble makes the group again if it is gone, as after FLUSHALL, and else waits for Redis. What was in hand meanwhile is
// looked for again. The topic itself is made by whoever publishes: a stream that seems to be there hides that it was lost.
func (s *subscription) trouble(ctx context.Context, err error) {
	s.again, s.most = true, 1
	if strings.HasPrefix(err.Error(), "NOGROUP") {
		err = s.client.XGroupCreate(ctx, s.topic, s.group, "0").Err()
		if err == nil || strings.HasPrefix(err.Error(), "BUSYGROUP") {
			return
		}
		if strings.Contains(err.Error(), "requires the key to exist") {
			wait(ctx, pause)
			return
		}
	}
	if !s.away && ctx.Err() == nil {
		s.away = true
		s.log.Warn("messages cannot be read for now", "topic", s.topic, "group", s.group, "cause", err)
	}
	wait(ctx, pause)
}

// round acknowledges what is done, and delivers some messages: those of before first.
func (s *subscription) round(ctx context.Context) error {
	if err := s.acknowledge(ctx); err != nil {
		return err
	}
	switch ours, err := s.takeTurn(ctx); {
	case err != nil:
		return err
	case !ours:
		wait(ctx, pause)
		return nil
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
		more, err := s.deliver(ctx, m, messages[i+1:])
		if err != nil || !more {
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

// read reads one message of before, its own or that of a member that has died, or else new ones. Those of before are read
// one by one, so that Redis counts how often each was handed out: one that kills is not to take others with it.
func (s *subscription) read(ctx context.Context) ([]inHand, error) {
	if s.again {
		m, err := s.takeUp(ctx)
		if m != nil || err != nil {
			return m, err
		}
		s.again = false
	}
	if !s.options.inOrder && time.Since(s.claimed) > s.options.idle()/8 {
		m, err := s.claim(ctx, &goredis.XPendingExtArgs{Idle: s.options.idle()})
		if m != nil || err != nil {
			return m, err
		}
		if err := tidy.Run(ctx, s.client, []string{s.topic}, s.group, s.member, forgotten.Milliseconds()).Err(); err != nil && !errors.Is(err, goredis.Nil) {
			return nil, err
		}
		s.claimed = time.Now()
	}
	return s.fresh(ctx)
}

// takeUp takes up one message that this member had in hand; where order counts, the first that any member had.
func (s *subscription) takeUp(ctx context.Context) ([]inHand, error) {
	if s.options.inOrder {
		return s.claim(ctx, &goredis.XPendingExtArgs{})
	}
	return s.claim(ctx, &goredis.XPendingExtArgs{Consumer: s.member})
}

// claim takes the first of some pending messages over. None is nil.
func (s *subscription) claim(ctx context.Context, which *goredis.XPendingExtArgs) ([]inHand, error) {
	which.Stream, which.Group, which.Start, which.End, which.Count = s.topic, s.group, "-", "+", 1
	for {
		pending, err := s.client.XPendingExt(ctx, which).Result()
		if err != nil || len(pending) == 0 {
			return nil, err
		}
		p := pending[0]
		found, err := s.client.XClaim(ctx, &goredis.XClaimArgs{Stream: s.topic, Group: s.group, Consumer: s.member, MinIdle: p.Idle, Messages: []string{p.ID}}).Result()
		if err != nil || len(found) > 0 {
			return hands(found, int(p.RetryCount)), err
		}
		which.Start = "(" + p.ID // it is another's by now, or has been trimmed
	}
}

// fresh waits for messages that nobody has read before.
func (s *subscription) fresh(ctx context.Context) ([]inHand, error) {
	ctx, cancel := context.WithTimeout(ctx, heartbeat+answerTime)
	defer cancel()
	found, err := s.client.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: s.group, Consumer: s.member, Streams: []string{s.topic, ">"},
		Count: int64(s.most), Block: heartbeat}).Result()
	if errors.Is(err, goredis.Nil) || err == nil && len(found) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return hands(found[0].Messages, 0), nil
}

func hands(messages []goredis.XMessage, before int) (all []inHand) {
	for _, m := range messages {
		all = append(all, inHand{m, before})
	}
	return all
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

// release lets others have messages at once that were not handed out, by making them as old as they have to be for it.
func (s *subscription) release(messages []inHand) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime) // also at the end
	defer cancel()
	s.claimed, s.again = time.Time{}, s.options.inOrder
	_, err := s.keep(ctx, s.options.idle(), messages)
	return err
}

// keep has messages counted as handed out as often as they were before, and as idle for so long. It tells which are still
// this member's: those that others have taken over stay theirs.
func (s *subscription) keep(ctx context.Context, idle time.Duration, messages []inHand) (kept []string, err error) {
	args := []any{s.group, s.member, idle.Milliseconds()}
	for _, m := range messages {
		args = append(args, m.ID, m.before)
	}
	return keep.Run(ctx, s.client, []string{s.topic}, args...).StringSlice()
}

// takeTurn tells whether it is this member's turn, and has it stay so for a while. Where order does not count it always is.
func (s *subscription) takeTurn(ctx context.Context) (bool, error) {
	if !s.options.inOrder {
		return true, nil
	}
	ours, err := takeTurn.Run(ctx, s.client, []string{s.turnKey()}, s.member, s.options.idle().Milliseconds()).Bool()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return false, err
	}
	s.again = s.again || ours && !s.turn // whatever those before had in hand
	s.turn = ours
	return ours, nil
}

// yieldTurn lets the next member have its turn.
func (s *subscription) yieldTurn(ctx context.Context) error {
	if !s.turn {
		return nil
	}
	s.turn = false
	return yieldTurn.Run(ctx, s.client, []string{s.turnKey()}, s.member).Err()
}

func (s *subscription) turnKey() string { return "strandline:turn:" + s.topic + ":" + s.group }

// What Redis does as a whole.
var (
	keep = goredis.NewScript(`
		local kept = {}
		for i = 4, #ARGV, 2 do
			if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) > 0 then
				redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
				kept[#kept + 1] = ARGV[i]
			end
		end
		return kept`)
	tidy = goredis.NewScript(`
		for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
			local of = {}
			for i = 1, #c, 2 do of[c[i]] = c[i + 1] end
			if of.name ~= ARGV[2] and of.pending == 0 and of.idle > tonumber(ARGV[3]) then
				redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
			end
		end`)
	takeTurn = goredis.NewScript(`
		local whose = redis.call('GET', KEYS[1])
		if whose and whose ~= ARGV[1] then return false end
		redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
		return true`)
	yieldTurn = goredis.NewScript(`
		if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
		return redis.call('DEL', KEYS[1])`)
)
