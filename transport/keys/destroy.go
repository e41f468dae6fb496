package keys

import (
	"context"
	"fmt"

	"strandline/commands"
	"strandline/domain"
)

// Destroy makes what was sealed under owner's key unreadable for ever, and lets owner have no other key. It returns
// once the key is gone from disk, and from every process that shares it. An owner without a key gets none any more; destroying twice changes nothing.
func (s *Store) Destroy(ctx context.Context, owner string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if owner == "" || owner == namesOwner || owner == commands.Installation {
		return fmt.Errorf("%w: the installation's own keys are not to be destroyed", domain.ErrInvalid)
	}
	if err := s.destroy(owner); err != nil {
		return err
	}
	return s.noticed(ctx)
}

func (s *Store) destroy(owner string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.hold(); err != nil {
		return fmt.Errorf("destroy the key of %s: %w", owner, err)
	}
	defer s.book.release()
	entries, id, changed := s.without(owner)
	if !changed {
		return nil
	}
	if s.failed != nil {
		return s.failed
	}
	if err := s.judge(s.book.replace(entries)); err != nil {
		return fmt.Errorf("destroy the key of %s: %w", owner, err)
	}
	s.mu.Lock()
	s.fill(entries)
	s.mu.Unlock()
	s.opened.drop(id)
	return nil
}

// without lists the entries that stay when owner's key goes, and the id of that key (0 if there is none).
func (s *Store) without(owner string) (entries []entry, id uint64, changed bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, gone := s.destroyed[owner]; gone {
		return nil, 0, false
	}
	entries = make([]entry, 0, len(s.keys)+len(s.destroyed)+1)
	for _, k := range s.keys {
		if k.owner == owner {
			id = k.id
			continue
		}
		entries = append(entries, entry{kindKey, k.id, k.owner, k.box})
	}
	for o := range s.destroyed {
		entries = append(entries, entry{kind: kindDestroyed, owner: o})
	}
	return append(entries, entry{kind: kindDestroyed, owner: owner}), id, true
}
