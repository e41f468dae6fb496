package redis_test

import (
	"context"
	"fmt"
	"slices"
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

// relayed waits until Redis has all that the store has.
func (w *world) relayed() {
	w.Helper()
	head, err := w.store.Head(w.ctx)
	w.must(err)
	for began := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		last, err := w.client.XRevRangeN(w.ctx, redis.Stream, "+", "-", 1).Result()
		if err == nil && len(last) == 1 && last[0].ID == fmt.Sprintf("%d-%d", head.Commit, head.Prepare) {
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
}

// TestW2 flushes everything while subscribers listen.
func TestW2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.follow()
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
	w.follow()
	w.same()
	if w.feed.Backfills() == 0 {
		t.Error("what was trimmed came from nowhere")
	}
}
