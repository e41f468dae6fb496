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
			if strings.Contains(err.Error(), "OOM ") {
				r.relieve(ctx)
			}
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
	after, tip, err := r.last(ctx)
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
	tended := time.Now()
	for {
		records, err := gather(ctx, arriving)
		if err != nil {
			return fmt.Errorf("follow the store: %w", err)
		}
		if entries := r.entries(after, records); len(entries) > 0 {
			if tip, err = r.add(ctx, entries, tip); err != nil {
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

// last is where Redis has got to, and the id of the last entry there; with nothing there, up to where all has been read,
// and no id. A stream that is of another life of the store, or that goes beyond the store, is one that nobody can use: it
// is dropped.
func (r *Relay) last(ctx context.Context) (after domain.Position, tip string, err error) {
	head, err := r.store.Head(ctx)
	if err != nil {
		return after, "", fmt.Errorf("head of the store: %w", err)
	}
	found, err := r.client.XRevRangeN(ctx, Stream, "+", "-", 1).Result()
	if err != nil {
		return after, "", err
	}
	if len(found) == 0 {
		return r.floor, "", nil
	}
	last, err := position(found[0].ID)
	if e, bad := read(found[0].Values); bad == nil {
		if err == nil && e.generation == r.generation && !head.Before(last) {
			return last, found[0].ID, nil
		}
	} else if err == nil && !head.Before(last) {
		return last, found[0].ID, nil // somebody's own entry: what comes after it is ours
	}
	r.log.Warn("the stream in Redis is not of this store's life: dropped, to be filled anew", "stream", Stream)
	return r.floor, "", r.client.Del(ctx, Stream).Err()
}

// adding adds entries to a stream that ends where it should, and tells where it ends. So whatever relays there are, and
// whatever Redis has lost, no entry follows another than the one before it. Where a stream begins is noted.
var adding = goredis.NewScript(`
	local found = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
	local tip = #found > 0 and found[1][1] or ''
	if tip ~= ARGV[1] then return tip end
	if tip == '' then
		redis.call('SET', KEYS[2], ARGV[2])
		redis.call('SET', KEYS[3], 1, 'PX', ARGV[3])
	end
	for i = 4, #ARGV, 7 do redis.call('XADD', KEYS[1], unpack(ARGV, i, i + 6)) end
	return ARGV[#ARGV - 6]`)

// add adds entries behind the tip of the stream in one round trip, and returns its new tip. What Redis has already is left
// out. A stream that ends before the tip has lost something, which is errGone.
func (r *Relay) add(ctx context.Context, entries []entry, tip string) (string, error) {
	for entries = beyond(entries, tip); len(entries) > 0; {
		args := []any{tip, id(entries[0].prev), youth.Milliseconds()}
		for _, e := range entries {
			values, err := e.values()
			if err != nil {
				return "", err
			}
			args = append(args, id(e.last))
			for name, value := range values {
				args = append(args, name, value)
			}
		}
		ends, err := adding.Run(ctx, r.client, []string{Stream, trimmedTo, young}, args...).Text()
		switch {
		case err != nil && isThere(err): // the stream has been beyond its end, which keeps entries out
			return "", errors.Join(errGone, r.client.Del(ctx, Stream).Err())
		case err != nil:
			return "", fmt.Errorf("add to %s: %w", Stream, err)
		case ends == id(entries[len(entries)-1].last):
			r.works()
			return ends, nil
		}
		if err := r.sound(ctx, entries[0], ends); err != nil {
			return "", err
		}
		entries, tip = beyond(entries, ends), ends
	}
	r.works()
	return tip, nil
}

// sound is an error if nothing can be added to a stream that ends at an unexpected id: errGone if it ends before the entry
// that is to be added.
func (r *Relay) sound(ctx context.Context, e entry, ends string) error {
	if ends == "" {
		return errGone
	}
	at, err := position(ends)
	if err != nil {
		return err
	}
	if at.Before(e.prev) {
		return errGone
	}
	head, err := r.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the store: %w", err)
	}
	if head.Before(at) { // somebody else's, which would keep ours out for ever
		return fmt.Errorf("%w: the stream ends at %s, which the store has not", errEntry, ends)
	}
	return nil
}

// beyond are the entries that come after the tip of the stream: another relay may be far ahead.
func beyond(entries []entry, tip string) []entry {
	at, err := position(tip)
	for err == nil && len(entries) > 0 && !at.Before(entries[0].last) {
		entries = entries[1:]
	}
	return entries
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
