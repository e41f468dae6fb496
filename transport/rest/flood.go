package rest

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
)

// Bounds on the memory and the records that a flood takes.
const (
	mostSources   = 1024     // told apart in one second; further ones are one source
	furtherSource = "others" // what that one is called on the record
	writersOfOnes = 32       // counts that are on their way to the disk at once, so that they share its syncs
)

// floods counts requests of nobody known where there are too many for a record each (decision 10). A source that sends
// more than burst in a second, or any source while all of them together send more than total, has its further requests
// of that second counted in one record, and so on in each following second until one in which it sends no more than that.
//
// Every request has a record of its own or is in one count, never both. The answer may leave before its count is on
// disk, but only until the second is over: an answer of the next second waits until the counts of this one are on disk.
// So a crash loses one second of counts at most. While counts cannot be written, nothing is counted: each request then
// needs a record of its own, and is not served without it.
type floods struct {
	recorder Recorder
	clock    func() time.Time
	log      *slog.Logger
	burst    int
	total    int

	mu      sync.Mutex
	second  int64             // that is being counted
	seen    map[string]int    // requests of each source in it
	all     int               // of all sources
	before  map[string]int    // the same of the second before
	allThen int               //
	open    map[string]*count // of sources that are too many
	unsaved []*count          // of earlier seconds, to be written
	saving  chan struct{}     // closed when what was unsaved has been tried; nil if nobody tries
	failing bool              // the last attempt has failed
	turn    *time.Timer       // to the next second, while anything is open or unsaved
	closed  bool
}

// count stands for the requests of one source in one second.
type count struct {
	meta    commands.Meta
	event   access.Flooded
	refused map[string]int
}

func newFloods(recorder Recorder, clock func() time.Time, log *slog.Logger, burst, total int) *floods {
	return &floods{recorder: recorder, clock: clock, log: log, burst: burst, total: total,
		seen: map[string]int{}, before: map[string]int{}, open: map[string]*count{}}
}

// count counts the request of c, which has been answered with a, if there is a flood; else it is to be recorded. A
// request that is counted has the id of its count from then on.
func (f *floods) count(c *Call, a Answer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	f.advance(now)
	from := f.sighted(Source(c.Meta.Details.Address))
	for f.saving != nil && f.flooded(from) {
		f.await()
		now = f.clock()
		f.advance(now)
	}
	if f.closed || f.failing || !f.flooded(from) {
		return false
	}
	n, ok := f.open[from]
	if !ok {
		n = begin(from, now)
		f.open[from] = n
		f.schedule(now)
	}
	n.add(a.Code, now)
	c.Meta.Request = n.meta.Request
	return true
}

// sighted notes one more request of a source and returns what the source is called.
func (f *floods) sighted(from string) string {
	if _, ok := f.seen[from]; !ok && len(f.seen) >= mostSources {
		from = furtherSource
	}
	f.seen[from]++
	f.all++
	return from
}

func (f *floods) flooded(from string) bool {
	return f.seen[from] > f.burst || f.before[from] > f.burst || f.all > f.total || f.allThen > f.total
}

// await waits, without the lock, until the counts of earlier seconds have been tried.
func (f *floods) await() {
	saving := f.saving
	f.mu.Unlock()
	<-saving
	f.mu.Lock()
}

// advance begins a new second if there is one. A clock that goes back begins one too, with the same memory.
func (f *floods) advance(now time.Time) {
	second := now.Unix()
	if second == f.second {
		return
	}
	f.before, f.allThen = f.seen, f.all
	if second > f.second+1 {
		f.before, f.allThen = map[string]int{}, 0
	}
	f.second, f.seen, f.all = second, map[string]int{}, 0
	f.over()
}

// over closes what has been counted, and begins to write it.
func (f *floods) over() {
	f.unsaved = slices.AppendSeq(f.unsaved, maps.Values(f.open))
	clear(f.open)
	f.save()
}

// save begins to write what is unsaved, unless somebody does already.
func (f *floods) save() {
	if f.saving != nil || len(f.unsaved) == 0 {
		return
	}
	saving, unsaved := make(chan struct{}), f.unsaved
	f.saving, f.unsaved = saving, nil
	go func() {
		failed := f.write(unsaved)
		f.mu.Lock()
		defer f.mu.Unlock()
		defer close(saving)
		f.unsaved, f.saving, f.failing = append(failed, f.unsaved...), nil, len(failed) > 0
		if !f.failing {
			f.save()
		}
		f.schedule(f.clock())
	}()
}

// write records counts, and returns those that could not be.
func (f *floods) write(all []*count) (failed []*count) {
	var mu sync.Mutex
	var writers sync.WaitGroup
	places := make(chan struct{}, writersOfOnes)
	for _, n := range all {
		places <- struct{}{}
		writers.Go(func() {
			defer func() { <-places }()
			if _, err := f.recorder.Record(context.Background(), n.meta, n.finished()); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, n)
			}
		})
	}
	writers.Wait()
	if len(failed) > 0 {
		f.log.Error("counts of unauthenticated requests could not be recorded, and will be tried again", "counts", len(failed))
	}
	return failed
}

// schedule makes sure that somebody looks when the second is over.
func (f *floods) schedule(now time.Time) {
	if f.turn != nil || f.closed || len(f.open) == 0 && len(f.unsaved) == 0 {
		return
	}
	f.turn = time.AfterFunc(now.Truncate(time.Second).Add(time.Second).Sub(now), func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.turn = nil
		now := f.clock()
		f.advance(now)
		f.save()
		f.schedule(now)
	})
}

// close writes what has been counted. Nothing is counted any more.
func (f *floods) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.turn != nil {
		f.turn.Stop()
	}
	f.over()
	for f.saving != nil {
		f.await()
	}
}

// begin is a count of nothing yet.
func begin(from string, now time.Time) *count {
	return &count{
		meta: commands.Meta{
			Principal: commands.Principal{Anonymous: true},
			Request:   domain.ID(uuid.Must(uuid.NewV7())), // fails only where the machine has no randomness left
			Dialect:   "http",                             // of any dialect
			Details:   domain.Request{Address: from},
		},
		event:   access.Flooded{From: now.UnixMilli()},
		refused: map[string]int{},
	}
}

func (n *count) add(code string, now time.Time) {
	n.event.Count++
	n.event.To = max(n.event.From, now.UnixMilli())
	if code != "" {
		n.refused[code]++
	}
}

func (n *count) finished() access.Flooded {
	e := n.event
	for _, code := range slices.Sorted(maps.Keys(n.refused)) {
		e.Refused = append(e.Refused, access.Refusals{Code: code, Count: n.refused[code]})
	}
	return e
}

// Source is what one caller can be told apart by: an IPv4 address, or the /64 that an IPv6 address is in.
func Source(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}
