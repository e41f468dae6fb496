package couch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"strandline/domain"
	"strandline/readmodels"
)

// A build that is there is taken for the one that serves for askEvery. It is read for readFor if nobody asks, as when the
// process was stopped; after readmodels.Followed it may be dropped.
const (
	askEvery = time.Second
	readFor  = readmodels.Followed / 3
)

// Follow implements readmodels.Remote.
func (s *Store) Follow(ctx context.Context, of string) (readmodels.RemoteBuild, error) {
	done, err := s.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := s.follow(ctx, of)
	if err != nil || r.build == nil {
		return nil, err
	}
	s.adopt(r)
	return r.build, nil
}

// takeTurn waits until nobody else finds out what serves, or stores it.
func (s *Store) takeTurn(ctx context.Context) (done func(), err error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: CouchDB has not said yet which build serves: %w", domain.ErrUnavailable, ctx.Err())
	}
}

// serve has b read here from now on.
func (s *Store) serve(b *build) {
	s.turn <- struct{}{}
	s.serving.Store(b)
	<-s.turn
}

// adopt has what is followed read here from now on. It is called in turn.
func (s *Store) adopt(r reading) {
	r.build.set(r.database, r.at)
	s.serving.Store(r.build)
}

// follow asks how far the build has come that is followed, with one request most of the time. It is called in turn.
func (s *Store) follow(ctx context.Context, of string) (reading, error) {
	b := s.serving.Load()
	if b == nil || !b.followed || generation(b.origin) != of || b.age(s.now()) >= askEvery {
		return s.ask(ctx, of)
	}
	database := b.database()
	there, err := s.loadCheckpoint(ctx, database)
	if errors.Is(err, errMissing) || err == nil && there.Origin != b.origin {
		return s.ask(ctx, of)
	}
	return reading{b, database, there.At}, err
}

// ask asks which build serves, to follow it. Without one of a generation there is none in the answer. It is called in turn.
func (s *Store) ask(ctx context.Context, of string) (reading, error) {
	asked := s.now()
	p, err := s.pointed(ctx)
	if err != nil {
		return reading{}, err
	}
	there, err := s.loadCheckpoint(ctx, p.Build)
	if errors.Is(err, errMissing) || err == nil && generation(there.Origin) != of {
		return reading{}, nil
	}
	if err != nil {
		return reading{}, err
	}
	b := s.serving.Load()
	if b == nil || !b.followed || b.database() != p.Build {
		b = s.newBuild(p.Build, there)
		b.followed = true
	}
	b.asked.Store(&asked)
	return reading{b, p.Build, there.At}, nil
}

// age is how long ago the server has said that b, which is followed, serves.
func (b *build) age(now time.Time) time.Duration { return now.Sub(*b.asked.Load()) }

// reading is where something is read.
type reading struct {
	build    *build
	database string
	at       domain.Position // how far it has come, at least
}

// current is where to read now.
func (s *Store) current(ctx context.Context) (reading, error) {
	b := s.serving.Load()
	if b == nil {
		return reading{}, fmt.Errorf("%w: CouchDB has not been reached since the start", domain.ErrUnavailable)
	}
	r := b.reading()
	if b.followed && b.age(s.now()) >= readFor {
		return s.instead(ctx, r)
	}
	return r, nil
}

// instead is where to read when a database is gone, or may be about to go.
func (s *Store) instead(ctx context.Context, of reading) (reading, error) {
	r, err := s.successor(ctx, of)
	if err == nil && r.at.Before(of.at) {
		err = errAnew
	}
	if err != nil {
		return reading{}, fmt.Errorf("%w: %w", domain.ErrUnavailable, err)
	}
	return r, nil
}

// errAnew is for a build that has not come as far as what was read before.
var errAnew = errors.New("the documents in CouchDB are being built anew")

// successor is what serves now.
func (s *Store) successor(ctx context.Context, of reading) (reading, error) {
	done, err := s.takeTurn(ctx)
	if err != nil {
		return reading{}, err
	}
	defer done()
	if now := s.serving.Load(); now != of.build {
		return now.reading(), nil
	}
	if !of.build.followed {
		if err := of.build.follow(ctx, of.database); !errors.Is(err, errMoved) {
			return reading{}, err
		}
		return of.build.reading(), nil
	}
	r, err := s.follow(ctx, generation(of.build.origin))
	switch {
	case err != nil:
		return reading{}, err
	case r.build == nil:
		return reading{}, fmt.Errorf("CouchDB has lost database %s, and nothing has taken its place yet", of.database)
	case r.at.Before(of.at): // the watermark goes back first
		return reading{}, errAnew
	}
	s.adopt(r)
	return r, nil
}
