package embedded

import (
	"cmp"
	"slices"

	"strandline/domain"
)

// entries asks all sources for a page of a stream.
func (s *Store) entries(q query) (found []entry, err error) {
	err = s.repairing(func() error {
		found, err = s.tryEntries(q)
		return err
	})
	return found, err
}

func (s *Store) tryEntries(q query) ([]entry, error) {
	v := s.index.acquire()
	defer s.index.release(v)
	var found []entry
	limit := q.limit
	for i := range v.sources {
		if q.limit = limit - len(found); q.limit <= 0 && !q.all {
			break
		}
		source := v.sources[i]
		if q.backwards {
			source = v.sources[len(v.sources)-1-i]
		}
		more, err := source.entries(q)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// head finds the end of a stream up to a position.
func (s *Store) head(stream string, hash, upTo uint64) (end head, exists bool, err error) {
	err = s.repairing(func() error {
		end, exists, err = s.tryHead(stream, hash, upTo)
		return err
	})
	return end, exists, err
}

func (s *Store) tryHead(stream string, hash, upTo uint64) (end head, exists bool, err error) {
	v := s.index.acquire()
	defer s.index.release(v)
	for _, source := range slices.Backward(v.sources) {
		if end, exists, err = s.headIn(source, stream, hash, upTo); exists || err != nil {
			return end, exists, err
		}
	}
	return head{}, false, nil
}

// headIn finds the newest record of a stream in one source: the newest of its hash, unless that is another stream's.
func (s *Store) headIn(from source, stream string, hash, upTo uint64) (head, bool, error) {
	for _, all := range []bool{false, true} {
		entries, err := from.entries(query{stream: hash, from: ^uint64(0), upTo: upTo, limit: 1, all: all, backwards: true})
		if err != nil || len(entries) == 0 {
			return head{}, false, err
		}
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(b.position, a.position) })
		for _, e := range entries {
			r, err := s.record(e.position)
			if err != nil {
				return head{}, false, err
			}
			if r.Stream == stream {
				return head{e.revision, e.position}, true, nil
			}
		}
	}
	return head{}, false, nil
}

// withID finds the records of a stream that have an id, oldest first, with fetch to read them.
func (s *Store) withID(stream string, hash uint64, id domain.ID, upTo uint64, fetch func(position uint64) (domain.Record, error)) ([]domain.Record, error) {
	var found []domain.Record
	positions, err := s.positions(eventHash(hash, id), upTo)
	for _, p := range positions {
		r, err := fetch(p)
		if err != nil {
			return nil, err
		}
		if r.Stream == stream && r.ID == id {
			found = append(found, r)
		}
	}
	return found, err
}

// positions asks all sources where the records with an event hash are.
func (s *Store) positions(event, upTo uint64) (found []uint64, err error) {
	err = s.repairing(func() error {
		found, err = s.tryPositions(event, upTo)
		return err
	})
	return found, err
}

func (s *Store) tryPositions(event, upTo uint64) (found []uint64, err error) {
	v := s.index.acquire()
	defer s.index.release(v)
	for _, source := range v.sources {
		more, err := source.positions(event, upTo)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}
