package embedded

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Report says what Verify has checked.
type Report struct {
	Records  uint64
	Segments int
	Bytes    int64 // of records and their groups
}

// Verify reads the whole log up to what is durable now, as fast as it can, and checks every checksum, the order of
// positions, the ends of appends and the hash chain. It fails with domain.ErrDamaged at the first thing that is wrong.
func (s *Store) Verify(ctx context.Context) (Report, error) {
	if err := s.usable(ctx); err != nil {
		return Report{}, err
	}
	upTo := s.watermark()
	list := s.segments.all()
	var next, records, bytes atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, min(runtime.GOMAXPROCS(0), 8))
	for i := range errs {
		group.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(list) && errs[i] == nil; n = int(next.Add(1)) - 1 {
				var checked Report
				checked, errs[i] = s.verifySegment(list, n, upTo, func(int) error { return s.usable(ctx) })
				records.Add(int64(checked.Records))
				bytes.Add(checked.Bytes)
			}
		})
	}
	group.Wait()
	return Report{uint64(records.Load()), len(list), bytes.Load()}, errors.Join(errs...)
}

// verifySegment checks a segment up to a position, and that the next one takes its chain up. It calls pause with the
// bytes of each group.
func (s *Store) verifySegment(list []*segment, n int, upTo uint64, pause func(bytes int) error) (Report, error) {
	g := list[n]
	if g.first > upTo {
		return Report{}, nil
	}
	w, err := s.walker(g)
	if err != nil {
		return Report{}, err
	}
	defer s.segments.release(g)
	if err := w.start(g); err != nil {
		return Report{}, damaged(g, g.first, g.first, 0, err)
	}
	last := upTo
	if n < len(list)-1 {
		last = min(upTo, list[n+1].first-1)
	}
	for w.next <= last {
		before := w.offset
		if _, err := w.group(func(visited) {}); err != nil {
			return Report{}, damaged(g, w.next, last, w.offset, err)
		}
		if err := pause(int(w.offset - before)); err != nil {
			return Report{}, err
		}
	}
	report := Report{Records: w.next - g.first, Bytes: w.offset}
	if n == len(list)-1 || list[n+1].first > upTo {
		return report, nil
	}
	return report, s.verifyJoint(w, list[n+1])
}

// verifyJoint checks that a segment goes on where w has ended.
func (s *Store) verifyJoint(w *walker, g *segment) error {
	after, err := s.walker(g)
	if err != nil {
		return err
	}
	defer s.segments.release(g)
	if err := after.start(g); err != nil {
		return damaged(g, g.first, g.first, 0, err)
	}
	if w.next != g.first || after.chain != w.chain {
		return damaged(g, g.first, g.first, 0, fmt.Errorf("the hash chain does not go on from the segment before"))
	}
	return nil
}

// verifyEvery is how long the background waits between two rounds.
const verifyEvery = 24 * time.Hour

// verify checks full segments and their index in the background, at a bounded rate, round after round.
func (s *Store) verify() {
	if s.opt.VerifyRate < 0 {
		return
	}
	for s.verifyRound(s.pacer()) == nil {
		select {
		case <-time.After(verifyEvery):
		case <-s.closing:
			return
		}
	}
}

// verifyRound checks everything once. Damage is reported; the error is errClosed.
func (s *Store) verifyRound(pause func(bytes int) error) error {
	list := s.segments.all()
	for n, g := range list {
		if g.last.Load() == 0 {
			break
		}
		_, err := s.verifySegment(list, n, g.last.Load(), pause)
		if err := s.damage(err); err != nil {
			return err
		}
		s.distrust(g)
	}
	return s.damage(s.verifyRuns(pause))
}

// damage reports an error, unless it is that of a closed store, which it returns.
func (s *Store) damage(err error) error {
	if err == nil || errors.Is(err, errClosed) {
		return err
	}
	s.damages.Add(1)
	s.log.Error("background verification has found damage; what is damaged will not be served", "cause", err.Error())
	return nil
}

// verifyRuns checks all pages of the runs, and makes bad ones anew.
func (s *Store) verifyRuns(pause func(bytes int) error) error {
	return s.repairing(func() error {
		v := s.index.acquire()
		defer s.index.release(v)
		for _, r := range v.runs {
			if err := r.verify(pause); err != nil {
				return err
			}
		}
		return nil
	})
}

// pacer returns a function that takes as long as it should take to read so many bytes. It fails once the store is closed.
func (s *Store) pacer() func(bytes int) error {
	const step = 256 << 10
	read := 0
	return func(bytes int) error {
		if read += bytes; read < step {
			return s.usable(context.Background())
		}
		pause := time.Duration(float64(read) / float64(s.opt.VerifyRate) * float64(time.Second))
		read = 0
		select {
		case <-time.After(pause):
			return nil
		case <-s.closing:
			return errClosed
		}
	}
}

// Stats are figures for operators.
type Stats struct {
	Head     uint64 // the last durable position
	Segments int
	Runs     int   // of the index
	Groups   int64 // written since the store was opened; each took one sync
	Damages  int64 // that background verification has found
}

// Stats returns the figures of the moment.
func (s *Store) Stats() Stats {
	v := s.index.acquire()
	defer s.index.release(v)
	return Stats{s.watermark(), len(s.segments.all()), len(v.runs), s.groups.Load(), s.damages.Load()}
}
