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

// head finds the end of a stream up to a position. It is known not to be among the positions up to beyond.
func (s *Store) head(stream string, hash, beyond, upTo uint64) (end head, exists bool, err error) {
	err = s.repairing(func() error {
		v := s.index.acquire()
		defer s.index.release(v)
		end, exists, err = s.headAmong(v.beyond(beyond), stream, hash, upTo)
		return err
	})
	return end, exists, err
}

func (s *Store) headAmong(sources []source, stream string, hash, upTo uint64) (end head, exists bool, err error) {
	for _, source := range slices.Backward(sources) {
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
				return head(e), true, nil
			}
		}
	}
	return head{}, false, nil
}

// sought is an event that is looked for by its id, in the positions after beyond.
type sought struct {
	stream string
	id     domain.ID
	hash   uint64 // of both
	beyond uint64
	fetch  func(position uint64) (domain.Record, error)
}

// withID finds the records of a stream that have an id, oldest first.
func (s *Store) withID(w sought) ([]domain.Record, error) {
	var found []domain.Record
	positions, err := s.positions(w.hash, w.beyond)
	for _, p := range positions {
		r, err := w.fetch(p)
		if err != nil {
			return nil, err
		}
		if r.Stream == w.stream && r.ID == w.id {
			found = append(found, r)
		}
	}
	return found, err
}

// positions asks the sources that go beyond a position where the records with an event hash are.
func (s *Store) positions(event, beyond uint64) (found []uint64, err error) {
	err = s.repairing(func() error {
		v := s.index.acquire()
		defer s.index.release(v)
		found, err = positionsAmong(v.beyond(beyond), event)
		return err
	})
	return found, err
}

func positionsAmong(sources []source, event uint64) (found []uint64, err error) {
	for _, source := range sources {
		more, err := source.positions(event)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// foreseen is what the runs say of an append, looked up by its caller so that the committer need not. The zero value is
// that nothing is known.
type foreseen struct {
	headUpTo uint64 // the runs were asked for the stream up to this position
	end      head   // where it ends in them
	exists   bool   // whether it is in them
	newUpTo  uint64 // none of the ids is at a position up to this one
}

// foresee asks the runs what the committer will want to know. If they cannot be read the committer will find out.
func (s *Store) foresee(r *request) {
	v := s.index.acquire()
	defer s.index.release(v)
	if len(v.runs) == 0 {
		return
	}
	runs, covered := v.sources[:len(v.runs)], v.runs[len(v.runs)-1].last
	if _, known := s.heads.get(r.stream, r.hash); !known {
		if end, exists, err := s.headAmong(runs, r.stream, r.hash, covered); err == nil {
			r.seen = foreseen{headUpTo: covered, end: end, exists: exists}
		}
	}
	if !r.expected.IsExact() && allNew(runs, r.items) {
		r.seen.newUpTo = covered
	}
}

// allNew tells whether none of the items is in the runs.
func allNew(runs []source, items []item) bool {
	for i := range items {
		if found, err := positionsAmong(runs, items[i].event); err != nil || len(found) > 0 {
			return false
		}
	}
	return true
}
