package couch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"strandline/domain"
	"strandline/domain/registry"
	"strandline/readmodels"
	"strandline/readmodels/documents"
)

// Store reads documents and attachments from a CouchDB: it answers as documents.Store does. As a readmodels.Remote it is
// what projections keep up to date.
type Store struct {
	server    *server
	watermark readmodels.Watermark
	serving   atomic.Pointer[build] // nil until the server has been reached
	left      leftovers
	closed    atomic.Bool
	now       func() time.Time // tests move it
	turn      chan struct{}    // holds one while serving is found out, or stored
}

// New returns a Store that has not asked the server for anything yet.
func New(c Config) (*Store, error) {
	server, err := dial(c)
	if err != nil {
		return nil, err
	}
	return &Store{server: server, now: time.Now, turn: make(chan struct{}, 1)}, nil
}

// Name implements readmodels.Remote.
func (s *Store) Name() string { return documents.Schema.Name }

// version is raised when documents of CouchDB mean something else than before.
const version = 1

// Version implements readmodels.Remote.
func (s *Store) Version() int { return version }

// Watermark implements readmodels.Remote.
func (s *Store) Watermark() *readmodels.Watermark { return &s.watermark }

// Wait returns once everything up to position can be read.
func (s *Store) Wait(ctx context.Context, position domain.Position) error {
	return s.watermark.Wait(ctx, position)
}

// Checkpoint is the position up to which everything can be read.
func (s *Store) Checkpoint() domain.Position { return s.watermark.At() }

// pointer is the document that says which build serves.
type pointer struct {
	Rev    string `json:"_rev,omitempty"`
	Build  string `json:"build"` // its database
	Origin string `json:"origin"`
}

// family begins the names of the databases of all builds, and is the id of the pointer to the one that serves.
func (s *Store) family() string {
	return fmt.Sprintf("%s-%s-%d", s.server.config.Prefix, s.Name(), s.Version())
}

// pointed reads which build serves. None is an empty pointer.
func (s *Store) pointed(ctx context.Context) (p pointer, err error) {
	err = s.server.get(ctx, s.server.config.Prefix, s.family(), &p)
	if errors.Is(err, errMissing) {
		return pointer{}, nil
	}
	return p, err
}

// claims is how often two processes may come between each other.
const claims = 8

// Open implements readmodels.Remote.
func (s *Store) Open(ctx context.Context, origin string) (readmodels.RemoteBuild, error) {
	for range claims {
		b, err := s.open(ctx, origin)
		if !errors.Is(err, errConflict) {
			if err != nil {
				return nil, err
			}
			s.serve(b)
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: other processes keep changing which build of %s serves", domain.ErrUnavailable, s.family())
}

// open finds the build that serves, or makes one.
func (s *Store) open(ctx context.Context, origin string) (*build, error) {
	p, err := s.pointed(ctx)
	if err != nil {
		return nil, err
	}
	if p.Origin == origin {
		done, err := s.loadCheckpoint(ctx, p.Build)
		if err == nil && done.Origin == origin {
			s.leave(ctx, p.Build, "")
			return s.newBuild(p.Build, done), nil
		}
		if err != nil && !errors.Is(err, errMissing) {
			return nil, err
		}
	}
	b, err := s.begin(ctx, origin)
	if err != nil {
		return nil, err
	}
	if err := b.claim(ctx, p.Rev); err != nil {
		return nil, errors.Join(err, b.Drop(ctx))
	}
	s.leave(ctx, b.database(), p.Build)
	return b, nil
}

// Beside implements readmodels.Remote.
func (s *Store) Beside(ctx context.Context, origin string) (readmodels.RemoteBuild, error) {
	b, err := s.begin(ctx, origin)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// begin makes an empty build.
func (s *Store) begin(ctx context.Context, origin string) (*build, error) {
	var random [8]byte
	rand.Read(random[:])
	database := s.family() + "-" + hex.EncodeToString(random[:])
	if err := s.server.create(ctx, s.server.config.Prefix); err != nil {
		return nil, err
	}
	if err := s.server.create(ctx, database); err != nil {
		return nil, err
	}
	done := checkpoint{Origin: origin}
	rev, err := s.server.put(ctx, database, checkpointID, done)
	if err != nil {
		return nil, err
	}
	done.Rev = rev
	return s.newBuild(database, done), nil
}

// builds lists the databases that are named like builds.
func (s *Store) builds(ctx context.Context) (names []string, err error) {
	all, err := s.server.databases(ctx)
	if err != nil {
		return nil, err
	}
	for _, database := range all {
		if tail, ok := strings.CutPrefix(database, s.family()+"-"); ok && tails.MatchString(tail) {
			names = append(names, database)
		}
	}
	return names, nil
}

// tails are what the names of builds end with.
var tails = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Close implements readmodels.Remote.
func (s *Store) Close() error {
	s.closed.Store(true)
	if b := s.serving.Load(); b != nil && !b.followed {
		b.rest()
	}
	return s.server.close()
}

// Get returns the objects of a kind with the given ids, in the order of ids. Those that do not exist are left out.
func (s *Store) Get(ctx context.Context, kind registry.Kind, ids ...string) ([]documents.Document, error) {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = docID(ofObjects, string(kind), id)
	}
	found := make([]documents.Document, 0, len(ids))
	err := s.read(ctx, func(ctx context.Context, b *build, database string) error {
		found = found[:0]
		return b.each(ctx, database, names, func(e *entry) { found = append(found, e.document()) })
	})
	return found, err
}

// Attachments returns the attachments under key that belong to one of owners and are aimed at one of targets, in the
// order of owners and within it in that of targets.
func (s *Store) Attachments(ctx context.Context, owners, targets []string, key string) ([]documents.Attachment, error) {
	var names []string
	for _, owner := range owners {
		for _, target := range once(targets) {
			names = append(names, docID(ofAttachments, owner, target, key))
		}
	}
	found := []documents.Attachment{}
	err := s.read(ctx, func(ctx context.Context, b *build, database string) error {
		found = found[:0]
		return b.each(ctx, database, names, func(e *entry) {
			a := e.attachment()
			a.Value = json.RawMessage(e.Body)
			found = append(found, a)
		})
	})
	return found, err
}

// AttachmentKeys returns the attachments that belong to one of owners and are aimed at one of targets, without their
// values, in the order of owners, within it in that of targets, within it in that of keys.
func (s *Store) AttachmentKeys(ctx context.Context, owners, targets []string) ([]documents.Attachment, error) {
	found := []documents.Attachment{}
	err := s.read(ctx, func(ctx context.Context, b *build, database string) error {
		found = found[:0]
		for _, owner := range owners {
			for _, target := range once(targets) {
				of, err := b.keys(ctx, database, owner, target)
				if err != nil {
					return err
				}
				found = append(found, of...)
			}
		}
		return nil
	})
	return found, err
}

// once leaves out what has come before.
func once(names []string) (all []string) {
	seen := map[string]bool{}
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	return all
}

// stalledTime bounds what is asked for one who waits of a server that has not answered before.
const stalledTime = 2 * time.Second

// read has do read the build that serves, once more if another one has taken its place.
func (s *Store) read(ctx context.Context, do func(ctx context.Context, b *build, database string) error) error {
	if s.watermark.Stalled() != nil {
		short, stop := context.WithTimeout(ctx, stalledTime)
		defer stop()
		ctx = short
	}
	r, err := s.current(ctx)
	if err != nil {
		return err
	}
	err = do(ctx, r.build, r.database)
	if errors.Is(err, errMissing) {
		if r, err = s.instead(ctx, r); err != nil {
			return err
		}
		err = do(ctx, r.build, r.database)
	}
	if errors.Is(err, errMissing) || errors.Is(err, readmodels.ErrDamaged) {
		return fmt.Errorf("%w: %w", domain.ErrUnavailable, err)
	}
	return err
}
