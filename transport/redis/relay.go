package redis

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
)

// Store is what a relay and a feed need of an event store.
type Store interface {
	Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error]
	Head(ctx context.Context) (domain.Position, error)
}

// Sizes of what a relay does at once.
const (
	mostEntry    = 500 // records of one entry
	mostPipeline = 32  // entries that go in one round trip
	trimEvery    = 5 * time.Second
	pause        = 200 * time.Millisecond // after a failure
)

// Relay copies what a store appends to Redis. Several may be at work at once: whatever one has added the others do not.
type Relay struct {
	client     *goredis.Client
	store      Store
	generation string
	log        *slog.Logger
	pausing    bool // since something failed, nothing has gone through
}

// NewRelay returns a Relay. Generation names the life of the store, in which positions are never given twice; empty where
// stores do not tell.
func NewRelay(client *goredis.Client, store Store, generation string, log *slog.Logger) *Relay {
	return &Relay{client: client, store: store, generation: generation, log: log}
}

// Run relays until ctx ends. While Redis or the store are away it tries again.
func (r *Relay) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.relay(ctx); err != nil && ctx.Err() == nil {
			r.complain(err)
			wait(ctx, pause)
		}
	}
}

// complain says that nothing goes through at present: once, until something does.
func (r *Relay) complain(err error) {
	level := slog.LevelDebug
	if !r.pausing {
		r.pausing, level = true, slog.LevelWarn
	}
	r.log.Log(context.Background(), level, "Redis is not told of events for now", "cause", err)
}

// works says that something goes through again.
func (r *Relay) works() {
	if r.pausing {
		r.pausing = false
		r.log.Info("Redis is told of events again")
	}
}

// relay begins after the last entry that Redis has.
func (r *Relay) relay(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	after, err := r.last(ctx)
	if err != nil {
		return err
	}
	arriving := make(chan arrival, 8)
	go func() {
		defer close(arriving)
		for batch, err := range r.store.Follow(ctx, after) {
			select {
			case arriving <- arrival{batch, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	trimmed := time.Now()
	for {
		records, err := gather(ctx, arriving)
		if err != nil {
			return fmt.Errorf("follow the store: %w", err)
		}
		if err := r.add(ctx, r.entries(after, records)); err != nil {
			return err
		}
		if len(records) > 0 {
			after = records[len(records)-1].Position
		}
		if time.Since(trimmed) > trimEvery {
			trimmed = time.Now()
			if err := r.trim(ctx); err != nil {
				return err
			}
		}
	}
}

// arrival is what following the store brings.
type arrival struct {
	batch []domain.Record
	err   error
}

// gather waits for something to come, and takes with it what has come already, so that Redis is asked seldom.
func gather(ctx context.Context, arriving <-chan arrival) (records []domain.Record, err error) {
	select {
	case a, more := <-arriving:
		if !more {
			return nil, ctx.Err()
		}
		records, err = a.batch, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for err == nil && len(records) < mostEntry*mostPipeline {
		select {
		case a, more := <-arriving:
			if !more {
				return records, nil
			}
			records, err = append(records[:len(records):len(records)], a.batch...), a.err
		default:
			return records, nil
		}
	}
	return records, err
}

// entries cuts records that follow prev into entries.
func (r *Relay) entries(prev domain.Position, records []domain.Record) (all []entry) {
	for n := 0; len(records) > 0; records = records[n:] {
		n = min(len(records), mostEntry)
		all = append(all, entry{prev: prev, last: records[n-1].Position, records: records[:n], generation: r.generation})
		prev = records[n-1].Position
	}
	return all
}

// last is where Redis has got to. A stream that is of another life of the store, or that goes beyond the store, is one
// that nobody can use: it is dropped.
func (r *Relay) last(ctx context.Context) (domain.Position, error) {
	head, err := r.store.Head(ctx)
	if err != nil {
		return domain.Position{}, fmt.Errorf("head of the store: %w", err)
	}
	found, err := r.client.XRevRangeN(ctx, Stream, "+", "-", 1).Result()
	if err != nil || len(found) == 0 {
		return domain.Position{}, err
	}
	last, err := position(found[0].ID)
	if e, bad := read(found[0].Values); bad == nil {
		if err == nil && e.generation == r.generation && !head.Before(last) {
			return last, nil
		}
	} else if err == nil && !head.Before(last) {
		return last, nil // somebody's own entry: what comes after it is ours
	}
	r.log.Warn("the stream in Redis is not of this store's life: dropped, to be filled anew", "stream", Stream)
	return domain.Position{}, r.client.Del(ctx, Stream).Err()
}

// add adds entries in one round trip. Those that Redis has already are refused by it, which is success, unless what it has
// is beyond the store.
func (r *Relay) add(ctx context.Context, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	pipe := r.client.Pipeline()
	for _, e := range entries {
		values, err := e.values()
		if err != nil {
			return err
		}
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: Stream, ID: id(e.last), Values: values})
	}
	done, err := pipe.Exec(ctx)
	if err == nil {
		r.works()
		return nil
	}
	for _, c := range done {
		if err := c.Err(); err != nil && !isThere(err) {
			return fmt.Errorf("add to %s: %w", Stream, err)
		}
	}
	return r.sound(ctx)
}

// sound makes sure that the stream does not end beyond the store: somebody else's entry there would keep ours out for ever.
func (r *Relay) sound(ctx context.Context) error {
	found, err := r.client.XRevRangeN(ctx, Stream, "+", "-", 1).Result()
	if err != nil || len(found) == 0 {
		return err
	}
	last, err := position(found[0].ID)
	if err != nil {
		return err
	}
	if head, err := r.store.Head(ctx); err != nil || !head.Before(last) {
		return err
	}
	return fmt.Errorf("%w: the stream ends at %s, which the store has not", errEntry, found[0].ID)
}

// isThere tells the error of an entry whose id is not beyond the last.
func isThere(err error) bool {
	return strings.Contains(err.Error(), "equal or smaller")
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
