package embedded_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
)

// long tells whether the long form of the drills is asked for.
func long() bool { return os.Getenv("STRANDLINE_DRILL") == "long" }

// scale is short, or many in the long form.
func scale(short, many int) int {
	if long() {
		return many
	}
	return short
}

// appendKey names one append of a drill. All that the append holds follows from it, so that whoever meets a record later,
// even in another process, knows what it must look like.
type appendKey struct {
	life   uint32
	writer uint16
	seq    uint32
}

// of is the key of the append to which a record with this id belongs, with the record's place in it.
func keyOf(id domain.ID) (k appendKey, index, count int) {
	k.life = binary.BigEndian.Uint32(id[0:])
	k.writer = binary.BigEndian.Uint16(id[4:])
	k.seq = binary.BigEndian.Uint32(id[6:])
	return k, int(id[10]), int(id[11])
}

func (k appendKey) id(index, count int) (id domain.ID) {
	binary.BigEndian.PutUint32(id[0:], k.life)
	binary.BigEndian.PutUint16(id[4:], k.writer)
	binary.BigEndian.PutUint32(id[6:], k.seq)
	id[10], id[11], id[12] = byte(index), byte(count), 1
	return id
}

// own tells whether the append goes to a stream that only its writer writes, with exact revisions.
func (k appendKey) own() bool { return k.seq%2 == 0 }

func (k appendKey) stream() string {
	if k.own() {
		return fmt.Sprintf("own-%d-%d", k.life, k.writer)
	}
	return fmt.Sprintf("shared-%d", (k.seq/2+uint32(k.writer))%5)
}

// records are those of the append: mostly a few small ones, now and then many or large ones.
func (k appendKey) records() []domain.Record {
	rng := rand.New(rand.NewPCG(uint64(k.life)<<16|uint64(k.writer), uint64(k.seq)))
	n, size := 1+rng.IntN(5), 300
	switch rng.IntN(16) {
	case 0:
		n = 20
	case 1:
		size = 9000
	case 2:
		size = 1
	}
	rs := make([]domain.Record, n)
	for i := range rs {
		data := make([]byte, rng.IntN(size))
		for at := range data {
			data[at] = byte(rng.Uint32() | 1) // never zero, so that the end of a file's data can be seen
		}
		rs[i] = domain.Record{
			Envelope: domain.Envelope{ID: k.id(i, n), Type: "drill.done", Version: 1 + i, Actor: "system", Subject: k.stream(), CommandID: k.id(0, n)},
			Data:     data,
		}
	}
	return rs
}

// ledger knows what was sent to a store, and judges what the store has made of it.
type ledger struct {
	mu      sync.Mutex
	acked   map[appendKey]commands.Appended
	open    map[appendKey]domain.Expected // begun, and not acknowledged: there wholly or not at all
	known   []domain.ID                   // what was seen to be durable, by position from 1
	content map[appendKey][]domain.Record
	seen    progress // how far the last check went
}

func newLedger() *ledger {
	return &ledger{acked: map[appendKey]commands.Appended{}, open: map[appendKey]domain.Expected{}, content: map[appendKey][]domain.Record{}}
}

// copy is a ledger of its own with the same content.
func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ledger{acked: maps.Clone(l.acked), open: maps.Clone(l.open), known: slices.Clone(l.known), content: l.content}
}

// sent are all appends that were begun.
func (l *ledger) sent() map[appendKey]domain.Expected {
	all := maps.Clone(l.open)
	for k := range l.acked {
		all[k] = domain.Any
	}
	return all
}

// send appends and notes the outcome.
func (l *ledger) send(ctx context.Context, store commands.EventStore, k appendKey, expected domain.Expected) (commands.Appended, error) {
	l.mu.Lock()
	l.open[k] = expected
	l.mu.Unlock()
	done, err := store.Append(ctx, k.stream(), expected, k.records())
	if err == nil {
		l.acknowledge(k, done)
	}
	return done, err
}

func (l *ledger) acknowledge(k appendKey, done commands.Appended) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, k)
	l.acked[k] = done
}

// saw notes what a follower was given: it must be durable.
func (l *ledger) saw(batch []domain.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range batch {
		if int(r.Position.Commit) == len(l.known)+1 {
			l.known = append(l.known, r.ID)
		}
	}
}

// write sends appends as one writer until one fails, and returns its error.
func (l *ledger) write(ctx context.Context, store commands.EventStore, life uint32, writer uint16, appends int) error {
	own := domain.NoStream
	for seq := range uint32(appends) {
		k := appendKey{life, writer, seq}
		expected := domain.Any
		if k.own() {
			expected = own
		}
		done, err := l.send(ctx, store, k, expected)
		if err != nil {
			return err
		}
		if k.own() {
			own = domain.Exactly(done.Revision)
		}
	}
	return nil
}

// work lets several writers append, and a follower look on, until all is done or something fails.
func (l *ledger) work(ctx context.Context, store commands.EventStore, life uint32, writers, appends int) error {
	following, stop := context.WithCancel(ctx)
	defer stop()
	var look, group sync.WaitGroup
	look.Go(func() {
		for batch, err := range store.Follow(following, domain.Position{Commit: 0}) {
			if err != nil {
				return
			}
			l.saw(batch)
		}
	})
	failed := make([]error, writers)
	for w := range writers {
		group.Go(func() { failed[w] = l.write(ctx, store, life, uint16(w), appends) })
	}
	group.Wait()
	stop()
	look.Wait()
	return errors.Join(failed...)
}

// retry sends again what was not acknowledged: it must succeed, whether it had happened or not.
func (l *ledger) retry(ctx context.Context, store commands.EventStore) error {
	for _, k := range l.unacknowledged() {
		if _, err := l.send(ctx, store, k, l.open[k]); err != nil {
			return fmt.Errorf("append %v again, expecting %s: %w", k, l.open[k], err)
		}
	}
	return nil
}

// unacknowledged are the open appends, those of one writer in their order.
func (l *ledger) unacknowledged() []appendKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []appendKey
	for k := range l.open {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b appendKey) int { return bytes.Compare(sortKey(a), sortKey(b)) })
	return keys
}

func sortKey(k appendKey) []byte { id := k.id(0, 0); return id[:] }

// check compares a store with the ledger. The first thing that is wrong is its error.
func (l *ledger) check(ctx context.Context, store *embedded.Store) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, err := collect(store.ReadAll(ctx, domain.Position{}, 0, commands.Forwards))
	if err != nil {
		return fmt.Errorf("read all: %w", err)
	}
	if len(all) < len(l.known) || !slices.Equal(ids(all[:len(l.known)]), l.known) {
		return fmt.Errorf("%d records, %d were known to be durable, or in another order", len(all), len(l.known))
	}
	var seen progress
	if err := l.checkLog(&seen, all); err != nil {
		return err
	}
	if err := checkStreams(ctx, store, all); err != nil {
		return err
	}
	report, err := store.Verify(ctx)
	if err != nil || report.Records != uint64(len(all)) {
		return fmt.Errorf("verify: %w (%+v)", err, report)
	}
	l.known, l.seen = ids(all), seen
	return nil
}

// checkNew checks the records beyond those known, for logs that grow large, and that what is acknowledged is there.
func (l *ledger) checkNew(ctx context.Context, store *embedded.Store) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := l.seen.last.Commit + 1
	all, err := collect(store.ReadAll(ctx, domain.Position{Commit: from, Prepare: from}, 0, commands.Forwards))
	if err != nil {
		return fmt.Errorf("read all from %d: %w", from, err)
	}
	if err := l.checkLog(&l.seen, all); err != nil {
		return err
	}
	l.known = append(l.known[:from-1], ids(all)...)
	return nil
}

// progress is how far a log has been judged.
type progress struct {
	last      domain.Position
	time      time.Time
	revisions map[string]uint64 // the next one of each stream
	found     map[appendKey]bool
}

// checkLog judges the records that follow what has been judged.
func (l *ledger) checkLog(p *progress, all []domain.Record) error {
	if p.found == nil {
		p.revisions, p.found = map[string]uint64{}, map[appendKey]bool{}
	}
	for len(all) > 0 {
		k, _, count := keyOf(all[0].ID)
		if count > len(all) || p.found[k] {
			return fmt.Errorf("append %v stands at position %v in part or again", k, all[0].Position)
		}
		if err := l.checkAppend(p, k, all[:count]); err != nil {
			return fmt.Errorf("append %v at position %v: %w", k, all[0].Position, err)
		}
		p.found[k] = true
		all = all[count:]
	}
	for k, done := range l.acked {
		if !p.found[k] {
			return fmt.Errorf("append %v was acknowledged at position %v and is not there", k, done.Position)
		}
	}
	return nil
}

// records are k's, remembered because the same ones are compared again and again.
func (l *ledger) records(k appendKey) []domain.Record {
	rs, known := l.content[k]
	if !known {
		rs = k.records()
		l.content[k] = rs
	}
	return rs
}

// checkAppend compares the records of one append with what was sent.
func (l *ledger) checkAppend(p *progress, k appendKey, got []domain.Record) error {
	want, stream := l.records(k), k.stream()
	if len(want) != len(got) {
		return fmt.Errorf("%d records; want %d", len(got), len(want))
	}
	for i, w := range want {
		p.last.Commit, p.last.Prepare = p.last.Commit+1, p.last.Prepare+1
		w.Stream, w.Time, w.Revision, w.Position = stream, got[i].Time, p.revisions[stream], p.last
		if err := equal(got[i], w); err != nil {
			return err
		}
		if w.Time.Before(p.time) {
			return fmt.Errorf("time goes back to %v", w.Time)
		}
		p.time = w.Time
		p.revisions[stream]++
	}
	done, acked := l.acked[k]
	if _, begun := l.open[k]; !acked && !begun {
		return errors.New("nobody sent it")
	}
	if last := got[len(got)-1]; acked && (done.Position != last.Position || done.Revision != last.Revision) {
		return fmt.Errorf("it was acknowledged at position %v, revision %d", done.Position, done.Revision)
	}
	return nil
}

// equal compares two records in all that the drills' records have.
func equal(got, want domain.Record) error {
	if !bytes.Equal(got.Data, want.Data) {
		return fmt.Errorf("other data in %s at %v", got.Stream, got.Position)
	}
	if g, w := plain(got), plain(want); g != w {
		return fmt.Errorf("record %+v; want %+v", g, w)
	}
	return nil
}

// plain is a record in a form that can be compared.
func plain(r domain.Record) any {
	type fields struct {
		position                     domain.Position
		id, command                  domain.ID
		typ, stream, actor, subject  string
		version, extra               int
		revision                     uint64
		time                         time.Time
		credential, key, correlation string
	}
	return fields{
		r.Position, r.ID, r.CommandID, r.Type, r.Stream, r.Actor, r.Subject, r.Version, len(r.Extra), r.Revision, r.Time,
		r.Credential, r.Key, r.Correlation.String(),
	}
}

// checkStreams reads every stream in both directions and finds every event by its id.
func checkStreams(ctx context.Context, store *embedded.Store, all []domain.Record) error {
	streams := map[string][]domain.ID{}
	for _, r := range all {
		streams[r.Stream] = append(streams[r.Stream], r.ID)
	}
	for name, want := range streams {
		got, err := collect(store.ReadStream(ctx, name, 0, 0, commands.Forwards))
		if err != nil || !slices.Equal(ids(got), want) {
			return fmt.Errorf("stream %s has %d records (%v); want %d", name, len(got), err, len(want))
		}
		got, err = collect(store.ReadStream(ctx, name, math.MaxUint64, 0, commands.Backwards))
		slices.Reverse(got)
		if err != nil || !slices.Equal(ids(got), want) {
			return fmt.Errorf("stream %s backwards has %d records (%v); want %d", name, len(got), err, len(want))
		}
	}
	for i := 0; i < len(all); i += 1 + len(all)/200 {
		r, err := store.Find(ctx, all[i].Stream, all[i].ID)
		if err != nil || r.Position != all[i].Position {
			return fmt.Errorf("finding position %d by its id: %v, %w", i+1, r.Position, err)
		}
	}
	return nil
}

func collect(seq iter.Seq2[domain.Record, error]) (rs []domain.Record, err error) {
	for r, err := range seq {
		if err != nil {
			return rs, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

func ids(rs []domain.Record) []domain.ID {
	ids := make([]domain.ID, len(rs))
	for i, r := range rs {
		ids[i] = r.ID
	}
	return ids
}

// tally counts what a drill did.
type tally struct {
	mu         sync.Mutex
	points     int
	violations int
	slowest    time.Duration // recovery
	kinds      map[string]int
}

// open opens a store and notes how long that took.
func (y *tally) open(sys files.System, opt embedded.Options) (*embedded.Store, error) {
	began := time.Now()
	store, err := embedded.Open(sys, opt)
	took := time.Since(began)
	y.mu.Lock()
	defer y.mu.Unlock()
	y.slowest = max(y.slowest, took)
	return store, err
}

func (y *tally) point(kind string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.kinds == nil {
		y.kinds = map[string]int{}
	}
	y.points++
	y.kinds[kind]++
}

// violation fails the test; after ten the drill ends.
func (y *tally) violation(t *testing.T, format string, args ...any) {
	t.Helper()
	y.mu.Lock()
	y.violations++
	enough := y.violations >= 10
	y.mu.Unlock()
	t.Errorf(format, args...)
	if enough {
		t.FailNow()
	}
}

// report prints what was done. A recovery of 2 s or more fails the drill.
func (y *tally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d points %v, %d violations, slowest recovery %v", y.points, y.kinds, y.violations, y.slowest.Round(100*time.Microsecond))
	if y.slowest >= 2*time.Second {
		t.Errorf("slowest recovery took %v; want less than 2 s", y.slowest)
	}
}

// small are options under which a few appends fill segments, so that runs are made and merged.
func small() embedded.Options { return embedded.Options{SegmentSize: 32 << 10} }

// pause lets others run.
func pause() { time.Sleep(50 * time.Microsecond) }

// middling are options with segments that hold some thousand records and can be copied quickly.
func middling() embedded.Options { return embedded.Options{SegmentSize: 256 << 10} }

// tiny are options under which nearly every append begins a segment.
func tiny() embedded.Options { return embedded.Options{SegmentSize: 2 << 10} }
