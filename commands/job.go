package commands

import (
	"crypto/sha256"
	"encoding/hex"

	"strandline/domain"
)

// job is one command on its way, with the ids of all that it causes. Another attempt at it uses the same ids.
type job struct {
	bus      *Bus
	cmd      domain.Command
	stream   string
	request  domain.Request
	key      string            // the client's idempotency key, empty if none
	quiet    string            // the stream in which the key is remembered if nothing changes
	seed     [sha256.Size]byte // of all ids, if there is a key
	env      domain.Envelope   // what all its events have in common
	expected []domain.Position // see Meta
	drawn    []domain.ID       // ids of its events, as far as they have been needed, if there is no key
}

// newJob makes the job of a command that comes with meta, whose Principal has been seen to.
func (b *Bus) newJob(meta Meta, cmd domain.Command) (*job, error) {
	j := &job{bus: b, cmd: cmd, stream: cmd.Stream(), request: meta.Details, key: meta.IdempotencyKey, expected: meta.Expected}
	env, err := b.envelope(meta)
	if err != nil {
		return nil, err
	}
	env.Stream, env.Command = j.stream, cmd.CommandName()
	j.env = env
	if err := j.identify(meta); err != nil {
		return nil, err
	}
	j.env.Causation = j.env.CommandID
	return j, nil
}

// identify gives the command its id.
func (j *job) identify(meta Meta) (err error) {
	if j.key == "" {
		j.env.CommandID, err = j.bus.draw()
		return err
	}
	j.seed = j.bus.seed(meta)
	j.env.CommandID = derive(j.seed, "command", j.stream, 0)
	j.request.Digest = j.bus.digest(meta)
	j.quiet = j.bus.quietStream(meta)
	return nil
}

// digest tells requests under one idempotency key apart, and gives none of them away.
func (b *Bus) digest(meta Meta) string {
	sum := b.keys.Hash("request digest", string(meta.Digest[:]))
	return hex.EncodeToString(sum[:])
}

// id is that of the n-th event.
func (j *job) id(n int) (domain.ID, error) {
	if j.key != "" {
		return derive(j.seed, "event", j.stream, n), nil
	}
	for len(j.drawn) <= n {
		id, err := j.bus.draw()
		if err != nil {
			return domain.ID{}, err
		}
		j.drawn = append(j.drawn, id)
	}
	return j.drawn[n], nil
}

// stepID is that of the only event that a step of the job's plan appends to stream.
func (j *job) stepID(stream string) (domain.ID, error) {
	if j.key != "" {
		return derive(j.seed, "event", stream, 0), nil
	}
	return j.bus.draw()
}

// envelope is what can be said about an event from its request alone.
func (b *Bus) envelope(meta Meta) (domain.Envelope, error) {
	env := domain.Envelope{
		Actor:       meta.Actor(),
		Credential:  meta.Credential,
		APIKey:      meta.APIKey,
		Dialect:     meta.Dialect,
		Correlation: meta.Request,
	}
	if !env.Correlation.IsZero() {
		return env, nil
	}
	id, err := b.draw()
	env.Correlation = id
	return env, err
}
