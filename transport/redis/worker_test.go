package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
	"strandline/transport/redis"
)

// limit is how long handlers have in most tests: what the dead had in hand goes to others after three times as long.
const limit = 400 * time.Millisecond

// newTopics is a world without relays: a Redis for topics.
func newTopics(t *testing.T) *world { return newWorld(t, 0) }

// worker is a member of group g, closed at the end of the test.
func (w *world) worker(name string, options ...redis.WorkerOption) *redis.Worker {
	member := redis.NewWorker(w.client, "g", name, quiet, append([]redis.WorkerOption{redis.WithLimit(limit), redis.WithPause(20 * time.Millisecond)}, options...)...)
	w.Cleanup(func() { member.Close() })
	return member
}

// subscribed is a subscription of a worker's.
func (w *world) subscribed(member *redis.Worker, topic string) <-chan *message.Message {
	w.Helper()
	messages, err := member.Subscribe(w.ctx, topic)
	w.must(err)
	return messages
}

// next is what comes next.
func (w *world) next(from <-chan *message.Message) *message.Message {
	w.Helper()
	select {
	case m, more := <-from:
		if !more {
			w.Fatal("the channel is closed")
		}
		return m
	case <-time.After(15 * time.Second):
		w.Fatal("nothing comes")
	}
	return nil
}

// dead are the dead letters of a topic: name and cause.
func (w *world) dead(of string) (letters []string) {
	w.Helper()
	found, err := w.client.XRange(w.ctx, redis.DeadTopic(of), "-", "+").Result()
	w.must(err)
	for _, f := range found {
		m, err := redisstream.DefaultMarshallerUnmarshaller{}.Unmarshal(f.Values)
		w.must(err)
		letters = append(letters, m.UUID+" "+m.Metadata.Get(redis.KeyDeadCause)+" "+m.Metadata.Get(redis.KeyDeadAttempts))
	}
	return letters
}

// settled waits until a group has nothing pending.
func (w *world) settled(topic string) {
	w.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		pending, err := w.client.XPending(w.ctx, topic, "g").Result()
		if err == nil && pending.Count == 0 {
			return
		}
		if time.Since(began) > 15*time.Second {
			w.Fatalf("pending is %+v, %v", pending, err)
		}
	}
}

// TestWorkerRefused has a message refused each time, between others: it comes again after longer and longer pauses, and is
// then kept apart. What is no message is kept apart at once.
func TestWorkerRefused(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	w.publish(1, 2)
	w.must(w.client.XAdd(w.ctx, &goredis.XAddArgs{Stream: topic, Values: map[string]any{"what": "is this"}}).Err())
	values, err := redisstream.DefaultMarshallerUnmarshaller{}.Marshal(topic, message.NewMessage("odd", []byte("payload")))
	w.must(err)
	values["metadata"] = "\x82\xb7" + redisstream.UUIDHeaderKey + "\xa1x\xa1k\xa1v" // what the library reads and refuses to write
	w.must(w.client.XAdd(w.ctx, &goredis.XAddArgs{Stream: topic, Values: values}).Err())
	w.publish(3, 3)
	messages := w.subscribed(w.worker("a", redis.WithAttempts(3), redis.WithPause(60*time.Millisecond)), topic)
	var got []string
	var at []time.Time
	for len(got) == 0 || got[len(got)-1] != "m3" {
		m := w.next(messages)
		got, at = append(got, m.UUID), append(at, time.Now())
		if m.UUID == "m2" || m.UUID == "odd" {
			m.Nack()
		} else {
			m.Ack()
		}
	}
	if want := []string{"m1", "m2", "m2", "m2", "odd", "odd", "odd", "m3"}; !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
	if first, second := at[2].Sub(at[1]), at[3].Sub(at[2]); first < 60*time.Millisecond || second < 120*time.Millisecond {
		t.Errorf("came again after %s and %s, want at least 60 and 120 ms", first, second)
	}
	w.settled(topic)
	letters := w.dead(topic)
	if len(letters) != 3 || letters[0] != "m2 refused 3" || !strings.HasSuffix(letters[1], " poison 0") || letters[2] != "odd refused 3" {
		t.Errorf("dead letters are %q", letters)
	}
	found, err := w.client.XRange(w.ctx, redis.DeadTopic(topic), "-", "+").Result()
	w.must(err)
	poison, err := redisstream.DefaultMarshallerUnmarshaller{}.Unmarshal(found[1].Values)
	w.must(err)
	if string(poison.Payload) != `{"what":"is this"}` || poison.Metadata.Get(redis.KeyDeadGroup) != "g" || !strings.Contains(poison.Metadata.Get(redis.KeyDeadID), "-") {
		t.Errorf("the dead letter of what was no message is %s, %v", poison.Payload, poison.Metadata)
	}
	odd, err := redisstream.DefaultMarshallerUnmarshaller{}.Unmarshal(found[2].Values)
	w.must(err)
	if string(odd.Payload) != "payload" || odd.Metadata.Get("k") != "v" {
		t.Errorf("the dead letter is %s, %v", odd.Payload, odd.Metadata)
	}
}

// TestWorkerLate has handlers that do not answer, that answer when their time is over, and a subscriber that takes nothing
// for a while.
func TestWorkerLate(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	w.publish(1, 3)
	messages := w.subscribed(w.worker("a"), topic)
	time.Sleep(4 * limit) // nobody is there: that is no attempt
	silent := w.next(messages)
	if silent.UUID != "m1" {
		t.Errorf("received %s first", silent.UUID)
	}
	slow := w.next(messages)
	select {
	case <-silent.Context().Done():
	default:
		t.Error("the time of a message is over, and its context goes on")
	}
	<-slow.Context().Done()
	if err := context.Cause(slow.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the context ended with %v", err)
	}
	slow.Nack()
	again := w.next(messages)
	again.Ack()
	last := w.next(messages)
	last.Ack()
	if got := []string{slow.UUID, again.UUID, last.UUID}; !slices.Equal(got, []string{"m2", "m2", "m3"}) {
		t.Errorf("received %v", got)
	}
	w.settled(topic)
	if letters := w.dead(topic); !slices.Equal(letters, []string{"m1 late 1"}) {
		t.Errorf("dead letters are %q", letters)
	}
}

// TestWorkerClose gives back what was not handed out, at once, and leaves the client open.
func TestWorkerClose(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	w.publish(1, 50)
	first := w.worker("a", redis.WithLimit(time.Minute))
	messages := w.subscribed(first, topic)
	for range 10 {
		w.next(messages).Ack()
	}
	w.must(first.Close())
	if _, err := first.Subscribe(w.ctx, topic); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("subscribing after Close: %v", err)
	}
	if _, more := <-messages; more {
		t.Error("a message after Close")
	}
	got, _ := receive(w.subscribed(w.worker("b", redis.WithLimit(time.Minute)), topic), time.Second)
	if !slices.Equal(got, named(11, 50)) {
		t.Errorf("the next member received %v, want m11 to m50", got)
	}
	ctx, stop := context.WithCancel(w.ctx)
	third, err := w.worker("c").Subscribe(ctx, topic)
	w.must(err)
	stop()
	if _, more := <-third; more {
		t.Error("a message after the context has ended")
	}
}

// TestWorkerRouter works under Watermill's router, which refuses what its handler fails or panics at.
func TestWorkerRouter(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 5 * time.Second}, watermill.NopLogger{})
	w.must(err)
	publisher, err := redis.NewPublisher(w.client, "worker", time.Second)
	w.must(err)
	var mu sync.Mutex
	tried := map[string]int{}
	router.AddHandler("double", topic, w.worker("a"), "worker:doubled", publisher, func(m *message.Message) ([]*message.Message, error) {
		mu.Lock()
		defer mu.Unlock()
		if tried[m.UUID]++; tried[m.UUID] == 1 && m.UUID == "m2" {
			panic("once")
		}
		return message.Messages{message.NewMessage(m.UUID+"'", m.Payload)}, nil
	})
	running, stop := context.WithCancel(w.ctx)
	w.busy.Go(func() {
		if err := router.Run(running); err != nil {
			t.Error(err)
		}
	})
	<-router.Running()
	w.publish(1, 3)
	got, _ := receive(w.subscribed(w.worker("b"), "worker:doubled"), time.Second)
	if !slices.Equal(got, []string{"m1'", "m2'", "m3'"}) || tried["m2"] != 2 {
		t.Errorf("received %v after %v", got, tried)
	}
	stop()
	w.must(router.Close())
}

// TestPublisher keeps to a component's own topics, and to its time.
func TestPublisher(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	for _, name := range []string{"", "A", "a:b", "a b", "1a", strings.Repeat("a", 300)} {
		if _, err := redis.NewPublisher(w.client, name, time.Second); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("component %q: %v, want domain.ErrInvalid", name, err)
		}
	}
	if _, err := redis.NewPublisher(w.client, "strandline", time.Second); !errors.Is(err, domain.ErrForbidden) {
		t.Errorf("this program's topics: %v, want domain.ErrForbidden", err)
	}
	p, err := redis.NewPublisher(w.client, "thing", 500*time.Millisecond)
	w.must(err)
	for name, want := range map[string]error{
		"thing:made": nil, "thing:made.twice:v_1-2": nil, "thing": domain.ErrForbidden, "thingy:made": domain.ErrForbidden, redis.Stream: domain.ErrForbidden,
		"thing:": domain.ErrInvalid, "thing::a": domain.ErrInvalid, "thing:a b": domain.ErrInvalid, "thing:a\n": domain.ErrInvalid,
		"thing:made:dead": domain.ErrInvalid, "thing:" + strings.Repeat("a", 300): domain.ErrInvalid,
	} {
		if err := p.Publish(name, message.NewMessage("m", nil)); !errors.Is(err, want) {
			t.Errorf("publish to %q: %v, want %v", name, err, want)
		}
	}
	bad := message.NewMessage("b", nil)
	bad.Metadata.Set(redisstream.UUIDHeaderKey, "x")
	if err := p.Publish("thing:some", message.NewMessage("a", nil), bad); err == nil || w.client.Exists(w.ctx, "thing:some").Val() != 0 {
		t.Errorf("of two messages one of which cannot be written, some are there: %v", err)
	}
	w.server.signal(syscall.SIGSTOP)
	defer w.server.signal(syscall.SIGCONT)
	hasty, cancel := context.WithTimeout(w.ctx, 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := p.Publish("thing:made", message.NewMessageWithContext(hasty, "m", nil)); err == nil || time.Since(began) > 400*time.Millisecond {
		t.Errorf("published to a Redis that does not answer, with 50 ms: %v after %s", err, time.Since(began))
	}
	began = time.Now()
	if err := p.Publish("thing:made", message.NewMessage("m", nil)); err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("published to a Redis that does not answer, with 500 ms: %v after %s", err, time.Since(began))
	}
}

// handled are what workers have handled: names in the order of their acknowledgement, kept in Redis so that processes can.
const handled = "handled"

// TestWorkerProcess is no test: it is a worker in a process of its own, for those that kill it. It handles messages until
// it is killed, and dies of what is called so.
func TestWorkerProcess(t *testing.T) {
	config := strings.Fields(os.Getenv("STRANDLINE_TEST_WORKER"))
	if len(config) != 3 {
		t.Skip("for tests that kill it")
	}
	client := goredis.NewClient(&goredis.Options{Addr: config[0]})
	options := []redis.WorkerOption{redis.WithLimit(limit), redis.WithAttempts(2)}
	if config[2] == "in-order" {
		options = append(options, redis.InOrder())
	}
	messages, err := redis.NewWorker(client, "g", config[1], quiet, options...).Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for m := range messages {
		if string(m.Payload) == "die" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // nobody is left to hear of it
		}
		time.Sleep(time.Millisecond)
		client.RPush(t.Context(), handled, m.UUID)
		m.Ack()
	}
}

// process starts a worker in a process of its own, and tells when it has ended.
func (w *world) process(name, how string) (worker *os.Process, ended <-chan struct{}) {
	w.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestWorkerProcess$")
	c.Env = append(os.Environ(), fmt.Sprintf("STRANDLINE_TEST_WORKER=127.0.0.1:%d %s %s", w.server.port, name, how))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	w.must(c.Start())
	gone := make(chan struct{})
	go func() { defer close(gone); _ = c.Wait() }() // it is killed
	w.Cleanup(func() { _ = c.Process.Kill(); <-gone })
	return c.Process, gone
}

// handles waits until workers have handled so many different messages.
func (w *world) handles(n int) (names []string) {
	w.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		names = w.client.LRange(w.ctx, handled, 0, -1).Val()
		different := len(slices.Compact(slices.Sorted(slices.Values(names))))
		if different >= n {
			return names
		}
		if time.Since(began) > 20*time.Second {
			w.Fatalf("workers have handled %d of %d messages", different, n)
		}
	}
}

// TestWorkersKilled kills one of three workers in the middle, and freezes another for longer than it holds what it has: all
// is handled, twice only what those two had in hand.
func TestWorkersKilled(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	const n = 3000
	w.publish(1, n)
	killed, _ := w.process("a", "sharing")
	frozen, _ := w.process("b", "sharing")
	w.process("c", "sharing")
	w.handles(n / 10)
	w.must(killed.Kill())
	w.must(frozen.Signal(syscall.SIGSTOP))
	time.Sleep(4 * limit)
	w.must(frozen.Signal(syscall.SIGCONT))
	w.handles(n)
	w.settled(topic)
	all := len(w.handles(n))
	if all > n+250 {
		t.Errorf("%d messages were handled %d times", n, all)
	}
	if letters := w.dead(topic); len(letters) > 0 {
		t.Errorf("dead letters are %q", letters)
	}
	t.Logf("%d messages, %d handled twice, with a worker of three killed and one frozen", n, all-n)
}

// TestWorkerDies has a message that its worker dies of, each time: it is kept apart in the end, and nothing else is.
func TestWorkerDies(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	w.publish(1, 20)
	values, err := redisstream.DefaultMarshallerUnmarshaller{}.Marshal(topic, message.NewMessage("deadly", []byte("die")))
	w.must(err)
	w.must(w.client.XAdd(w.ctx, &goredis.XAddArgs{Stream: topic, Values: values}).Err())
	w.publish(21, 40)
	deaths := 0
	for began := time.Now(); len(w.dead(topic)) == 0; deaths++ {
		if time.Since(began) > 30*time.Second {
			t.Fatal("the deadly message is delivered for ever")
		}
		_, gone := w.process("a", "sharing")
		for alive := true; alive; {
			select {
			case <-gone:
				alive = false
			case <-time.After(20 * time.Millisecond):
				alive = len(w.dead(topic)) == 0
			}
		}
	}
	w.handles(40)
	w.settled(topic)
	if letters := w.dead(topic); len(letters) != 1 || !strings.HasPrefix(letters[0], "deadly fatal ") || deaths > 4 {
		t.Errorf("dead letters are %q after %d deaths", letters, deaths)
	}
}

// TestWorkersInOrder kills the one of three workers whose turn it is, twice: messages are handled in order, but for going
// back to the first that was not acknowledged.
func TestWorkersInOrder(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	const n = 1500
	w.publish(1, n)
	for i, name := range []string{"a", "b"} {
		worker, _ := w.process(name, "in-order")
		w.handles((i + 1) * n / 5)
		w.process("c"+name, "in-order")
		w.must(worker.Kill())
	}
	w.handles(n)
	w.settled(topic)
	next, back := 1, 0
	for _, name := range w.handles(n) {
		var i int
		if _, err := fmt.Sscanf(name, "m%d", &i); err != nil || i > next {
			t.Fatalf("m%d is handled after m%d", i, next-1)
		}
		if i < next {
			back++
		}
		next = i + 1
	}
	if next != n+1 {
		t.Errorf("the last that was handled is m%d, want m%d", next-1, n)
	}
	t.Logf("%d messages in order, with the worker killed twice; gone back %d times", n, back)
}

// TestWorkerRedisFaults does to Redis what happens to it: what is published afterwards arrives.
func TestWorkerRedisFaults(t *testing.T) {
	t.Parallel()
	w := newTopics(t)
	messages := w.subscribed(w.worker("a"), topic)
	at := 0
	works := func(after string) {
		t.Helper()
		w.publish(at+1, at+5)
		for want := at + 1; want <= at+5; {
			m := w.next(messages)
			m.Ack()
			if m.UUID == fmt.Sprintf("m%d", want) {
				want++
			} else if !slices.Contains(named(1, want), m.UUID) { // what was acknowledged in vain comes again
				t.Errorf("after %s m%d is %s", after, want, m.UUID)
			}
		}
		at += 5
	}
	works("the start")
	w.must(w.client.FlushAll(w.ctx).Err())
	works("FLUSHALL")
	w.must(w.client.XGroupDestroy(w.ctx, topic, "g").Err())
	works("the group's end")
	w.server.kill()
	time.Sleep(300 * time.Millisecond)
	w.server.start()
	works("a start with nothing")
	w.server.signal(syscall.SIGSTOP)
	time.Sleep(time.Duration(map[bool]int{false: 2, true: 30}[long()]) * time.Second)
	w.server.signal(syscall.SIGCONT)
	works("a standstill")
}
