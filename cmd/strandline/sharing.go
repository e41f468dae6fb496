package main

import (
	"context"
	"fmt"

	"strandline/domain"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/transport/files"
)

// keepsFiles tells whether this process has read models in its data folder. One that answers no requests needs them only
// where nothing is kept elsewhere.
func (s *storage) keepsFiles(t truth) bool {
	return s.roles.has(roleAPI) || t.engines.documents == nil && t.engines.samples == nil
}

// fillElsewhere has a read model of an engine filled, here or by one of the processes that have the same event store.
func (s *storage) fillElsewhere(r readmodels.Remote) error {
	out, err := s.leftOut(r.Name())
	if err != nil {
		return err
	}
	model := projections.Elsewhere(r, s.log.Generation().String(), out...)
	if s.shared != nil {
		model = projections.Shared(r, s.log.Generation().String(), s.turn(r.Name()), func(ctx context.Context) ([]domain.Position, error) {
			decided, err := s.decided(ctx, r.Name(), domain.Position{})
			return decided.LeftOut(), err
		})
	}
	s.models, s.opened = append(s.models, model), append(s.opened, r)
	return nil
}

// turn lets one of the processes with the role project fill a read model.
func (s *storage) turn(name string) projections.Turn {
	if !s.roles.has(roleProject) {
		return projections.Never{}
	}
	return &turn{keys: s.shared, name: "fills-" + name}
}

// turn is a projections.Turn: the lock of a file in the folder of the keys, which all processes of an installation share.
// The operating system gives it back when a process ends, however that happens.
type turn struct {
	keys files.System
	name string
	held files.File // nil while others may have it
}

// Take implements projections.Turn.
func (t *turn) Take() (bool, error) {
	if t.held != nil {
		return true, nil
	}
	held, err := files.Turn(t.keys, t.name, 0)
	if files.IsHeld(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock the file %s in the folder of keys: %w: see that this user may write there", t.name, err)
	}
	t.held = held
	return true, nil
}

// GiveBack implements projections.Turn.
func (t *turn) GiveBack() error {
	if t.held == nil {
		return nil
	}
	held := t.held
	t.held = nil
	return held.Close()
}
