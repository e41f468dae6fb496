package couch_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/attachment"
	"strandline/domain/codec"
	"strandline/domain/registry"
	"strandline/readmodels"
	"strandline/readmodels/documents/couch"
	"strandline/readmodels/documents/couch/pouchtest"
	"strandline/readmodels/documents/documentstest"
)

// clock is one that tests move.
type clock struct{ ahead atomic.Int64 }

// stopClock gives a Store a clock that stands still.
func stopClock(store *couch.Store) *clock {
	c, began := &clock{}, time.Now()
	store.SetClock(func() time.Time { return began.Add(time.Duration(c.ahead.Load())) })
	return c
}

func (c *clock) move(by time.Duration) { c.ahead.Add(int64(by)) }

// follow has a store follow what serves, as projections do; nil if there is nothing.
func follow(t testing.TB, store *couch.Store) readmodels.RemoteBuild {
	t.Helper()
	build, err := store.Follow(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	if build != nil {
		store.Watermark().Set(build.Checkpoint())
	}
	return build
}

func write(t testing.TB, build readmodels.RemoteBuild, events []domain.Recorded) {
	t.Helper()
	if err := build.Write(t.Context(), batch(events)); err != nil {
		t.Fatal(err)
	}
}

// seen is what a store answers about what documentstest.History is about.
func seen(ctx context.Context, store *couch.Store) (all []any, err error) {
	ids := []string{"a", "b", "c,d", "é", ""}
	objects, err := store.Get(ctx, registry.Activity, ids...)
	if err != nil {
		return nil, err
	}
	keys, err := store.AttachmentKeys(ctx, ids, []string{"me", "*"})
	if err != nil {
		return nil, err
	}
	values, err := store.Attachments(ctx, ids, []string{"me", "*"}, "k")
	return []any{objects, keys, values}, err
}

// sees compares what a follower answers with what the writer does.
func sees(t *testing.T, follower, writer *couch.Store) {
	t.Helper()
	got, err := seen(bounded(t), follower)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := seen(bounded(t), writer); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the follower answers\n%s\nwant\n%s, %v", got, want, err)
	}
}

// TestProcessesShare has several Stores, each in the place of a process, on one server.
func TestProcessesShare(t *testing.T) {
	server := pouchtest.InMemory(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *pouchtest.Server)
	}{
		{"a process follows another", aProcessFollowsAnother},
		{"the checkpoint is told to others", checkpointIsToldToOthers},
		{"what concerns them", concerns},
		{"a rebuild is followed", aRebuildIsFollowed},
		{"a follower takes over", aFollowerTakesOver},
		{"what is built anew is not read before its time", whatIsBuiltAnewIsNotReadBeforeItsTime},
		{"a follower wakes up", aFollowerWakesUp},
		{"leftovers", leftovers},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, server) })
	}
}

func aProcessFollowsAnother(t *testing.T, server *pouchtest.Server) {
	writer, follower := connect(t, server, "followed"), connect(t, server, "followed")
	if b := follow(t, follower); b != nil || strings.Contains(get(t, server, "/_all_dbs"), "followed") {
		t.Errorf("on an empty server it follows %v, and there are %s", b, get(t, server, "/_all_dbs"))
	}
	if _, err := follower.Get(bounded(t), registry.Activity, "a"); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("Get before there is anything: %v", err)
	}
	build, before := open(t, writer), follow(t, follower)
	for rest := documentstest.History(rand.New(rand.NewPCG(10, 1)), 180); len(rest) > 0; rest = rest[60:] {
		write(t, build, rest[:60])
		b := follow(t, follower)
		if b != before || b.Checkpoint() != build.Checkpoint() {
			t.Errorf("it follows %p at %s, want %p at %s", b, b.Checkpoint(), before, build.Checkpoint())
		}
		if got, want := dumped(t, b), dumped(t, build); got != want {
			t.Errorf("it dumps\n%s\nwant\n%s", got, want)
		}
		sees(t, follower, writer)
	}
	if b, err := follower.Follow(bounded(t), "another generation"); b != nil || err != nil {
		t.Errorf("of another generation it follows %v, %v; want nothing", b, err)
	}
	at := "/" + database(t, server, "followed") + "/checkpoint"
	was := get(t, server, at)
	if err := follower.Close(); err != nil || get(t, server, at) != was {
		t.Errorf("Close of what only follows: %v, and the checkpoint is %s, want %s", err, get(t, server, at), was)
	}
}

// checkpointIsToldToOthers has events of no concern, whose checkpoint comes soon, and some that are there already, whose
// checkpoint comes at once.
func checkpointIsToldToOthers(t *testing.T, server *pouchtest.Server) {
	history := documentstest.History(rand.New(rand.NewPCG(10, 2)), 40)
	before := open(t, connect(t, server, "told"))
	write(t, before, history[:20])
	build, follower := open(t, connect(t, server, "told")), connect(t, server, "told")
	write(t, before, history[20:])
	setBack(t, server, "told", documentstest.At(40), documentstest.At(20))
	follow(t, follower)
	for _, r := range history[20:] {
		write(t, build, []domain.Recorded{r})
		if at := follow(t, follower).Checkpoint(); at != r.Position {
			t.Fatalf("after %s others are told of %s", r.Position, at)
		}
	}
	other := documentstest.Event(41, access.Ended{Rows: 1})
	write(t, build, []domain.Recorded{other})
	for until := time.Now().Add(patience); follow(t, follower).Checkpoint() != other.Position; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("others are never told of an event of no concern")
		}
	}
}

// setBack puts an earlier position into the checkpoint of the build that serves.
func setBack(t *testing.T, server *pouchtest.Server, prefix string, from, to domain.Position) {
	t.Helper()
	var pointer struct{ Build string }
	if err := json.Unmarshal([]byte(get(t, server, "/"+prefix+"/"+prefix+"-documents-1")), &pointer); err != nil {
		t.Fatal(err)
	}
	at := "/" + pointer.Build + "/checkpoint"
	was := get(t, server, at)
	now := strings.Replace(was, `"`+from.String()+`"`, `"`+to.String()+`"`, 1)
	if now == was {
		t.Fatalf("the checkpoint is %s, want it at %s", was, from)
	}
	do(t, server, "PUT", at, now)
}

// last is 1 for what removes something, which comes after the others.
func last(t codec.Type) int {
	switch t.Sample.(type) {
	case registry.Removed, attachment.Cleared:
		return 1
	}
	return 0
}

func concerns(t *testing.T, server *pouchtest.Server) {
	store := connect(t, server, "concerns")
	build := open(t, store)
	all := codec.Types()
	for i, typ := range all { // what is changed or removed is there
		switch e := typ.Sample.(type) {
		case registry.Removed:
			write(t, build, documentstest.Events(uint64(i+1), registry.Added{Kind: e.Kind, ID: e.ID}))
		case attachment.Cleared:
			write(t, build, documentstest.Events(uint64(i+1), attachment.Set{Owner: e.Owner, Target: e.Target, Key: e.Key, Value: json.RawMessage(`1`)}))
		}
	}
	slices.SortStableFunc(all, func(a, b codec.Type) int { return cmp.Compare(last(a), last(b)) })
	before := dumped(t, build)
	for i, typ := range all {
		write(t, build, documentstest.Events(uint64(1000+i), typ.Sample))
		after := dumped(t, build)
		if got, changed := store.Concerns(typ.Sample), after != before; got != changed {
			t.Errorf("Concerns(%s) = %t; that it changed something is %t", typ.Name, got, changed)
		}
		before = after
	}
}

// aRebuildIsFollowed reads all the time while another process builds anew, switches and drops what served.
func aRebuildIsFollowed(t *testing.T, server *pouchtest.Server) {
	history := documentstest.History(rand.New(rand.NewPCG(10, 3)), 150)
	writer, follower, idle, late := connect(t, server, "anew"), connect(t, server, "anew"), connect(t, server, "anew"), connect(t, server, "anew")
	writers, followers, idles := stopClock(writer), stopClock(follower), stopClock(idle)
	stopClock(late)
	write(t, open(t, writer), history)
	before := follow(t, follower)
	follow(t, idle) // and never again
	follow(t, late)
	want, err := seen(bounded(t), follower)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(bounded(t))
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	var reads [3]atomic.Int64
	for i, store := range []*couch.Store{follower, idle, idle} {
		readers.Go(func() {
			for ; ctx.Err() == nil; reads[i].Add(1) {
				if got, err := seen(ctx, store); ctx.Err() == nil && (err != nil || !reflect.DeepEqual(got, want)) {
					t.Errorf("while it was built anew: %v\n%s\nwant\n%s", err, got, want)
					return
				}
			}
		})
	}
	build, err := writer.Beside(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	for rest := history; len(rest) > 0; rest = rest[50:] {
		write(t, build, rest[:50])
		if follow(t, follower) != before {
			t.Error("it follows what does not serve yet")
		}
	}
	if err := build.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if follow(t, follower) != before {
		t.Error("it has asked which build serves sooner than it needs to")
	}
	followers.move(time.Second)
	if b := follow(t, follower); b == before || b.Checkpoint() != build.Checkpoint() {
		t.Errorf("a second later it follows what has been replaced, at %s", b.Checkpoint())
	}
	some := func() { // is read by each that had not begun yet
		t.Helper()
		for i := range reads {
			for until, goal := time.Now().Add(patience), reads[i].Load()+2; reads[i].Load() < goal && !t.Failed(); time.Sleep(time.Millisecond) {
				if time.Now().After(until) {
					t.Fatal("nothing is read")
				}
			}
		}
	}
	idles.move(readmodels.Followed / 3)
	some()
	writers.move(readmodels.Followed - time.Second)
	write(t, build, history[149:])
	if n := builds(t, server, "anew"); n != 2 {
		t.Errorf("there are %d builds, want what serves and what served", n)
	}
	writers.move(time.Second)
	write(t, build, history[149:])
	if n := builds(t, server, "anew"); n != 1 {
		t.Errorf("there are %d builds, want what serves", n)
	}
	some()
	if got, err := seen(ctx, late); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after what it followed was dropped: %v\n%s\nwant\n%s", err, got, want)
	}
}

// builds is how many databases there are of a prefix.
func builds(t *testing.T, server *pouchtest.Server, prefix string) int {
	t.Helper()
	return strings.Count(get(t, server, "/_all_dbs"), `"`+prefix+"-documents-1-")
}

// rebuilt has a build of some events take the place of what serves.
func rebuilt(t *testing.T, store *couch.Store, history []domain.Recorded) readmodels.RemoteBuild {
	t.Helper()
	build, err := store.Beside(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	write(t, build, history)
	if err := build.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	return build
}

// aFollowerTakesOver has a process end that has written more than its checkpoint says, just after a rebuild.
func aFollowerTakesOver(t *testing.T, server *pouchtest.Server) {
	history := documentstest.History(rand.New(rand.NewPCG(10, 4)), 200)
	first, second := connect(t, server, "over"), connect(t, server, "over")
	clock := stopClock(second)
	write(t, open(t, first), history[:120])
	follow(t, second)
	rebuilt(t, first, history[:120])
	setBack(t, server, "over", documentstest.At(120), documentstest.At(100))

	own := open(t, second)
	if own.Checkpoint() != documentstest.At(100) {
		t.Fatalf("it begins at %s, want %s", own.Checkpoint(), documentstest.At(100))
	}
	for rest := history[100:]; len(rest) > 0; rest = rest[20:] {
		write(t, own, rest[:20])
		second.Watermark().Set(own.Checkpoint())
	}
	if got := dumped(t, own); got != want(history) {
		t.Errorf("the store holds\n%s\nwant\n%s", got, want(history))
	}
	if n := builds(t, server, "over"); n != 2 {
		t.Errorf("there are %d builds, want what serves and what served, which others may read", n)
	}
	clock.move(readmodels.Followed)
	write(t, own, history[199:])
	if n := builds(t, server, "over"); n != 1 {
		t.Errorf("there are %d builds, want what serves", n)
	}
}

// whatIsBuiltAnewIsNotReadBeforeItsTime has a build dropped that is followed, while the one in its place is not as far.
func whatIsBuiltAnewIsNotReadBeforeItsTime(t *testing.T, server *pouchtest.Server) {
	history := documentstest.History(rand.New(rand.NewPCG(10, 6)), 60)
	writer, follower := connect(t, server, "early"), connect(t, server, "early")
	write(t, open(t, writer), history)
	follow(t, follower)
	before := database(t, server, "early")
	build := rebuilt(t, writer, history[:30])
	do(t, server, "DELETE", "/"+before, "")
	for range 2 {
		if _, err := seen(bounded(t), follower); !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("what is not complete is read: %v", err)
		}
	}
	if at := follow(t, follower).Checkpoint(); at != documentstest.At(30) {
		t.Errorf("it follows what is at %s, want %s", at, documentstest.At(30))
	}
	write(t, build, history[30:])
	sees(t, follower, writer)
}

// aFollowerWakesUp has a process stopped for so long that what it has followed may be dropped any time.
func aFollowerWakesUp(t *testing.T, server *pouchtest.Server) {
	history := documentstest.History(rand.New(rand.NewPCG(10, 7)), 40)
	writer, follower := connect(t, server, "wakes"), connect(t, server, "wakes")
	clock := stopClock(follower)
	write(t, open(t, writer), history[:20])
	follow(t, follower)
	rebuilt(t, writer, history)
	clock.move(readmodels.Followed / 3)
	sees(t, follower, writer)
}

// leftovers has builds that nobody has served: one that is still being filled is kept.
func leftovers(t *testing.T, server *pouchtest.Server) {
	history := documentstest.History(rand.New(rand.NewPCG(10, 5)), 60)
	store := connect(t, server, "left")
	clock := stopClock(store)
	open(t, store)
	filled, err := connect(t, server, "left").Beside(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	build := open(t, store)
	for i, want := range []int{2, 1, 1} {
		if i == 0 {
			write(t, filled, history[:20])
		}
		clock.move(readmodels.Followed)
		write(t, build, history[20*i:20*i+20])
		if n := builds(t, server, "left"); n != want {
			t.Errorf("round %d: there are %d builds, want %d", i, n, want)
		}
	}
}
