package redis_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
	"strandline/transport/redis"
)

// leastFaster is how many times as many events a second a Feed reads as the stock subscriber, at least: with other work on
// the machine and the race detector it only has to be faster.
func leastFaster() float64 {
	if long() {
		return 10
	}
	return 2
}

// TestSpeed reads the same events by the stock subscriber, a message for each as its publisher makes them, and by a Feed,
// in turn.
func TestSpeed(t *testing.T) {
	const few, many = 1_500, 40_000
	w := newWorld(t, 1)
	data := fmt.Appendf(nil, `{"timestamp":1700000000000,"sensor":"lamp.accelerometer","data":%0300d}`, 7)
	for n := 0; n < many; n += 500 {
		batch := make([]domain.Record, 500)
		for i := range batch {
			k := w.drawn.Add(1)
			batch[i] = domain.Record{Envelope: domain.Envelope{ID: domain.ID{0: 1, 8: 1, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)},
				Type: "observation.recorded", Version: 1, Actor: "root", Subject: "U1", Key: "k"}, Data: data}
		}
		_, err := w.store.Append(w.ctx, "thing-1", domain.Any, batch)
		w.must(err)
	}
	w.relayed()
	var stock, worker, ours []float64
	for round := range 3 {
		w.stockTopic(few, data)
		stock = append(stock, rate(few, w.stock(redisstream.SubscriberConfig{ConsumerGroup: fmt.Sprintf("g%d", round)})))
		member := redis.NewWorker(w.client, fmt.Sprintf("w%d", round), "a", quiet)
		worker = append(worker, rate(few, w.subscribed(member, topic)))
		w.must(member.Close())
		ours = append(ours, w.ourRate(many))
	}
	slices.Sort(stock)
	slices.Sort(worker)
	slices.Sort(ours)
	t.Logf("read a second: stock subscriber %.0f messages, worker %.0f, feed %.0f events, %.0f times as many as the stock subscriber; %d times read from the store",
		stock[1], worker[1], ours[1], ours[1]/stock[1], w.feed.Backfills())
	if ours[1] < leastFaster()*stock[1] {
		t.Errorf("the feed reads %.1f times as many events a second as the stock subscriber, want %.0f", ours[1]/stock[1], leastFaster())
	}
	if long() && w.feed.Backfills() > 0 { // beside other work Redis may seem to be away
		t.Error("the feed has read from the store")
	}
}

// stockTopic fills the topic of the stock subscriber with messages.
func (w *world) stockTopic(n int, data []byte) {
	w.Helper()
	w.must(w.client.Del(w.ctx, topic).Err())
	pipe := w.client.Pipeline()
	for i := range n {
		values, err := redisstream.DefaultMarshallerUnmarshaller{}.Marshal(topic, message.NewMessage(fmt.Sprint(i), data))
		w.must(err)
		pipe.XAdd(w.ctx, &goredis.XAddArgs{Stream: topic, Values: values})
	}
	_, err := pipe.Exec(w.ctx)
	w.must(err)
}

// rate is how many messages come in a second.
func rate(n int, messages <-chan *message.Message) float64 {
	began := time.Now()
	for range n {
		(<-messages).Ack()
	}
	return float64(n) / time.Since(began).Seconds()
}

func (w *world) ourRate(n int) float64 {
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	began, seen := time.Now(), 0
	for batch, err := range w.feed.Follow(ctx, domain.Position{}) {
		w.must(err)
		if seen += len(batch); seen >= n {
			break
		}
	}
	return float64(seen) / time.Since(began).Seconds()
}
