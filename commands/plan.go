package commands

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"strandline/domain"
	"strandline/domain/codec"
	"strandline/domain/plan"
	"strandline/domain/registry"
)

// DoPlan decides commands that belong together and records all or none: nothing of it is visible before everything is
// on disk, and after a crash Resume finishes it (decision 7). The plan stands in the stream of first, which the permit
// must cover; each later command must cause one event, in a stream of its own that nobody has written.
func (b *Bus) DoPlan(ctx context.Context, permit Permit, meta Meta, first domain.Command, then ...domain.Command) (Receipt, error) {
	if err := permit.covers(first); err != nil {
		return Receipt{}, err
	}
	meta.Principal = permit.principal
	j, err := b.newJob(meta, first)
	if err != nil {
		return Receipt{}, err
	}
	return b.observed(ctx, first, func(ctx context.Context) (Receipt, error) { return b.doPlan(ctx, j, first, then) })
}

func (b *Bus) doPlan(ctx context.Context, j *job, first domain.Command, then []domain.Command) (Receipt, error) {
	d, err := deciderOf(j.stream)
	if err != nil {
		return Receipt{}, err
	}
	l, err := b.lines.enter(ctx, j.stream)
	if err != nil {
		return Receipt{}, err
	}
	defer b.lines.leave(l)
	made, repeated, err := b.first(ctx, j)
	if err != nil {
		return Receipt{}, err
	}
	if repeated {
		return b.repeatPlan(ctx, made)
	}
	if receipt, repeated, err := b.toldNothing(ctx, j); repeated || err != nil {
		return receipt, err
	}
	if err := b.load(ctx, d, l); err != nil {
		return Receipt{}, err
	}
	events, err := d.decide(l.state, planned(first, j.planID()))
	if err != nil || len(events) == 0 {
		return Receipt{}, err
	}
	p, err := b.plan(ctx, j, then)
	if err != nil {
		return Receipt{}, err
	}
	receipt, err := b.appendTo(ctx, j, d, l, append([]domain.Event{p}, events...))
	if err != nil {
		return Receipt{}, err
	}
	if receipt.Repeated {
		if made, _, err = b.first(ctx, j); err != nil {
			return Receipt{}, err
		}
		return b.repeatPlan(ctx, made)
	}
	env, err := b.envelopeOf(ctx, j, 0)
	if err != nil {
		return Receipt{}, err
	}
	receipt, err = b.finish(context.WithoutCancel(ctx), env, p, events, receipt)
	receipt.Repeated = false // others may have finished it, but it is ours
	return receipt, err
}

// planID is the id of the plan that the job makes.
func (j *job) planID() string { return j.env.CommandID.String() }

// planned makes what a command adds invisible until the plan is done.
func planned(c domain.Command, id string) domain.Command {
	if add, ok := c.(registry.Add); ok {
		add.Plan = id
		return add
	}
	return c
}

// plan decides the later commands and writes down what they cause.
func (b *Bus) plan(ctx context.Context, j *job, then []domain.Command) (plan.Made, error) {
	steps := make([]plan.Step, len(then))
	for i, c := range then {
		step, err := b.step(ctx, j, planned(c, j.planID()))
		if err != nil {
			return plan.Made{}, fmt.Errorf("step %d, %s: %w", i+1, c.CommandName(), err)
		}
		steps[i] = step
	}
	events, err := plan.Decide(plan.State{}, plan.Make{In: j.stream, ID: j.planID(), Steps: steps})
	if err != nil {
		return plan.Made{}, err
	}
	return events[0].(plan.Made), nil
}

// step decides one later command.
func (b *Bus) step(ctx context.Context, j *job, c domain.Command) (plan.Step, error) {
	d, err := deciderOf(c.Stream())
	if err != nil {
		return plan.Step{}, err
	}
	if end, err := b.end(ctx, c.Stream()); err != nil || end != domain.NoStream {
		return plan.Step{}, errors.Join(err, fmt.Errorf("%w: %s has been written to, so it cannot be a step", domain.ErrRejected, c.Stream()))
	}
	events, err := d.decide(d.zero(), c)
	if err != nil {
		return plan.Step{}, err
	}
	if len(events) != 1 {
		return plan.Step{}, fmt.Errorf("%w: it causes %d events, a step is one", domain.ErrInvalid, len(events))
	}
	id, err := j.stepID(c.Stream())
	if err != nil {
		return plan.Step{}, err
	}
	typ, version, data, err := codec.Marshal(events[0])
	return plan.Step{EventID: id, Stream: c.Stream(), Type: typ, Version: version, Data: data}, err
}

// finish appends the steps of a plan, then that it is done; what has been appended before stays as it is. Env is the
// envelope of the plan; beside are the events that were appended with it.
func (b *Bus) finish(ctx context.Context, env domain.Envelope, p plan.Made, beside []domain.Event, receipt Receipt) (Receipt, error) {
	f, steps, err := unpack(p, beside)
	if err != nil {
		return Receipt{}, fmt.Errorf("finish plan %s: %w", p.ID, err)
	}
	for i, step := range p.Steps {
		w, err := b.take(ctx, env, step, steps[i], f)
		if err != nil {
			return Receipt{}, fmt.Errorf("finish plan %s: step %d: %w", p.ID, i+1, err)
		}
		receipt.add(w)
	}
	w, err := b.close(ctx, env, p)
	if err != nil {
		return Receipt{}, fmt.Errorf("finish plan %s: %w", p.ID, err)
	}
	receipt.add(w)
	return receipt, nil
}

// unpack decodes the steps of a plan, and lists the objects that come of it.
func unpack(p plan.Made, beside []domain.Event) (family, []domain.Event, error) {
	f := family{}
	for _, e := range beside {
		f.add(e)
	}
	steps := make([]domain.Event, len(p.Steps))
	for i, step := range p.Steps {
		e, err := codec.Unmarshal(step.Type, step.Version, step.Data)
		if err != nil {
			return nil, nil, fmt.Errorf("step %d: %w", i+1, err)
		}
		f.add(e)
		steps[i] = e
	}
	return f, steps, nil
}

// take appends one step, unless it is there already.
func (b *Bus) take(ctx context.Context, made domain.Envelope, step plan.Step, e domain.Event, f family) (written, error) {
	about, err := b.aboutStep(e, f)
	if err != nil {
		return written{}, err
	}
	env := follow(made, step.EventID, step.Stream)
	env.Subject = about.subject
	if env.Key, err = b.keys.KeyFor(ctx, about.owner); err != nil {
		return written{}, err
	}
	records, err := b.codec.Encode(env, nil, e)
	if err != nil {
		return written{}, err
	}
	return b.write(ctx, step.Stream, domain.NoStream, records)
}

// closings is how often it is tried to close a plan while others write to its stream.
const closings = 64

// close appends that a plan is done, unless it is. Several processes may be at it, so that the end of the stream is exact.
func (b *Bus) close(ctx context.Context, made domain.Envelope, p plan.Made) (written, error) {
	env := follow(made, doneID(made), made.Stream)
	records, err := b.codec.Encode(env, nil, plan.Done{ID: p.ID})
	if err != nil {
		return written{}, err
	}
	for range closings {
		end, err := b.end(ctx, env.Stream)
		if err != nil {
			return written{}, err
		}
		r, err := b.store.Find(ctx, env.Stream, env.ID)
		if err == nil {
			return written{revision: r.Revision, events: []domain.Position{r.Position}, repeated: true}, nil
		}
		if !errors.Is(err, domain.ErrNotFound) {
			return written{}, err
		}
		w, err := b.write(ctx, env.Stream, end, records)
		var moved *domain.WrongRevisionError
		if !errors.As(err, &moved) {
			return w, err
		}
	}
	return written{}, fmt.Errorf("%w: others wrote to %s at the same time, %d times over", domain.ErrUnavailable, env.Stream, closings)
}

// follow is the envelope of an event that a plan leads to: of the same actor, request and command.
func follow(made domain.Envelope, id domain.ID, stream string) domain.Envelope {
	env := made
	env.Causation, env.ID, env.Stream, env.Extra = made.ID, id, stream, nil
	return env
}

// doneID is the id of the event that says that a plan is done: always the same, so that it is said once.
func doneID(made domain.Envelope) domain.ID {
	return derive(sha256.Sum256(made.ID[:]), "plan done", made.Stream, 0)
}

// repeatPlan finishes a plan that the same request made before, if need be, and tells what came of it.
func (b *Bus) repeatPlan(ctx context.Context, made domain.Recorded) (Receipt, error) {
	receipt, err := b.finishRecorded(ctx, made)
	receipt.Repeated = true
	return receipt, err
}

// finishRecorded finishes a plan as it stands in the log.
func (b *Bus) finishRecorded(ctx context.Context, made domain.Recorded) (Receipt, error) {
	p, ok := made.Event.(plan.Made)
	if !ok {
		return Receipt{}, fmt.Errorf("%w: event %s is not a plan that can be opened", domain.ErrRejected, made.ID)
	}
	receipt := Receipt{Changed: true, Events: []domain.Position{made.Position}}
	var beside []domain.Event
	for r, err := range b.store.ReadStream(ctx, made.Stream, made.Revision+1, 0, Forwards) {
		if err != nil {
			return Receipt{}, fmt.Errorf("read what came with the plan: %w", err)
		}
		if r.CommandID != made.CommandID || r.ID == doneID(made.Envelope) {
			break
		}
		recorded, err := b.codec.Decode(ctx, r, forwards{b.store})
		if err != nil {
			return Receipt{}, fmt.Errorf("read what came with the plan: %w", err)
		}
		if r.ContentType != domain.Part {
			beside = append(beside, recorded.Event)
			receipt.Events = append(receipt.Events, r.Position)
		}
	}
	return b.finish(ctx, made.Envelope, p, beside, receipt)
}

// Resume finishes the plans that a crash has left open. Call it once at start, before commands are taken, when the
// directory is at the head. What cannot be finished is in the error; the rest is finished all the same. Other processes may
// do the same at the same time: each step is taken once.
func (b *Bus) Resume(ctx context.Context) error { return b.Finish(ctx, b.directory.OpenPlans()...) }

// Finish is Resume for some of the open plans.
func (b *Bus) Finish(ctx context.Context, plans ...plan.Open) error {
	var failed []error
	for _, open := range plans {
		if err := b.resume(ctx, open); err != nil {
			failed = append(failed, fmt.Errorf("resume plan %s: %w", open.ID, err))
		}
	}
	return errors.Join(failed...)
}

func (b *Bus) resume(ctx context.Context, open plan.Open) error {
	for r, err := range b.store.ReadAll(ctx, open.Position, 1, Forwards) {
		if err != nil {
			return err
		}
		made, err := b.codec.Decode(ctx, r, forwards{b.store})
		if err != nil {
			return err
		}
		_, err = b.finishRecorded(ctx, made)
		return err
	}
	return fmt.Errorf("%w: nothing stands at %s", domain.ErrNotFound, open.Position)
}
