package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"strandline/domain"
)

// checkpoints is the hash in which readers say how far they are, so that a relay does not trim what they need.
const checkpoints = "strandline:checkpoints"

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

// trim lets go of what all readers have read, never by number: one that lags would miss it.
func (r *Relay) trim(ctx context.Context) error {
	slowest, err := r.slowest(ctx)
	if err != nil || slowest == nil || slowest.IsZero() {
		return err
	}
	return r.client.XTrimMinIDApprox(ctx, Stream, id(*slowest), 0).Err()
}

// slowest is how far all readers are, those in groups too; nil if there are none.
func (r *Relay) slowest(ctx context.Context) (slowest *domain.Position, err error) {
	places, err := r.client.HGetAll(ctx, checkpoints).Result()
	if err != nil || len(places) == 0 {
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
	if slowest == nil {
		return nil, nil
	}
	groups, err := r.client.XInfoGroups(ctx, Stream).Result()
	if err != nil && !strings.Contains(err.Error(), "no such key") { // there is no stream yet
		return nil, err
	}
	for _, group := range groups {
		delivered, err := position(group.LastDeliveredID)
		if err != nil {
			return nil, err
		}
		slowest = lower(slowest, delivered)
		if group.Pending == 0 {
			continue
		}
		pending, err := r.client.XPending(ctx, Stream, group.Name).Result()
		if err != nil {
			return nil, err
		}
		if oldest, err := position(pending.Lower); err == nil { // none, if all have been taken care of meanwhile
			slowest = lower(slowest, oldest)
		}
	}
	return slowest, nil
}

func lower(slowest *domain.Position, p domain.Position) *domain.Position {
	if slowest == nil || p.Before(*slowest) {
		return &p
	}
	return slowest
}
