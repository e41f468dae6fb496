package redis_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
	"strandline/transport/redis"
)

// The traps of watermill-redisstream's subscriber (W1 to W5): each test shows first that the stock subscriber falls into
// it, and then that ours does not. If one of the first halves fails, the library has been mended.

// topic is where the stock subscriber listens.
const topic = "stock"

// stock is a stock subscriber in a group of its own client, which it closes with itself.
func (w *world) stock(c redisstream.SubscriberConfig) <-chan *message.Message {
	w.Helper()
	c.Client, c.DisableIndefiniteInitialBlock = w.server.client(), true
	s, err := redisstream.NewSubscriber(c, watermill.NopLogger{})
	w.must(err)
	ctx, cancel := context.WithCancel(w.ctx)
	w.Cleanup(func() { cancel(); s.Close() })
	messages, err := s.Subscribe(ctx, topic)
	w.must(err)
	return messages
}

// publish puts messages named m1 and so on where the stock subscriber listens.
func (w *world) publish(from, to int) {
	w.Helper()
	pipe := w.client.Pipeline()
	for i := from; i <= to; i++ {
		values, err := redisstream.DefaultMarshallerUnmarshaller{}.Marshal(topic, message.NewMessage(fmt.Sprintf("m%d", i), []byte("{}")))
		w.must(err)
		pipe.XAdd(w.ctx, &goredis.XAddArgs{Stream: topic, Values: values})
	}
	_, err := pipe.Exec(w.ctx)
	w.must(err)
}

// receive returns what comes until nothing has for a while, and whether the channel has been closed. It acknowledges all.
func receive(from <-chan *message.Message, patience time.Duration) (names []string, closed bool) {
	for {
		select {
		case m, more := <-from:
			if !more {
				return names, true
			}
			names = append(names, m.UUID)
			m.Ack()
		case <-time.After(patience):
			return names, false
		}
	}
}

// named are the names of messages.
func named(from, to int) (names []string) {
	for i := from; i <= to; i++ {
		names = append(names, fmt.Sprintf("m%d", i))
	}
	return names
}

// head is the id of the entry that ends where the store does.
func (w *world) head() string {
	w.Helper()
	head, err := w.store.Head(w.ctx)
	w.must(err)
	return fmt.Sprintf("%d-%d", head.Commit, head.Prepare)
}

// relayed waits until Redis has all that the store has.
func (w *world) relayed() {
	w.Helper()
	head := w.head()
	for began := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		last, err := w.client.XRevRangeN(w.ctx, redis.Stream, "+", "-", 1).Result()
		if err == nil && len(last) == 1 && last[0].ID == head {
			return
		}
		if time.Since(began) > 10*time.Second {
			w.Fatal("the relay does not get to the end")
		}
	}
}

// TestW1 puts an entry without the fields that are expected between good ones.
func TestW1(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(1, 1)
	w.must(w.client.XAdd(w.ctx, &goredis.XAddArgs{Stream: topic, Values: map[string]any{"what": 1}}).Err())
	w.publish(2, 2)
	if got, closed := receive(w.stock(redisstream.SubscriberConfig{ConsumerGroup: "g"}), time.Second); !closed || !slices.Equal(got, named(1, 1)) {
		t.Errorf("the stock subscriber received %v, closed: %v; want its channel closed after m1", got, closed)
	}
	w.follow()
	w.append(10)
	w.relayed()
	head, err := w.store.Head(w.ctx)
	w.must(err)
	w.must(w.client.XAdd(w.ctx, &goredis.XAddArgs{Stream: redis.Stream, ID: fmt.Sprintf("%d-%d", head.Commit, head.Prepare+1), Values: map[string]any{"what": 1}}).Err())
	w.append(10)
	w.same()
	if got, closed := receive(w.subscribed(redis.NewWorker(w.client, "w", "a", quiet), topic), time.Second); closed || !slices.Equal(got, named(1, 2)) || len(w.dead(topic)) != 1 {
		t.Errorf("the worker received %v, closed: %v; want m1 and m2", got, closed)
	}
}

// TestW2 flushes everything while subscribers listen.
func TestW2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.follow()
	works := w.works(redis.NewWorker(w.client, "w", "a", quiet))
	w.append(10)
	w.publish(1, 1)
	listening := w.stock(redisstream.SubscriberConfig{ConsumerGroup: "g"})
	if got, _ := receive(listening, 300*time.Millisecond); !slices.Equal(got, named(1, 1)) {
		t.Fatalf("the stock subscriber received %v", got)
	}
	w.must(w.client.FlushAll(w.ctx).Err())
	w.publish(2, 20)
	w.append(10)
	if got, closed := receive(listening, 1500*time.Millisecond); len(got) > 0 || closed {
		t.Errorf("the stock subscriber received %v after FLUSHALL; want nothing, for ever", got)
	}
	w.same()
	works.all()
}

// TestW3 lets a consumer die between reading and acknowledging, and another take over.
func TestW3(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(1, 6)
	first, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{Client: w.server.client(), ConsumerGroup: "g", Consumer: "first", DisableIndefiniteInitialBlock: true}, watermill.NopLogger{})
	w.must(err)
	dying, err := first.Subscribe(w.ctx, topic)
	w.must(err)
	<-dying // read and not acknowledged
	time.Sleep(50 * time.Millisecond)
	first.Close()
	got, _ := receive(w.stock(redisstream.SubscriberConfig{ConsumerGroup: "g", Consumer: "second", MaxIdleTime: 300 * time.Millisecond, ClaimInterval: 100 * time.Millisecond}), time.Second)
	inOrder := slices.Clone(got)
	slices.Sort(inOrder)
	if slices.Equal(got, inOrder) || !slices.Equal(inOrder, named(1, 6)) {
		t.Errorf("the stock subscriber received %v; want m1 to m6 in another order", got)
	}
	ours := redis.NewWorker(w.client, "w", "first", quiet, redis.InOrder(), redis.WithLimit(time.Second))
	w.next(w.subscribed(ours, topic)) // read and not acknowledged
	w.busy.Go(func() { ours.Close() })
	if got, _ := receive(w.subscribed(redis.NewWorker(w.client, "w", "second", quiet, redis.InOrder(), redis.WithLimit(time.Second)), topic), 2*time.Second); !slices.Equal(got, named(1, 6)) {
		t.Errorf("the worker that took over received %v; want m1 to m6", got)
	}
	for range 6 {
		w.append(1)
		w.relayed() // an entry for each
	}
	for range w.feed.Follow(w.ctx, domain.Position{}) {
		break // read and not applied
	}
	w.follow()
	w.same()
}

// TestW4 lets a handler take longer than the time after which others may claim what it holds.
func TestW4(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(1, 1)
	config := redisstream.SubscriberConfig{ConsumerGroup: "g", MaxIdleTime: 100 * time.Millisecond, ClaimInterval: 50 * time.Millisecond}
	held := <-w.stock(config)
	again, _ := receive(w.stock(config), time.Second)
	if !slices.Contains(again, held.UUID) {
		t.Errorf("while one stock subscriber held %s, another received %v; want the same", held.UUID, again)
	}
	held.Ack()
	first := w.next(w.subscribed(redis.NewWorker(w.client, "w", "a", quiet, redis.WithLimit(time.Second)), topic))
	if again, _ := receive(w.subscribed(redis.NewWorker(w.client, "w", "b", quiet, redis.WithLimit(time.Second)), topic), 900*time.Millisecond); len(again) > 0 {
		t.Errorf("while one worker held %s, another received %v", first.UUID, again)
	}
	first.Ack()
	w.append(20)
	w.relayed()
	slow := make(chan struct{})
	w.busy.Go(func() {
		defer close(slow)
		for batch, err := range w.feed.Follow(w.ctx, domain.Position{}) {
			time.Sleep(700 * time.Millisecond)
			if err != nil || len(batch) == 0 {
				return
			}
			w.mu.Lock()
			w.seen = append(w.seen, batch...)
			w.mu.Unlock()
		}
	})
	<-slow
	w.same()
}

// TestW5 trims by number what a subscriber that lags has not read.
func TestW5(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.must(w.client.XGroupCreateMkStream(w.ctx, topic, "g", "0").Err())
	w.publish(1, 1000)
	w.must(w.client.XTrimMaxLen(w.ctx, topic, 128).Err())
	if got, closed := receive(w.stock(redisstream.SubscriberConfig{ConsumerGroup: "g"}), time.Second); closed || !slices.Equal(got, named(873, 1000)) {
		t.Errorf("the stock subscriber received %d messages, the first %v, closed: %v; want m873 first, and no error", len(got), got[:min(1, len(got))], closed)
	}
	for range 20 {
		w.append(50)
		w.relayed()
	}
	w.must(w.client.XTrimMaxLen(w.ctx, redis.Stream, 2).Err())
	works := w.works(redis.NewWorker(w.client, "w", "a", quiet))
	w.follow()
	w.same()
	if w.feed.Backfills() == 0 {
		t.Error("what was trimmed came from nowhere")
	}
	works.all() // once a relay has noticed
}

// work is a worker at the stream of events.
type work struct {
	*world
	mu   sync.Mutex
	seen map[domain.ID]int
}

// works has a worker work, by opening what each message brings.
func (w *world) works(member *redis.Worker) *work {
	w.Helper()
	all := &work{world: w, seen: map[domain.ID]int{}}
	messages, err := member.Subscribe(w.ctx, redis.Stream)
	w.must(err)
	w.busy.Go(func() {
		for m := range messages {
			records, err := redis.Records(w.ctx, w.store, m)
			if err != nil {
				m.Nack()
				continue
			}
			all.mu.Lock()
			for _, r := range records {
				all.seen[r.ID]++
			}
			all.mu.Unlock()
			m.Ack()
		}
	})
	w.Cleanup(func() { member.Close() })
	return all
}

// all waits until the worker has seen all events that the store has, for as long as it gets on.
func (w *work) all() {
	w.Helper()
	total := 0
	for _, err := range w.store.ReadAll(w.ctx, domain.Position{}, 0, false) {
		w.must(err)
		total++
	}
	best := 0
	for since := time.Now(); best < total; time.Sleep(20 * time.Millisecond) {
		w.mu.Lock()
		seen := len(w.seen)
		w.mu.Unlock()
		if seen > best {
			best, since = seen, time.Now()
		}
		if time.Since(since) > 20*time.Second {
			w.Fatalf("the worker has seen %d of %d events, and gets no further", best, total)
		}
	}
	w.Logf("the worker has seen all %d events", total)
}
