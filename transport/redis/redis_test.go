package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
	"strandline/transport/eventstore/memory"
	"strandline/transport/redis"
)

var quiet = slog.New(slog.DiscardHandler)

// world is a store, a Redis, relays between them, and a feed that somebody follows.
type world struct {
	*testing.T
	server *server
	client *goredis.Client
	store  *memory.Store
	feed   *redis.Feed
	drawn  atomic.Uint64

	ctx  context.Context
	busy sync.WaitGroup

	mu   sync.Mutex
	seen []domain.Record
}

func newWorld(t *testing.T, relays int) *world {
	t.Helper()
	w := &world{T: t, server: newServer(t), store: memory.New(memory.WithGaps(7))}
	w.server.start()
	w.client = w.server.client()
	ctx, stop := context.WithCancel(context.Background())
	w.ctx = ctx
	w.feed = redis.NewFeed(w.client, w.store, "life", "test", quiet)
	for range relays {
		client := w.server.client()
		w.busy.Go(func() {
			defer client.Close()
			redis.NewRelay(client, w.store, "life", quiet).Run(ctx)
		})
	}
	t.Cleanup(func() { stop(); w.busy.Wait(); w.client.Close() })
	return w
}

// follow follows the feed from the start.
func (w *world) follow() {
	w.busy.Go(func() {
		for batch, err := range w.feed.Follow(w.ctx, domain.Position{}) {
			if err != nil {
				if w.ctx.Err() == nil {
					w.Errorf("follow: %v", err)
				}
				return
			}
			w.mu.Lock()
			w.seen = append(w.seen, batch...)
			w.mu.Unlock()
		}
	})
}

// append appends events to a few streams.
func (w *world) append(n int) {
	w.Helper()
	for range n {
		k := w.drawn.Add(1)
		r := domain.Record{
			Envelope: domain.Envelope{ID: domain.ID{0: 1, 8: byte(k >> 40), 9: byte(k >> 32), 12: byte(k >> 24), 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)},
				Type: "thing.done", Version: 1, ContentType: domain.JSON, Actor: "root", Subject: "U1", Key: "k"},
			Data: fmt.Appendf(nil, `{"n":%d}`, k),
		}
		if _, err := w.store.Append(w.ctx, fmt.Sprintf("thing-%d", k%5), domain.Any, []domain.Record{r}); err != nil && w.ctx.Err() == nil {
			w.Fatal(err)
		}
	}
}

// load appends for as long as do takes, and then waits until the follower has seen all: each once, in order, as stored.
func (w *world) load(do func()) {
	w.Helper()
	var stopped atomic.Bool
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for !stopped.Load() {
				w.append(20)
				time.Sleep(time.Millisecond)
			}
		})
	}
	do()
	stopped.Store(true)
	writers.Wait()
	w.same()
}

// same waits until what was followed is what is stored.
func (w *world) same() {
	w.Helper()
	var stored []domain.Record
	for r, err := range w.store.ReadAll(w.ctx, domain.Position{}, 0, false) {
		if err != nil {
			w.Fatal(err)
		}
		stored = append(stored, r)
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		n := len(w.seen)
		w.mu.Unlock()
		if n >= len(stored) {
			break
		}
		if time.Since(began) > 20*time.Second {
			w.Fatalf("followed %d of %d events after 20 s", n, len(stored))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) != len(stored) {
		w.Fatalf("followed %d events of %d", len(w.seen), len(stored))
	}
	for i, r := range w.seen {
		if r.Position != stored[i].Position || r.ID != stored[i].ID || r.Stream != stored[i].Stream || string(r.Data) != string(stored[i].Data) || r.Subject != "U1" || !r.Time.Equal(stored[i].Time) {
			w.Fatalf("event %d is %+v, want %+v", i, r, stored[i])
		}
	}
	w.Logf("%d events, each once and in order; %d times read from the store", len(stored), w.feed.Backfills())
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func pause(d time.Duration) func() { return func() { time.Sleep(d) } }

func long() bool { return os.Getenv("STRANDLINE_DRILL") == "long" }

func TestFeed(t *testing.T) {
	w := newWorld(t, 1)
	w.append(1500)
	w.follow()
	w.load(pause(500 * time.Millisecond))
}

func TestTwoRelays(t *testing.T) {
	w := newWorld(t, 3)
	w.follow()
	w.load(pause(700 * time.Millisecond))
	entries, err := w.client.XRange(t.Context(), redis.Stream, "-", "+").Result()
	w.must(err)
	last := ""
	for _, e := range entries {
		if e.ID == last {
			t.Errorf("entry %s is there twice", e.ID)
		}
		last = e.ID
	}
}

// TestFaults does to Redis what happens to it, under load.
func TestFaults(t *testing.T) {
	stopFor := 1500 * time.Millisecond
	if long() {
		stopFor = 30 * time.Second
	}
	for name, fault := range map[string]func(w *world){
		"FLUSHALL": func(w *world) {
			for range 3 {
				time.Sleep(150 * time.Millisecond)
				w.must(w.client.FlushAll(w.ctx).Err())
			}
		},
		"killed and started again with nothing": func(w *world) {
			for range 2 {
				time.Sleep(150 * time.Millisecond)
				w.server.kill()
				time.Sleep(300 * time.Millisecond)
				w.server.start()
			}
		},
		"stopped for a while": func(w *world) {
			time.Sleep(150 * time.Millisecond)
			w.server.signal(syscall.SIGSTOP)
			time.Sleep(stopFor)
			w.server.signal(syscall.SIGCONT)
		},
		"trimmed before it was read": func(w *world) {
			for range 5 {
				time.Sleep(60 * time.Millisecond)
				w.must(w.client.XTrimMaxLen(w.ctx, redis.Stream, 1).Err())
			}
		},
		"entries of others among them": func(w *world) {
			for i := range 5 {
				time.Sleep(60 * time.Millisecond)
				w.must(w.client.XAdd(w.ctx, &goredis.XAddArgs{Stream: redis.Stream, ID: "*", Values: map[string]any{"what": i}}).Err()) // "*" is far beyond all positions
			}
		},
		"never there": func(w *world) { w.server.kill(); time.Sleep(500 * time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.append(300)
			w.follow()
			works := w.works(redis.NewWorker(w.client, "w", "a", quiet))
			w.load(func() { fault(w); time.Sleep(200 * time.Millisecond) })
			if w.server.process != nil {
				works.all()
			}
		})
	}
}

// TestFull has Redis full of what has been read already: the relay makes room, and what comes is read from Redis again.
func TestFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.append(10)
	w.follow()
	w.relayed()
	for began := time.Now(); w.client.HLen(w.ctx, "strandline:checkpoints").Val() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the reader does not say where it is")
		}
	}
	var used int
	for line := range strings.Lines(w.client.Info(w.ctx, "memory").Val()) {
		fmt.Sscanf(line, "used_memory:%d", &used)
	}
	w.must(w.client.ConfigSet(w.ctx, "maxmemory", fmt.Sprint(used+1<<20)).Err())
	refused := func() (n int64) {
		for line := range strings.Lines(w.client.Info(w.ctx, "errorstats").Val()) {
			fmt.Sscanf(line, "errorstat_OOM:count=%d", &n)
		}
		return n
	}
	for began := time.Now(); refused() == 0; w.append(100) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("Redis does not get full")
		}
	}
	w.same()
	for began := time.Now(); ; {
		w.append(1)
		time.Sleep(100 * time.Millisecond)
		if last, err := w.client.XRevRangeN(w.ctx, redis.Stream, "+", "-", 1).Result(); err == nil && len(last) == 1 && last[0].ID == w.head() {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the relay makes no room")
		}
	}
	w.same()
}

// TestStock lets a stock Watermill subscriber listen.
func TestStock(t *testing.T) {
	w := newWorld(t, 1)
	client := w.server.client()
	defer client.Close()
	stock, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{Client: client, FanOutOldestId: "0"}, watermill.NopLogger{})
	w.must(err)
	defer stock.Close()
	messages, err := stock.Subscribe(t.Context(), redis.Stream)
	w.must(err)
	w.append(10)
	for total := 0; total < 10; {
		select {
		case m := <-messages:
			var n int
			if _, err := fmt.Sscan(m.Metadata.Get("count"), &n); err != nil || m.Metadata.Get("types") != "thing.done" {
				t.Fatalf("metadata %v", m.Metadata)
			}
			total += n
			m.Ack()
		case <-time.After(5 * time.Second):
			t.Fatal("a stock subscriber gets nothing")
		}
	}
}

// TestCommands counts what Redis is asked: at full load at most 4 commands for 1,000 events on either side.
func TestCommands(t *testing.T) {
	w := newWorld(t, 0)
	w.append(20_000)
	commands := func() (n int64) {
		text, err := w.client.Info(w.ctx, "stats").Result()
		w.must(err)
		for _, line := range strings.Split(text, "\n") {
			fmt.Sscanf(line, "total_commands_processed:%d", &n)
		}
		return n
	}
	before := commands()
	ctx, stop := context.WithCancel(w.ctx)
	var relaying sync.WaitGroup
	relaying.Go(func() { redis.NewRelay(w.client, w.store, "life", quiet).Run(ctx) })
	head, err := w.store.Head(ctx)
	w.must(err)
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		last, err := w.client.XRevRangeN(ctx, redis.Stream, "+", "-", 1).Result()
		before++ // this one is the test's
		if err == nil && len(last) == 1 && last[0].ID == fmt.Sprintf("%d-%d", head.Commit, head.Prepare) {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the relay does not get to the end")
		}
	}
	relayed := commands() - before
	before = commands()
	w.follow()
	w.same()
	read := commands() - before
	before = commands()
	w.works(redis.NewWorker(w.client, "w", "a", quiet)).all()
	worked := commands() - before
	stop()
	relaying.Wait()
	perThousand := func(n int64) float64 { return float64(n) / 20 }
	t.Logf("commands for 1,000 events: relay %.2f, feed %.2f, worker %.2f", perThousand(relayed), perThousand(read), perThousand(worked))
	if perThousand(relayed) > 4 || perThousand(read) > 4 || perThousand(worked) > 4 {
		t.Errorf("commands for 1,000 events: relay %.2f, feed %.2f, worker %.2f; want at most 4", perThousand(relayed), perThousand(read), perThousand(worked))
	}
}
