package commands

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"strandline/domain"
	"strandline/domain/access"
)

// What a request with an idempotency key changed is found by the ids of its events. One that changed nothing has its access
// event only: that stands in a stream of the key's own, so that it is found too (decision 8). A request that was refused is
// not remembered: it may succeed when it comes again.

// quietStream is where a request is remembered that changed nothing.
func (b *Bus) quietStream(meta Meta) string {
	seed := b.seed(meta)
	return "idempotency-" + hex.EncodeToString(seed[:])
}

// remember puts a request on the record that changed nothing, so that it is found again. Where another one under the key was
// faster, and is the same, it is recorded as any repetition is.
func (b *Bus) remember(ctx context.Context, meta Meta, env domain.Envelope, e domain.Event) (domain.Position, error) {
	details := meta.Details
	details.Digest = b.digest(meta)
	env.Stream = b.quietStream(meta)
	at, err := b.recordAs(ctx, env, domain.NoStream, details, e)
	var moved *domain.WrongRevisionError
	if !errors.As(err, &moved) {
		return at, err
	}
	if _, err := b.changedNothing(ctx, env.Stream, details.Digest, meta.IdempotencyKey); err != nil {
		return domain.Position{}, err
	}
	env.Stream = access.Stream(b.node, b.today())
	return b.recordAs(ctx, env, domain.Any, meta.Details, e)
}

// toldNothing is what the job was told before, if that was that there is nothing to do.
func (b *Bus) toldNothing(ctx context.Context, j *job) (Receipt, bool, error) {
	if j.key == "" {
		return Receipt{}, false, nil
	}
	found, err := b.changedNothing(ctx, j.quiet, j.request.Digest, j.key)
	return Receipt{Repeated: found}, found, err
}

// changedNothing tells whether a request is remembered in a stream, and makes sure that it was the one with the digest.
func (b *Bus) changedNothing(ctx context.Context, stream, digest, key string) (bool, error) {
	for r, err := range b.store.ReadStream(ctx, stream, 0, 1, Forwards) {
		if errors.Is(err, domain.ErrNoStream) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for an earlier use of the idempotency key: %w", err)
		}
		recorded, err := b.codec.Decode(ctx, r, forwards{b.store})
		if err != nil {
			return false, err
		}
		return true, same(recorded, digest, key)
	}
	return false, nil
}
