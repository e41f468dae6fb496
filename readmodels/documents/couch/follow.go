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
	s.turn.Lock()
	defer s.turn.Unlock()
	b, err := s.follow(ctx, of)
	if b == nil {
		return nil, err // and not an interface that holds a nil
	}
	return b, nil
}

// follow asks how far the build has come that is followed, with one request most of the time. It is called with turn.
func (s *Store) follow(ctx context.Context, of string) (*build, error) {
	b := s.serving.Load()
	if b == nil || !b.followed || generation(b.origin) != of || b.age(s.now()) >= askEvery {
		return s.ask(ctx, of)
	}
	database := b.database()
	there, err := s.loadCheckpoint(ctx, database)
	if errors.Is(err, errMissing) || err == nil && there.Origin != b.origin {
		return s.ask(ctx, of)
	}
	if err != nil {
		return nil, err
	}
	b.set(database, there.At)
	return b, nil
}

// ask asks which build serves, and follows it from now on if it is of a generation, else returns nil. It is called with turn.
func (s *Store) ask(ctx context.Context, of string) (*build, error) {
	asked := s.now()
	p, err := s.pointed(ctx)
	if err != nil {
		return nil, err
	}
	there, err := s.loadCheckpoint(ctx, p.Build)
	if errors.Is(err, errMissing) || err == nil && generation(there.Origin) != of {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b := s.serving.Load()
	if b == nil || !b.followed || b.database() != p.Build {
		b = s.newBuild(p.Build, there)
		b.followed = true
	}
	b.set(p.Build, there.At)
	b.asked.Store(&asked)
	s.serving.Store(b)
	return b, nil
}

// age is how long ago the server has said that b, which is followed, serves.
func (b *build) age(now time.Time) time.Duration { return now.Sub(*b.asked.Load()) }

// reading is where something is read.
type reading struct {
	build    *build
	database string
	at       domain.Position // how far it had come, at least
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

// instead is where to read when a database is gone, or may be about to go. Where less is to be read is not instead.
func (s *Store) instead(ctx context.Context, of reading) (reading, error) {
	b, err := s.successor(ctx, of)
	if err != nil {
		return reading{}, fmt.Errorf("%w: %w", domain.ErrUnavailable, err)
	}
	r := b.reading()
	if r.at.Before(of.at) {
		return reading{}, fmt.Errorf("%w: CouchDB's documents are being built anew", domain.ErrUnavailable)
	}
	return r, nil
}

// successor is the build that serves now.
func (s *Store) successor(ctx context.Context, of reading) (*build, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if now := s.serving.Load(); now != of.build {
		return now, nil
	}
	if !of.build.followed {
		if err := of.build.follow(ctx, of.database); !errors.Is(err, errMoved) {
			return nil, err
		}
		return of.build, nil
	}
	b, err := s.follow(ctx, generation(of.build.origin))
	if err == nil && b == nil {
		err = fmt.Errorf("CouchDB has lost database %s, and nothing has taken its place yet", of.database)
	}
	return b, err
}
