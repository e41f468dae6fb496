package commands

import (
	"context"
	"errors"
	"fmt"

	"strandline/domain"
)

// IdempotencyMismatchError says that an idempotency key came again with another request.
type IdempotencyMismatchError struct{ Key string }

func (e *IdempotencyMismatchError) Error() string {
	return "the idempotency key has been used for another request; draw a fresh key for each request"
}

// Unwrap makes a mismatch an invalid request.
func (e *IdempotencyMismatchError) Unwrap() error { return domain.ErrInvalid }

// Earlier tells what a command did when the same request came before, under the same idempotency key; false if it did
// not. It needs no permit, since only the same principal has the same keys: so a removal can be repeated although what
// it removed cannot be seen any more, and a dialect asks this where Permit has answered domain.ErrNotFound.
func (b *Bus) Earlier(ctx context.Context, meta Meta, cmd domain.Command) (Receipt, bool, error) {
	j, err := b.newJob(meta, cmd)
	if err != nil {
		return Receipt{}, false, err
	}
	return b.repeated(ctx, j)
}

// repeated finds out whether the job was done before, under its idempotency key, and what came of it.
func (b *Bus) repeated(ctx context.Context, j *job) (Receipt, bool, error) {
	if j.key == "" {
		return Receipt{}, false, nil
	}
	return b.told(ctx, j)
}

// told is what the job was told before.
func (b *Bus) told(ctx context.Context, j *job) (Receipt, bool, error) {
	first, found, err := b.first(ctx, j)
	if err != nil {
		return Receipt{}, false, err
	}
	if !found {
		return b.toldNothing(ctx, j)
	}
	receipt := Receipt{Changed: true, Repeated: true}
	for r, err := range b.store.ReadStream(ctx, j.stream, first.Revision, 0, Forwards) {
		if err != nil {
			return Receipt{}, false, fmt.Errorf("read what the command did before: %w", err)
		}
		if r.CommandID != j.env.CommandID {
			break
		}
		if r.ContentType != domain.Part {
			receipt.Events = append(receipt.Events, r.Position)
			receipt.Position = r.Position
		}
	}
	return receipt, true, nil
}

// first finds the first event of a job that was done before, and checks that it came of the same request.
func (b *Bus) first(ctx context.Context, j *job) (domain.Recorded, bool, error) {
	if j.key == "" {
		return domain.Recorded{}, false, nil
	}
	id, err := j.id(0)
	if err != nil {
		return domain.Recorded{}, false, err
	}
	r, err := b.store.Find(ctx, j.stream, id)
	if errors.Is(err, domain.ErrNotFound) {
		return domain.Recorded{}, false, nil
	}
	if err != nil {
		return domain.Recorded{}, false, fmt.Errorf("look for an earlier use of the idempotency key: %w", err)
	}
	recorded, err := b.codec.Decode(ctx, r, forwards{b.store})
	if err != nil {
		return domain.Recorded{}, false, err
	}
	return recorded, true, same(recorded, j.request.Digest, j.key)
}

// same makes sure that what was recorded under an idempotency key came of the request with that digest.
func same(r domain.Recorded, digest, key string) error {
	if r.Request != nil && r.Request.Digest != digest {
		return &IdempotencyMismatchError{Key: key}
	}
	return nil
}
