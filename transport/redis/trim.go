package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
)

// checkpoints is the hash in which readers say how far they are, so that a relay does not trim what they need.
const checkpoints = "strandline:checkpoints"

// trimmedTo is the key that says up to where the stream has been trimmed, or where it began: whatever else is missing from
// its front is lost.
const trimmedTo = "strandline:trimmed"

// young is the key that is there for a while after the stream has begun: its groups are not all back yet, so nobody knows
// what they need.
const (
	young = "strandline:young"
	youth = 15 * time.Second
)

// forgotten is after how long a reader that says nothing is taken to be gone. If it comes back it reads the store.
const forgotten = 10 * time.Minute

// place is how far a reader was at a time.
type place struct {
	position domain.Position
	at       time.Time
}

// String is the place as it is kept.
func (p place) String() string { return id(p.position) + " " + strconv.FormatInt(p.at.Unix(), 10) }

func readPlace(text string) (p place, err error) {
	where, when, _ := strings.Cut(text, " ")
	if p.position, err = position(where); err != nil {
		return p, err
	}
	seconds, err := strconv.ParseInt(when, 10, 64)
	if err != nil {
		return p, fmt.Errorf("%w: %q is no time", domain.ErrInvalid, when)
	}
	p.at = time.Unix(seconds, 0)
	return p, nil
}

// tend looks after the stream: what it has lost is to be added again, and what all have read may go.
func (r *Relay) tend(ctx context.Context, after domain.Position) error {
	if err := r.whole(ctx, after); err != nil {
		return err
	}
	if n, err := r.client.Exists(ctx, young).Result(); err != nil || n > 0 {
		return err
	}
	slowest, err := r.slowest(ctx)
	if err != nil || slowest == nil {
		return err
	}
	r.floor = *slowest
	return r.trim(ctx)
}

// relieve drops the stream, as Redis is full: it can neither be trimmed in good order, nor can readers say that they are
// beyond it. Once they have, it is filled anew with what they have not read.
func (r *Relay) relieve(ctx context.Context) {
	if err := r.look(ctx); err != nil {
		return
	}
	if err := r.client.Del(ctx, Stream).Err(); err != nil {
		return
	}
	wait(ctx, 2*reportAll)
	if slowest, err := r.slowest(ctx); err == nil && slowest != nil {
		r.floor = *slowest
	}
}

// whole is errGone if Redis does not have all that came after what has been trimmed. Then it is dropped, with its groups,
// as nothing can be added in front.
func (r *Relay) whole(ctx context.Context, after domain.Position) error {
	first, err := r.client.XRangeN(ctx, Stream, "-", "+", 1).Result()
	if err != nil {
		return err
	}
	if len(first) == 0 {
		if r.floor.Before(after) {
			return errGone
		}
		return nil
	}
	to, err := r.trimmed(ctx, r.client)
	if err != nil {
		return err
	}
	e, err := read(first[0].Values)
	if err != nil || e.generation != r.generation || !to.Before(e.prev) {
		return nil // all is well, or not ours to judge
	}
	if r.floor.Before(to) {
		r.floor = to
	}
	if err := r.client.Del(ctx, Stream).Err(); err != nil {
		return err
	}
	return errGone
}

// trimmed is up to where the stream has been trimmed.
func (r *Relay) trimmed(ctx context.Context, client goredis.Cmdable) (domain.Position, error) {
	text, err := client.Get(ctx, trimmedTo).Result()
	if errors.Is(err, goredis.Nil) {
		return domain.Position{}, nil
	}
	if err != nil {
		return domain.Position{}, err
	}
	return position(text)
}

// trim lets go of what all readers have read, never by number: one that lags would miss it. Of two relays one does it.
func (r *Relay) trim(ctx context.Context) error {
	err := r.client.Watch(ctx, func(tx *goredis.Tx) error {
		to, err := r.trimmed(ctx, tx)
		if err != nil || !to.Before(r.floor) {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(both goredis.Pipeliner) error {
			both.XTrimMinIDApprox(ctx, Stream, id(r.floor), 0)
			both.Set(ctx, trimmedTo, id(r.floor), 0)
			return nil
		})
		return err
	}, trimmedTo)
	if errors.Is(err, goredis.TxFailedErr) { // another has
		return nil
	}
	return err
}

// slowest is how far all readers are, those in groups too; nil if there are none.
func (r *Relay) slowest(ctx context.Context) (slowest *domain.Position, err error) {
	places, err := r.client.HGetAll(ctx, checkpoints).Result()
	if err != nil {
		return nil, err
	}
	for name, text := range places {
		p, err := readPlace(text)
		if err != nil || time.Since(p.at) > forgotten {
			if err := r.client.HDel(ctx, checkpoints, name).Err(); err != nil {
				return nil, err
			}
			continue
		}
		slowest = lower(slowest, p.position)
	}
	if err := r.look(ctx); err != nil || slowest == nil {
		return nil, err
	}
	for name, p := range r.groups {
		if time.Since(p.at) > forgotten {
			delete(r.groups, name)
			continue
		}
		slowest = lower(slowest, p.position)
	}
	return slowest, nil
}

// look finds out how far the groups are. One that is lost with the stream has not got further meanwhile: it comes back for
// the rest.
func (r *Relay) look(ctx context.Context) error {
	groups, err := r.client.XInfoGroups(ctx, Stream).Result()
	if err != nil && !strings.Contains(err.Error(), "no such key") { // there is no stream yet
		return err
	}
	for _, group := range groups {
		delivered, err := position(group.LastDeliveredID)
		if err != nil {
			return err
		}
		at := &delivered
		if group.Pending > 0 {
			oldest, err := r.pending(ctx, group.Name)
			if err != nil {
				return err
			}
			if oldest != nil {
				at = lower(at, *oldest)
			}
		}
		r.groups[group.Name] = place{*at, time.Now()}
	}
	return nil
}

// pending is where the first entry begins that a group has read and not acknowledged; nil if it has them all by now.
func (r *Relay) pending(ctx context.Context, group string) (*domain.Position, error) {
	pending, err := r.client.XPending(ctx, Stream, group).Result()
	if err != nil || pending.Count == 0 {
		return nil, err
	}
	found, err := r.client.XRangeN(ctx, Stream, pending.Lower, pending.Lower, 1).Result()
	if err != nil || len(found) == 0 {
		return nil, err
	}
	e, err := read(found[0].Values)
	if err != nil {
		return nil, nil // somebody else's, which nobody brings back
	}
	return &e.prev, nil
}

func lower(slowest *domain.Position, p domain.Position) *domain.Position {
	if slowest == nil || p.Before(*slowest) {
		return &p
	}
	return slowest
}
