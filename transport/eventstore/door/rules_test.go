package door_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"strandline/transport/eventstore/embedded"
	"strandline/transport/eventstore/memory"
	"strandline/transport/files"
)

// TestRules holds the rules of section 5 of the contract "EventStoreDB" that only the protocol has words for, as the
// official client sees them. The others are storetest's, which runs over the same door through the adapter.
//
// They run over stores of every kind, and against a real EventStoreDB where STRANDLINE_ESDB_URL names one, with a user
// that may do everything.
func TestRules(t *testing.T) {
	kinds := map[string]func(t *testing.T) *server{
		"memory":   func(t *testing.T) *server { return own(worldOver(t, memory.New())) },
		"gapped":   func(t *testing.T) *server { return own(worldOver(t, memory.New(memory.WithGaps(1)))) },
		"embedded": onDisk,
	}
	if url := os.Getenv("STRANDLINE_ESDB_URL"); url != "" {
		kinds["server"] = func(t *testing.T) *server {
			client := connect(t, url)
			t.Cleanup(func() { client.Close() })
			return &server{world: &world{T: t, client: client}}
		}
	}
	rules := []struct {
		name string
		test func(*server)
	}{
		{"01-08 every expectation of every life of a stream", expectations},
		{"10 a partial overlap is a wrong revision", partialOverlap},
		{"15 reading includes its start, a subscription does not", boundaries},
		{"16 backwards, from the end, from within, from beyond", backwards},
		{"19 filters pick", filters},
		{"19 checkpoints, and resuming loses nothing", resuming},
		{"20 caught up after history, and again after falling behind", caughtUp},
		{"22 $maxCount, $maxAge and $tb hide from who reads the stream only", hidden},
		{"23 after a deletion the numbers go on", deleted},
		{"24 a tombstone is for ever", tombstoned},
		{"25 links, dangling too", links},
		{"26 system names", systemNames},
		{"27 metadata comes back, unknown keys too", metadata},
		{"28 any bytes, any names", anyBytes},
		{"30 groups acknowledge, park, retry, skip and time out", groupAnswers},
		{"30 groups replay what is parked", groupReplays},
		{"30 groups go on where they were", groupGoesOn},
		{"30 pinned groups keep streams together", groupPins},
	}
	for kind, open := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, rule := range rules {
				t.Run(rule.name, func(t *testing.T) { rule.test(open(t)) })
			}
		})
	}
}

// server is what the rules are held against.
type server struct {
	*world
	again func() *world // stops it and starts it again; nil if that cannot be done
}

// ours tells whether it is our door, which may do more than the original.
func (s *server) ours() bool { return s.store != nil }

func own(w *world) *server {
	s := &server{world: w}
	s.again = func() *world {
		s.close()
		return worldOver(w.T, w.store)
	}
	return s
}

func onDisk(t *testing.T) *server {
	disk, err := files.NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	open := func() *embedded.Store {
		store, err := embedded.Open(disk, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	}
	store := open()
	s := &server{world: worldOver(t, store)}
	s.again = func() *world {
		s.close()
		store.Close()
		return worldOver(t, open())
	}
	return s
}

// fresh is the name of a stream that nobody has written, in a category of its own.
func fresh() string { return "ext-" + strings.ReplaceAll(uuid.NewString(), "-", "") }

// filled is a stream with events of some types.
func (w *world) filled(types string) string {
	w.Helper()
	stream := fresh()
	w.fill(stream, types)
	return stream
}

func (w *world) remove(stream string) {
	w.Helper()
	if _, err := w.client.DeleteStream(w.Context(), stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) bury(stream string) {
	w.Helper()
	if _, err := w.client.TombstoneStream(w.Context(), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		w.Fatal(err)
	}
}

// describe sets a stream's metadata.
func (w *world) describe(stream, metadata string) {
	w.Helper()
	about, err := esdb.StreamMetadataFromJson([]byte(metadata))
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.client.SetStreamMetadata(w.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, *about); err != nil {
		w.Fatal(err)
	}
}

var streamDeleted = fmt.Sprint("error ", esdb.ErrorCodeStreamDeleted)

func expectations(s *server) {
	const allowed = esdb.ErrorCode(-1)
	const wrong, gone = esdb.ErrorCodeWrongExpectedVersion, esdb.ErrorCodeStreamDeleted
	lives := []struct {
		name string
		lead func(stream string)
		next uint64
		// what an append comes to that expects any, no stream, a stream, revision 0, revision 4
		any, none, exists, zero, four esdb.ErrorCode
	}{
		{"missing", func(string) {}, 0, allowed, allowed, wrong, wrong, wrong},
		{"metadata only", func(n string) { s.describe(n, `{"x":1}`) }, 0, allowed, allowed, allowed, wrong, wrong},
		{"at revision 0", func(n string) { s.fill(n, "a") }, 1, allowed, wrong, allowed, allowed, wrong},
		{"at revision 4", func(n string) { s.fill(n, "a b c d e") }, 5, allowed, wrong, allowed, wrong, allowed},
		{"soft-deleted at 4", func(n string) { s.fill(n, "a b c d e"); s.remove(n) }, 5, allowed, allowed, gone, wrong, allowed},
		{"tombstoned at 4", func(n string) { s.fill(n, "a b c d e"); s.bury(n) }, 0, gone, gone, gone, gone, gone},
	}
	for _, life := range lives {
		for _, e := range []struct {
			expected esdb.ExpectedRevision
			want     esdb.ErrorCode
		}{{esdb.Any{}, life.any}, {esdb.NoStream{}, life.none}, {esdb.StreamExists{}, life.exists}, {esdb.Revision(0), life.zero}, {esdb.Revision(4), life.four}} {
			stream := fresh()
			life.lead(stream)
			done, err := s.client.AppendToStream(s.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: e.expected}, event("new", `{}`), event("newer", `{}`))
			switch {
			case e.want != allowed:
				if code(err) != e.want {
					s.Errorf("%s, expecting %T %v: %v, want code %d", life.name, e.expected, e.expected, err, e.want)
				}
			case err != nil:
				s.Errorf("%s, expecting %T %v: %v", life.name, e.expected, e.expected, err)
			case done.NextExpectedVersion != life.next+1:
				s.Errorf("%s, expecting %T %v: at %d, want %d", life.name, e.expected, e.expected, done.NextExpectedVersion, life.next+1)
			}
		}
	}
}

func partialOverlap(s *server) {
	stream := fresh()
	a, b, c := event("a", `{}`), event("b", `{}`), event("c", `{}`)
	first := s.append(stream, esdb.NoStream{}, a, b)
	if again := s.append(stream, esdb.NoStream{}, a, b); again.CommitPosition != first.CommitPosition || again.NextExpectedVersion != first.NextExpectedVersion {
		s.Errorf("again: %+v, want %+v", again, first)
	}
	s.refused(esdb.ErrorCodeWrongExpectedVersion, stream, esdb.NoStream{}, a, c)
	s.refused(esdb.ErrorCodeWrongExpectedVersion, stream, esdb.Revision(0), b, c)
	s.holds(stream, "a", "b")
}

func boundaries(s *server) {
	stream := s.filled("a b c")
	at := s.append(stream, esdb.Any{}, event("d", `{}`))
	s.fill(stream, "e")
	if got := s.read(stream, esdb.ReadStreamOptions{From: esdb.Revision(3)}); !slices.Equal(got, []string{"d", "e"}) {
		s.Errorf("from revision 3: %v", got)
	}
	position := esdb.Position{Commit: at.CommitPosition, Prepare: at.PreparePosition}
	all, err := s.client.ReadAll(s.Context(), esdb.ReadAllOptions{From: position}, 1)
	if err != nil {
		s.Fatal(err)
	}
	defer all.Close()
	if e, err := all.Recv(); err != nil || e.Event.EventType != "d" {
		s.Errorf("all from the position of d: %+v, %v", e, err)
	}
	one := s.subscribe(stream, esdb.Revision(3))
	if got := types(s.T, one, 1); got[0] != "e" {
		s.Errorf("subscribed from revision 3: %v, want e", got)
	}
	if got := s.picked(&esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{stream}}, position, 1); got[0] != "e" {
		s.Errorf("subscribed to all from the position of d: %v, want e", got)
	}
}

func (w *world) subscribe(stream string, from esdb.StreamPosition) *esdb.Subscription {
	w.Helper()
	s, err := w.client.SubscribeToStream(w.Context(), stream, esdb.SubscribeToStreamOptions{From: from, ResolveLinkTos: true})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { s.Close() })
	return s
}

// picked is the types of the first n events that a subscription to all with a filter brings.
func (w *world) picked(filter *esdb.SubscriptionFilter, from esdb.AllPosition, n int) []string {
	w.Helper()
	ctx, stop := context.WithTimeout(w.Context(), patience)
	defer stop()
	s, err := w.client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: from, Filter: filter})
	if err != nil {
		w.Fatal(err)
	}
	defer s.Close()
	got := types(w.T, s, n)
	return got
}

func backwards(s *server) {
	stream := s.filled("a b c d")
	for _, tt := range []struct {
		from esdb.StreamPosition
		want string
	}{{esdb.End{}, "d c b a"}, {esdb.Revision(2), "c b a"}, {esdb.Revision(0), "a"}, {esdb.Revision(100), "d c b a"}} {
		if got := s.read(stream, esdb.ReadStreamOptions{From: tt.from, Direction: esdb.Backwards}); strings.Join(got, " ") != tt.want {
			s.Errorf("from %v: %v, want %s", tt.from, got, tt.want)
		}
	}
}

func filters(s *server) {
	mark := fresh()
	kind := func(name string) string { return mark[4:] + "." + name }
	s.append(mark+"-1", esdb.Any{}, event(kind("made"), `{}`), event(kind("kept"), `{}`))
	s.append(mark+"-2", esdb.Any{}, event(kind("made"), `{}`), event(kind("lost"), `{}`))
	s.append(fresh(), esdb.Any{}, event(kind("lost"), `{}`), event("other", `{}`))
	for _, tt := range []struct {
		name   string
		filter esdb.SubscriptionFilter
		want   string
	}{
		{"prefixes of streams", esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{mark + "-2", mark + "-1"}}, "made kept made lost"},
		{"a pattern for streams", esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: "^" + mark + "-[2-9]$"}, "made lost"},
		{"prefixes of types", esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{kind("l"), kind("k")}}, "kept lost lost"},
		{"a pattern for types", esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "^" + mark[4:] + `\.(made|lost)$`}, "made made lost lost"},
	} {
		want := strings.Fields(tt.want)
		got := s.picked(&tt.filter, esdb.Start{}, len(want))
		for i := range want {
			want[i] = kind(want[i])
		}
		if !slices.Equal(got, want) {
			s.Errorf("%s: %v, want %v", tt.name, got, want)
		}
	}
}

// resuming subscribes again after every event and, where that is safe, after every checkpoint.
func resuming(s *server) {
	mark := fresh()
	const n = 200
	for i := range n {
		s.append(mark, esdb.Any{}, event(fmt.Sprint(i), `{}`))
		if i%3 == 0 {
			s.append(fresh(), esdb.Any{}, event("other", `{}`), event("other", `{}`))
		}
	}
	filter := &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{mark}}
	sub, err := s.client.SubscribeToAll(s.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: filter, MaxSearchWindow: 16, CheckpointInterval: 1})
	if err != nil {
		s.Fatal(err)
	}
	defer sub.Close()
	type stop struct {
		at   esdb.Position
		next int
	}
	var stops []stop
	last, checkpoints := esdb.Position{}, 0
	for next := 0; next < n; {
		e := sub.Recv()
		switch {
		case e.SubscriptionDropped != nil:
			s.Fatalf("dropped after %d: %v", next, e.SubscriptionDropped.Error)
		case e.CheckPointReached != nil:
			checkpoints++
			if e.CheckPointReached.Commit < last.Commit {
				s.Errorf("checkpoint %v after %v", e.CheckPointReached, last)
			}
			if s.ours() {
				stops = append(stops, stop{*e.CheckPointReached, next})
			}
		case e.EventAppeared != nil:
			if got := e.EventAppeared.Event.EventType; got != fmt.Sprint(next) {
				s.Fatalf("came %s, want %d", got, next)
			}
			last = e.EventAppeared.Event.Position
			next++
			stops = append(stops, stop{last, next})
		}
	}
	if checkpoints < 3 {
		s.Errorf("%d checkpoints", checkpoints)
	}
	for i := 0; i < len(stops); i += 7 {
		if stops[i].next == n {
			continue
		}
		if got := s.picked(filter, stops[i].at, 1); got[0] != fmt.Sprint(stops[i].next) {
			s.Errorf("resumed after %v: %v, want %d", stops[i].at, got, stops[i].next)
		}
	}
}

// caughtUp: a subscription is told once that it is live, and again after it had to catch up. Ours says as well that it
// fell behind.
func caughtUp(s *server) {
	stream := s.filled("a b c")
	sub := s.subscribe(stream, esdb.Start{})
	var said []string
	until := func(what string) {
		s.Helper()
		for said = nil; len(said) == 0 || said[len(said)-1] != what; {
			switch e := sub.Recv(); {
			case e.SubscriptionDropped != nil:
				s.Fatalf("dropped after %v: %v", said, e.SubscriptionDropped.Error)
			case e.EventAppeared != nil:
				said = append(said, e.EventAppeared.Event.EventType)
			case e.CaughtUp != nil:
				said = append(said, "caught up")
			case e.FellBehind != nil:
				said = append(said, "fell behind")
			}
		}
	}
	if until("caught up"); !slices.Equal(said, []string{"a", "b", "c", "caught up"}) {
		s.Errorf("said %v", said)
	}
	s.fill(stream, "d")
	s.fill(stream, "e")
	if until("e"); !slices.Equal(said, []string{"d", "e"}) {
		s.Errorf("live, said %v", said)
	}
	if !s.ours() {
		return
	}
	many := make([]esdb.EventData, 3000)
	for i := range many {
		many[i] = event("m", `{}`)
	}
	s.append(stream, esdb.Any{}, many...)
	until("caught up")
	if slices.Index(said, "fell behind") < 0 || len(said) != 3002 {
		s.Errorf("said %d things, fell behind at %d; want 3002 with it", len(said), slices.Index(said, "fell behind"))
	}
}

func hidden(s *server) {
	stream := s.filled("a b c d e")
	inAll := func() int {
		return len(s.picked(&esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{stream}}, esdb.Start{}, 5))
	}
	s.describe(stream, `{"$maxCount":3}`)
	s.holds(stream, "c", "d", "e")
	if got := s.read(stream, esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}); !slices.Equal(got, []string{"e", "d", "c"}) {
		s.Errorf("backwards: %v", got)
	}
	s.describe(stream, `{"$tb":4}`)
	s.holds(stream, "e")
	if got := types(s.T, s.subscribe(stream, esdb.Start{}), 1); got[0] != "e" {
		s.Errorf("subscribed: %v, want e", got)
	}
	s.describe(stream, `{"$maxCount":2,"$tb":1}`)
	s.holds(stream, "d", "e")
	s.describe(stream, `{}`)
	s.holds(stream, "a", "b", "c", "d", "e")
	s.describe(stream, `{"$maxAge":1}`)
	s.until("all is too old", func() bool { return len(s.read(stream, esdb.ReadStreamOptions{From: esdb.Start{}})) == 0 })
	s.fill(stream, "f")
	if got := s.read(stream, esdb.ReadStreamOptions{From: esdb.Start{}}); len(got) > 1 || len(got) == 1 && got[0] != "f" {
		s.Errorf("after all was too old: %v", got)
	}
	if n := inAll(); n != 5 {
		s.Errorf("%d in all, want 5", n)
	}
}

func deleted(s *server) {
	stream := s.filled("a b c")
	s.remove(stream)
	s.holds(stream, missing)
	s.append(stream, esdb.NoStream{}, event("d", `{}`))
	s.holds(stream, "d")
	s.remove(stream)
	s.append(stream, esdb.Revision(3), event("e", `{}`))
	if again := s.append(stream, esdb.Any{}, event("f", `{}`)); again.NextExpectedVersion != 5 {
		s.Errorf("at revision %d, want 5", again.NextExpectedVersion)
	}
	s.holds(stream, "e", "f")
	if got := s.picked(&esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{stream}}, esdb.Start{}, 6); strings.Join(got, " ") != "a b c d e f" {
		s.Errorf("all: %v", got)
	}
	for _, expected := range []esdb.ExpectedRevision{esdb.Revision(4), esdb.StreamExists{}} {
		other := s.filled("a")
		if expected == (esdb.StreamExists{}) {
			other = fresh()
		}
		if _, err := s.client.DeleteStream(s.Context(), other, esdb.DeleteStreamOptions{ExpectedRevision: expected}); err == nil {
			s.Errorf("deleted expecting %v", expected)
		}
	}
}

func tombstoned(s *server) {
	stream, empty := s.filled("a b"), fresh()
	waiting := s.subscribe(stream, esdb.Revision(1))
	s.bury(stream)
	s.bury(empty)
	for e := waiting.Recv(); ; e = waiting.Recv() {
		if e.SubscriptionDropped != nil {
			break
		}
		if e.EventAppeared != nil && s.ours() {
			s.Errorf("came %+v, want the end", e.EventAppeared.Event)
		}
	}
	w := s.world
	for range 2 {
		for _, stream := range []string{stream, empty} {
			w.holds(stream, streamDeleted)
			for _, expected := range []esdb.ExpectedRevision{esdb.Any{}, esdb.NoStream{}, esdb.Revision(1)} {
				w.refused(esdb.ErrorCodeStreamDeleted, stream, expected, event("c", `{}`))
			}
			if _, err := w.client.DeleteStream(w.Context(), stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); code(err) != esdb.ErrorCodeStreamDeleted {
				w.Errorf("delete: %v", err)
			}
		}
		if s.again == nil {
			break
		}
		w = s.again()
		s.again = nil
	}
}

func links(s *server) {
	stream, cut, gone, buried := s.filled("a b c"), s.filled("a b"), s.filled("a"), s.filled("a")
	s.describe(cut, `{"$tb":1}`)
	s.remove(gone)
	s.bury(buried)
	at := fresh()
	for _, to := range []string{"1@" + stream, "0@" + cut, "1@" + cut, "0@" + gone, "0@" + buried, "7@" + stream, "0@" + fresh(), "nonsense", "-1@" + stream, "2@" + stream} {
		s.append(at, esdb.Any{}, esdb.EventData{EventID: uuid.New(), EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte(to)})
	}
	want := []string{"b", "", "b", "", "", "", "", "", "", "c"}
	s.holds(at, slices.Repeat([]string{"$>"}, len(want))...)
	sub := s.subscribe(at, esdb.Start{})
	events, err := s.client.ReadStream(s.Context(), at, esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, 100)
	if err != nil {
		s.Fatal(err)
	}
	defer events.Close()
	for i, typ := range want {
		e, err := events.Recv()
		if err != nil {
			s.Fatalf("link %d: %v", i, err)
		}
		followed := sub.Recv()
		for followed.EventAppeared == nil {
			followed = sub.Recv()
		}
		for how, e := range map[string]*esdb.ResolvedEvent{"read": e, "subscribed": followed.EventAppeared} {
			resolved := ""
			if e.Event != nil {
				resolved = e.Event.EventType
			}
			if resolved != typ || e.Link == nil || e.Link.EventNumber != uint64(i) || e.OriginalEvent().StreamID != at {
				s.Errorf("%s: link %d stands for %q, want %q: %+v", how, i, resolved, typ, e)
			}
		}
	}
}

func systemNames(s *server) {
	stream := s.filled("a")
	s.describe(stream, `{"ours":1}`)
	s.holds("$$"+stream, "$metadata")
	s.holds("$$"+fresh(), missing)
	if got := s.picked(esdb.ExcludeSystemEventsFilter(), esdb.Start{}, 1); strings.HasPrefix(got[0], "$") {
		s.Errorf("without system events: %v", got)
	}
	if !s.ours() {
		return
	}
	for _, name := range []string{"$all", "$$$$" + stream, "$ce-ext", "$et-a", "$bc-x", "$$$ce-ext", "$persistentSubscriptionConfig",
		"$persistentsubscription-x::g-parked", "$$$persistentsubscription-x::g-parked", "$$"} {
		s.refused(esdb.ErrorCodeAccessDenied, name, esdb.Any{}, event("x", `{}`))
	}
	for _, name := range []string{"$all", "$ce-ext", "$$" + stream, ""} {
		if _, err := s.client.DeleteStream(s.Context(), name, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err == nil {
			s.Errorf("deleted %q", name)
		}
	}
}

func metadata(s *server) {
	stream := s.filled("a")
	if about, err := s.client.GetStreamMetadata(s.Context(), stream, esdb.ReadStreamOptions{}); err == nil && about != nil && about.MaxCount() != nil {
		s.Errorf("before there was any: %+v", about)
	}
	const all = `{"$maxCount":5,"$maxAge":3600,"$tb":0,"$cacheControl":7,"$acl":"$userStreamAcl","ours":{"deep":[1,"x",null]},"ü":""}`
	s.describe(stream, all)
	said := func() map[string]any {
		var m map[string]any
		events, err := s.client.ReadStream(s.Context(), "$$"+stream, esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
		if err != nil {
			s.Fatal(err)
		}
		defer events.Close()
		e, err := events.Recv()
		if err != nil {
			s.Fatal(err)
		}
		if err := json.Unmarshal(e.Event.Data, &m); err != nil {
			s.Fatal(err)
		}
		return m
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(all), &want); err != nil {
		s.Fatal(err)
	}
	if got := said(); fmt.Sprint(got["ours"], got["$maxCount"], got["$maxAge"], got["$cacheControl"]) != fmt.Sprint(want["ours"], want["$maxCount"], want["$maxAge"], want["$cacheControl"]) {
		s.Errorf("metadata %v, want %v", got, want)
	}
	about, err := s.client.GetStreamMetadata(s.Context(), stream, esdb.ReadStreamOptions{})
	if err != nil {
		s.Fatal(err)
	}
	if n, age := about.MaxCount(), about.MaxAge(); n == nil || *n != 5 || age == nil || *age != time.Hour {
		s.Errorf("metadata %+v", about)
	}
	s.remove(stream)
	if got := said(); fmt.Sprint(got["ours"], got["$maxCount"]) != fmt.Sprint(want["ours"], want["$maxCount"]) {
		s.Errorf("after the deletion: %v", got)
	}
}

func anyBytes(s *server) {
	name := fresh() + "-ü 日本 \u202e/?#&%"
	bytes := make([]byte, 1<<20-1000)
	for i := range bytes {
		bytes[i] = byte(i * i >> 3)
	}
	sent := []esdb.EventData{
		{EventID: uuid.New(), EventType: "ü 日本", ContentType: esdb.ContentTypeBinary, Data: []byte{0, 255, 128}, Metadata: []byte{1, 0}},
		{EventID: uuid.New(), EventType: "empty", ContentType: esdb.ContentTypeBinary},
		{EventID: uuid.New(), EventType: "not JSON", ContentType: esdb.ContentTypeJson, Data: []byte(`{"half":`)},
		{EventID: uuid.New(), EventType: "large", ContentType: esdb.ContentTypeBinary, Data: bytes},
	}
	s.append(name, esdb.NoStream{}, sent...)
	events, err := s.client.ReadStream(s.Context(), name, esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	if err != nil {
		s.Fatal(err)
	}
	defer events.Close()
	for _, want := range sent {
		e, err := events.Recv()
		if err != nil {
			s.Fatal(err)
		}
		got := e.Event
		if got.EventID != want.EventID || got.EventType != want.EventType || string(got.Data) != string(want.Data) || string(got.UserMetadata) != string(want.Metadata) || got.StreamID != name {
			s.Errorf("%s came back as %s in %q, %d bytes", want.EventType, got.EventType, got.StreamID, len(got.Data))
		}
	}
	if _, err := events.Recv(); !errors.Is(err, io.EOF) {
		s.Errorf("after the last: %v", err)
	}
}

func groupAnswers(s *server) {
	stream := s.filled("a b c d e")
	s.group(stream, "g", func(g *esdb.PersistentSubscriptionSettings) { g.MessageTimeout, g.MaxRetryCount = 500, 1 })
	c := s.consume(stream, "g", 1)
	c.wants("a")
	c.refuses("b", esdb.NackActionPark)
	c.refuses("c", esdb.NackActionSkip)
	c.refuses("d", esdb.NackActionRetry)
	c.wants("d")
	for range 2 { // not acknowledged in time, and then once more
		if e := c.next(); e.Event.Event.EventType != "e" {
			s.Errorf("came %s, want e", e.Event.Event.EventType)
		}
	}
	s.parked(stream, "g", 2)
	s.holds("$persistentsubscription-"+stream+"::g-parked", "$>", "$>")
}

func groupReplays(s *server) {
	stream := s.filled("a b c")
	s.group(stream, "g", nil)
	c := s.consume(stream, "g", 1)
	for _, typ := range []string{"a", "b", "c"} {
		c.refuses(typ, esdb.NackActionPark)
	}
	s.parked(stream, "g", 3)
	if err := s.client.ReplayParkedMessages(s.Context(), stream, "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		s.Fatal(err)
	}
	came := map[string]bool{}
	for range 3 {
		e := c.next()
		came[e.Event.Event.EventType] = true
		if err := c.Ack(e.Event); err != nil {
			s.Fatal(err)
		}
	}
	if len(came) != 3 {
		s.Errorf("replayed %v", came)
	}
	s.parked(stream, "g", 0)
	c.quiet()
}

func groupGoesOn(s *server) {
	stream := s.filled("a b c d")
	s.group(stream, "g", nil)
	c := s.consume(stream, "g", 1)
	c.wants("a")
	c.refuses("b", esdb.NackActionPark)
	c.wants("c")
	s.until("a checkpoint", func() bool {
		at := s.info(stream, "g").Stats.LastCheckpointedEventRevision
		return at != nil && *at == 2
	})
	c.Close()
	w := s.world
	if s.again != nil {
		w = s.again()
	}
	c = w.consume(stream, "g", 1)
	c.wants("d")
	w.parked(stream, "g", 1)
	if err := w.client.ReplayParkedMessages(w.Context(), stream, "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		w.Fatal(err)
	}
	c.wants("b")
}

func groupPins(s *server) {
	mark := fresh()
	settings := esdb.SubscriptionSettingsDefault()
	settings.ConsumerStrategyName = esdb.ConsumerStrategyPinned
	group := mark[4:]
	if err := s.client.CreatePersistentSubscriptionToAll(s.Context(), group, esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{mark}}}); err != nil {
		s.Fatal(err)
	}
	type seen struct {
		who int
		e   *esdb.EventAppeared
	}
	all := make(chan seen, 1000)
	var consumers []*consumer
	for who := range 3 {
		p, err := s.client.SubscribeToPersistentSubscriptionToAll(s.Context(), group, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 4})
		if err != nil {
			s.Fatal(err)
		}
		c := consuming(s.T, p)
		consumers = append(consumers, c)
		go func() {
			for {
				select {
				case e := <-c.came:
					all <- seen{who, e}
				case <-s.Context().Done():
					return
				}
			}
		}()
	}
	for i := range 60 {
		s.append(fmt.Sprint(mark, "-", i%12), esdb.Any{}, event("e", `{}`))
	}
	owners, late := map[string]int{}, time.After(2*patience)
	for range 60 {
		select {
		case got := <-all:
			stream := got.e.Event.Event.StreamID
			if was, ok := owners[stream]; ok && was != got.who {
				s.Errorf("%s came to %d and to %d", stream, was, got.who)
			}
			owners[stream] = got.who
			if err := consumers[got.who].Ack(got.e.Event); err != nil {
				s.Fatal(err)
			}
		case <-late:
			s.Fatalf("not all came: %d streams", len(owners))
		}
	}
	if len(owners) != 12 {
		s.Errorf("%d streams, want 12", len(owners))
	}
}
