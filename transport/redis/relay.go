package redis

import (
	"context"
	"errors"
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
// What Redis loses while a relay is at work it is given again, as far back as somebody had not read it.
type Relay struct {
	client     *goredis.Client
	store      Store
	generation string
	log        *slog.Logger
	pausing    bool             // since something failed, nothing has gone through
	floor      domain.Position  // what comes after it somebody had not read yet, when that was last looked at
	groups     map[string]place // how far groups are, those too that were lost with the stream
}

// NewRelay returns a Relay. Generation names the life of the store, in which positions are never given twice; empty where
// stores do not tell.
func NewRelay(client *goredis.Client, store Store, generation string, log *slog.Logger) *Relay {
	return &Relay{client: client, store: store, generation: generation, log: log, groups: map[string]place{}}
}

// Run relays until ctx ends. While Redis or the store are away it tries again.
func (r *Relay) Run(ctx context.Context) {
	for ctx.Err() == nil {
		switch err := r.relay(ctx); {
		case ctx.Err() != nil:
		case errors.Is(err, errGone):
			r.log.Info("the stream in Redis has lost something: it is filled anew", "stream", Stream, "after", id(r.floor))
		case err != nil:
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

// errGone is that Redis has lost what somebody may not have read.
var errGone = errors.New("the stream in Redis is not whole")

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
	begun, tended := false, time.Now()
	for {
		records, err := gather(ctx, arriving)
		if err != nil {
			return fmt.Errorf("follow the store: %w", err)
		}
		if entries := r.entries(after, records); len(entries) > 0 {
			if err := r.begin(ctx, entries[0], &begun); err != nil {
				return err
			}
			if err := r.add(ctx, entries); err != nil {
				return err
			}
			after = entries[len(entries)-1].last
		}
		if time.Since(tended) > trimEvery {
			tended = time.Now()
			if err := r.tend(ctx, after); err != nil {
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

// gather waits a while for something to come, and takes with it what has come already, so that Redis is asked seldom.
func gather(ctx context.Context, arriving <-chan arrival) (records []domain.Record, err error) {
	patience := time.NewTimer(trimEvery)
	defer patience.Stop()
	select {
	case <-patience.C:
		return nil, nil
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

// last is where Redis has got to; with nothing there, up to where all has been read. A stream that is of another life of
// the store, or that goes beyond the store, is one that nobody can use: it is dropped.
func (r *Relay) last(ctx context.Context) (domain.Position, error) {
	head, err := r.store.Head(ctx)
	if err != nil {
		return domain.Position{}, fmt.Errorf("head of the store: %w", err)
	}
	found, err := r.client.XRevRangeN(ctx, Stream, "+", "-", 1).Result()
	if err != nil {
		return domain.Position{}, err
	}
	if len(found) == 0 {
		return r.floor, nil
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
	return r.floor, r.client.Del(ctx, Stream).Err()
}

// begin makes the stream with its first entry, unless it is there. Where it begins is noted in the same step.
var begin = goredis.NewScript(`
	if redis.call('XLEN', KEYS[1]) > 0 then return 0 end
	redis.call('SET', KEYS[2], ARGV[1])
	redis.call('XADD', KEYS[1], unpack(ARGV, 2))
	return 1`)

// begin fills a stream that is not there with its first entry, once.
func (r *Relay) begin(ctx context.Context, e entry, begun *bool) error {
	if *begun {
		return nil
	}
	values, err := e.values()
	if err != nil {
		return err
	}
	args := []any{id(e.prev), id(e.last)}
	for name, value := range values {
		args = append(args, name, value)
	}
	if err = begin.Run(ctx, r.client, []string{Stream, trimmedTo}, args...).Err(); err != nil && !isThere(err) {
		return fmt.Errorf("begin %s: %w", Stream, err)
	}
	*begun = true
	return nil
}

// add adds entries in one round trip. Those that Redis has already are refused by it, which is success, unless what it has
// is beyond the store.
func (r *Relay) add(ctx context.Context, entries []entry) error {
	pipe := r.client.Pipeline()
	for _, e := range entries {
		values, err := e.values()
		if err != nil {
			return err
		}
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: Stream, ID: id(e.last), Values: values, NoMkStream: true})
	}
	done, err := pipe.Exec(ctx)
	if err == nil {
		r.works()
		return nil
	}
	for _, c := range done {
		if err := c.Err(); errors.Is(err, goredis.Nil) {
			return errGone
		} else if err != nil && !isThere(err) {
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
