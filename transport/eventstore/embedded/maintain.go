package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"slices"
	"time"
)

const (
	mergeOf  = 8 // runs that are merged into one
	fullMost = 4 // memtables of full segments that may wait for their runs
)

// flush writes the run and the table of each segment that has become full. Without space they stay in memory.
func (s *Store) flush() {
	for {
		changed := s.index.changed.next()
		m, _ := s.index.full()
		var err error
		if m != nil {
			err = full(s.flushOne(m))
		}
		s.cramp(errors.Is(err, errFull))
		if m != nil && err == nil {
			continue
		}
		if !s.maintained("write the index of a full segment", err) || !s.pause(changed, err) {
			return
		}
	}
}

// cramp notes whether there is no space for the index, and tells the committer, which may be waiting for it.
func (s *Store) cramp(now bool) {
	if s.cramped.Swap(now) != now {
		s.index.changed.happened()
	}
}

// maintained judges the outcome of maintaining the index: want of space is reported, anything else stops the store.
func (s *Store) maintained(what string, err error) bool {
	if err == nil {
		return true
	}
	if !errors.Is(err, errFull) {
		s.fail(fmt.Errorf("%s: %w", what, err))
		return false
	}
	s.log.Warn("no space to "+what+"; it will be tried again", "cause", err.Error())
	return true
}

// roomRetry is how long maintenance waits for space before it tries again.
const roomRetry = time.Second

// pause waits until the index has changed, or after an error for a while. It is false once the store closes.
func (s *Store) pause(changed <-chan struct{}, err error) bool {
	var again <-chan time.Time
	if err != nil {
		changed, again = nil, time.After(roomRetry)
	}
	select {
	case <-changed:
		return true
	case <-again:
		return true
	case <-s.closing:
		return false
	}
}

// flushOne writes run and table of a full segment, and forgets the memtable.
func (s *Store) flushOne(m *memtable) error {
	r, err := s.writeIndex(m)
	if err != nil {
		return err
	}
	s.index.flushed(m, r)
	s.segments.at(m.first).mem.Store(nil)
	return nil
}

// writeIndex writes run and table of a full segment and opens the run.
func (s *Store) writeIndex(m *memtable) (*run, error) {
	c := contentOf(m)
	if err := errors.Join(s.writeTable(m), s.writeRun(c)); err != nil {
		return nil, err
	}
	if err := s.sys.SyncDir(indexFolder); err != nil {
		return nil, err
	}
	return openRun(s.sys, c.first, c.last)
}

// merge merges runs whenever there are enough of one size.
func (s *Store) merge() {
	for {
		changed := s.index.changed.next()
		merged, err := s.mergeOnce()
		err = full(err)
		if merged && err == nil {
			continue
		}
		if !s.maintained("merge runs of the index", err) || !s.pause(changed, err) {
			return
		}
	}
}

// mergeOnce merges the first runs that are enough of one size, and tells whether there were any.
func (s *Store) mergeOnce() (bool, error) {
	v := s.index.acquire()
	defer s.index.release(v)
	runs := mergeable(v.runs)
	if runs == nil {
		return false, nil
	}
	err := s.mergeRuns(runs)
	var bad *badRunError
	if errors.As(err, &bad) {
		return true, s.rebuild(bad)
	}
	return true, err
}

// mergeable finds neighbours of about the same size.
func mergeable(runs []*run) []*run {
	for from := 0; from+mergeOf <= len(runs); from++ {
		same := runs[from : from+mergeOf]
		if !slices.ContainsFunc(same, func(r *run) bool { return r.level() != same[0].level() }) {
			return same
		}
	}
	return nil
}

// level is how often a run of one segment would have been merged to become as large as r.
func (r *run) level() int { return (bits.Len32(r.segments) - 1) / 3 }

func (s *Store) mergeRuns(runs []*run) error {
	c := merged(runs)
	if err := s.writeRun(c); err != nil {
		return err
	}
	if err := s.sys.SyncDir(indexFolder); err != nil {
		return err
	}
	r, err := openRun(s.sys, c.first, c.last)
	if err != nil {
		return err
	}
	if !s.index.exchange(runs, []*run{r}) { // one of them has been rebuilt meanwhile
		return errors.Join(r.close(), s.sys.Remove(r.name()))
	}
	return s.removeRuns(runs)
}

// removeRuns removes the files of runs that are not needed any more. Who still reads them has them open.
func (s *Store) removeRuns(runs []*run) error {
	for _, r := range runs {
		if err := s.sys.Remove(r.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// repairing calls look, which reads the index, again as long as it comes upon bad runs, and makes those anew.
func (s *Store) repairing(look func() error) error {
	for {
		err := look()
		var bad *badRunError
		if !errors.As(err, &bad) {
			return err
		}
		if err := s.rebuild(bad); err != nil {
			return err
		}
	}
}

// rebuild makes the runs of all segments that a bad run covers anew, and puts them in its place.
func (s *Store) rebuild(bad *badRunError) error {
	s.repairs.Lock()
	defer s.repairs.Unlock()
	if !s.index.has(bad.run) {
		return nil // somebody else has done it
	}
	s.log.Error("a run of the index is damaged and will be made anew", "file", bad.run.name(), "cause", bad.why.Error())
	var fresh []*run
	for _, g := range s.segments.all() {
		if g.first < bad.run.first || g.first > bad.run.last {
			continue
		}
		r, err := s.indexAnew(g)
		if err != nil {
			return err
		}
		fresh = append(fresh, r)
	}
	s.index.exchange([]*run{bad.run}, fresh)
	if len(fresh) == 1 {
		return nil // the new one has the old one's name
	}
	return s.removeRuns([]*run{bad.run})
}

// scan reads a full segment into a memtable, checking everything.
func (s *Store) scan(g *segment) (*memtable, error) {
	w, err := s.walker(g)
	if err != nil {
		return nil, err
	}
	defer s.segments.release(g)
	m := newMemtable(g.first)
	_, _, bad := w.all(g, func(v visited) { m.add(s.indexed(v)) })
	return m, w.complete(g, bad)
}
