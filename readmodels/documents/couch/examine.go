package couch

import (
	"context"
	"errors"

	"strandline/domain"
)

// Examination is what Examine has found.
type Examination struct {
	Generation string          // of the event store that the build is made of; empty if there is none yet
	Checkpoint domain.Position // of the build that serves
}

// Examine looks at what a CouchDB holds, and changes nothing.
func Examine(ctx context.Context, c Config) (found Examination, err error) {
	s, err := New(c)
	if err != nil {
		return found, err
	}
	defer s.Close()
	if _, err := s.builds(ctx); err != nil { // it is asked of server admins only
		return found, err
	}
	p, err := s.pointed(ctx)
	if err != nil || p.Build == "" {
		return found, err
	}
	done, err := s.loadCheckpoint(ctx, p.Build)
	if errors.Is(err, errMissing) {
		return found, nil // it will be built anew
	}
	return Examination{generation(done.Origin), done.At}, err
}
