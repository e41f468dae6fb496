package commands

import (
	"context"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/registry"
)

// Record puts a request on the record that left no other event: one that was only reading, one that was refused, and
// one whose command had nothing to do (decision 10). It returns once the event is on disk. A request is recorded once:
// the event's id is the request's, so that a second record of it changes nothing. Only access.Ended comes beside it.
//
// With Meta.Remember it fails with *IdempotencyMismatchError where another request was quicker to use the key; nothing is
// recorded then.
func (b *Bus) Record(ctx context.Context, meta Meta, e domain.Event) (domain.Position, error) {
	ctx = context.WithoutCancel(ctx) // a caller who has gone is on the record too
	env, err := b.envelope(meta)
	if err != nil {
		return domain.Position{}, err
	}
	if env.ID = env.Correlation; isEnd(e) {
		if env.ID, err = b.draw(); err != nil {
			return domain.Position{}, err
		}
	}
	if o, ok := b.directory.Object(meta.Details.Object); ok && o.Kind == registry.Participant {
		env.Subject = o.ID
	}
	if meta.Remember {
		return b.remember(ctx, meta, env, e)
	}
	env.Stream = access.Stream(b.node, b.today())
	return b.recordAs(ctx, env, domain.Any, meta.Details, e)
}

func (b *Bus) today() string { return b.clock().UTC().Format("20060102") }

// recordAs appends an access event to the stream that env names, sealed with the key of the day.
func (b *Bus) recordAs(ctx context.Context, env domain.Envelope, expected domain.Expected, details domain.Request, e domain.Event) (_ domain.Position, err error) {
	if env.Key, err = b.keys.KeyFor(ctx, auditOwner(b.today())); err != nil {
		return domain.Position{}, err
	}
	records, err := b.codec.Encode(env, &details, e)
	if err != nil {
		return domain.Position{}, err
	}
	w, err := b.write(ctx, env.Stream, expected, records)
	if err != nil {
		return domain.Position{}, err
	}
	return w.events[len(w.events)-1], nil
}

func isEnd(e domain.Event) bool {
	_, ended := e.(access.Ended)
	return ended
}

// auditOwner owns the key of one day's access events. A key for each day stays far from the 2³² sealings after which
// random nonces of AES-GCM are not to be trusted (NIST SP 800-38D, section 8.3).
func auditOwner(day string) string { return AuditTrail + "-" + day }
