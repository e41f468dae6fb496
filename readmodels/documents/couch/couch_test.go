package couch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/readmodels/documents"
	"strandline/readmodels/documents/couch"
	"strandline/readmodels/documents/couch/pouchtest"
	"strandline/readmodels/documents/documentstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds each test.
const patience = 60 * time.Second

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	t.Cleanup(stop)
	return ctx
}

// connect returns a Store with databases of a prefix.
func connect(t testing.TB, server *pouchtest.Server, prefix string) *couch.Store {
	t.Helper()
	store, err := couch.New(couch.Config{URL: "http://" + server.Address, User: pouchtest.User, Password: pouchtest.Password, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// open opens the build that serves.
func open(t testing.TB, store *couch.Store) readmodels.RemoteBuild {
	t.Helper()
	build, err := store.Open(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	store.Watermark().Set(build.Checkpoint())
	return build
}

func batch(events []domain.Recorded) readmodels.RemoteBatch {
	return readmodels.RemoteBatch{Events: events, UpTo: events[len(events)-1].Position}
}

func TestStore(t *testing.T) {
	server := pouchtest.InMemory(t)
	prefix := "t"
	documentstest.Run(t, func(t *testing.T) documentstest.World {
		prefix += "x"
		store := connect(t, server, prefix)
		build := open(t, store)
		write := func(ctx context.Context, events []domain.Recorded) error {
			err := build.Write(ctx, batch(events))
			if err == nil {
				store.Watermark().Set(build.Checkpoint())
			}
			return err
		}
		return documentstest.World{Store: store, Write: write, Dump: build.Dump}
	})
}

// dumped is what a build holds.
func dumped(t testing.TB, b interface {
	Dump(context.Context, io.Writer) error
}) string {
	t.Helper()
	var out bytes.Buffer
	if err := b.Dump(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func want(events []domain.Recorded) string {
	m := documentstest.NewModel()
	m.Apply(events...)
	return m.Dump()
}

func TestWhatComesAgainChangesNothing(t *testing.T) {
	ctx, server := bounded(t), pouchtest.InMemory(t)
	history := documentstest.History(rand.New(rand.NewPCG(3, 4)), 500)
	late := open(t, connect(t, server, "again")) // it knows of nothing that the other one writes
	early := open(t, connect(t, server, "again"))
	if err := early.Write(ctx, batch(history)); err != nil {
		t.Fatal(err)
	}
	for _, events := range [][]domain.Recorded{history[:100], history[100:101], history[101:450], history[450:]} {
		if err := late.Write(ctx, batch(events)); err != nil {
			t.Fatal(err)
		}
		if got := dumped(t, early); got != want(history) {
			t.Fatalf("after events that came again up to %s:\n%s\nwant\n%s", late.Checkpoint(), got, want(history))
		}
	}
	if again := open(t, connect(t, server, "again")); again.Checkpoint() != early.Checkpoint() {
		t.Errorf("the checkpoint is %s, want %s", again.Checkpoint(), early.Checkpoint())
	}
	if pieces, bodies := count(t, server, "again", `"_id":"p,`), 0; true {
		for n := range 8 {
			bodies += n * count(t, server, "again", fmt.Sprintf(`"pieces":%d,`, n))
		}
		if pieces == 0 || pieces != bodies {
			t.Errorf("there are %d pieces, want %d", pieces, bodies)
		}
	}
}

// count is how often a text stands in the only build of a prefix.
func count(t *testing.T, server *pouchtest.Server, prefix, text string) int {
	t.Helper()
	var builds []string
	for _, name := range strings.Split(get(t, server, "/_all_dbs"), `"`) {
		if strings.HasPrefix(name, prefix+"-documents-1-") {
			builds = append(builds, name)
		}
	}
	if len(builds) != 1 {
		t.Fatalf("there are the builds %q, want one", builds)
	}
	return strings.Count(get(t, server, "/"+builds[0]+"/_all_docs?include_docs=true"), text)
}

func get(t *testing.T, server *pouchtest.Server, path string) string {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(server.URL(path[1:]))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	defer client.CloseIdleConnections()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestSeveralProcessesWriteAtOnce(t *testing.T) {
	ctx, server := bounded(t), pouchtest.InMemory(t)
	history := documentstest.History(rand.New(rand.NewPCG(5, 6)), 800)
	first := open(t, connect(t, server, "many"))
	var writers sync.WaitGroup
	for i := range 3 {
		build := open(t, connect(t, server, "many"))
		random := rand.New(rand.NewPCG(7, uint64(i)))
		writers.Go(func() {
			for rest := history; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(60))
				err := build.Write(ctx, batch(rest[:n]))
				for ; errors.Is(err, domain.ErrUnavailable) && ctx.Err() == nil; err = build.Write(ctx, batch(rest[:n])) {
				}
				if err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
		})
	}
	writers.Wait()
	if got := dumped(t, first); got != want(history) {
		t.Errorf("the store holds\n%s\nwant\n%s", got, want(history))
	}
}

// feed is a log in memory.
type feed struct {
	mu     sync.Mutex
	events []domain.Recorded
	more   chan struct{}
}

func newFeed() *feed { return &feed{more: make(chan struct{})} }

func (f *feed) add(events ...domain.Recorded) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
	close(f.more)
	f.more = make(chan struct{})
}

func (f *feed) Head(context.Context) (domain.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return documentstest.At(uint64(len(f.events))), nil
}

// Follow yields at most 40 events at a time. Position n is that of the n-th.
func (f *feed) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		for at := int(after.Commit); ctx.Err() == nil; {
			f.mu.Lock()
			more, end := f.more, min(len(f.events), at+40)
			f.mu.Unlock()
			var records []domain.Record
			for ; at < end; at++ {
				records = append(records, domain.Record{Position: documentstest.At(uint64(at + 1))})
			}
			if !yield(records, nil) {
				return
			}
			if len(records) > 0 {
				continue
			}
			select {
			case <-more:
			case <-ctx.Done():
			}
		}
	}
}

func (f *feed) decode(_ context.Context, r domain.Record) (domain.Recorded, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.events[r.Position.Commit-1], nil
}

// run runs models until the test ends or stop is called.
func run(t *testing.T, f *feed, models ...projections.Model) (r *projections.Runner, stop func()) {
	t.Helper()
	r = projections.New(f, f.decode, models)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return r, stop
}

// arrive waits until a model that may have stalled has reached the end of the log.
func arrive(t *testing.T, f *feed, m projections.Model) {
	t.Helper()
	head, _ := f.Head(t.Context())
	for until := time.Now().Add(patience); m.Checkpoint().Before(head); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%s is at %s, want %s: %v", m.Name(), m.Checkpoint(), head, m.Stalled())
		}
	}
}

// held is what a store holds now, by another connection.
func held(t *testing.T, server *pouchtest.Server, prefix string) string {
	t.Helper()
	return dumped(t, open(t, connect(t, server, prefix)))
}

// TestServerIsKilledInBetween kills the server again and again while events come, with another read model beside it.
func TestServerIsKilledInBetween(t *testing.T) {
	server, f := pouchtest.OnDisk(t), newFeed()
	history := documentstest.History(rand.New(rand.NewPCG(8, 9)), 3000)
	model := projections.Elsewhere(connect(t, server, "killed"), "g")
	db, err := readmodels.Open(t.TempDir(), documents.Schema, "g")
	if err != nil {
		t.Fatal(err)
	}
	_, stop := run(t, f, model, projections.Table(projections.Documents(), db))
	f.add(history[:1000]...)
	for i := range 4 {
		time.Sleep(time.Duration(20+60*i) * time.Millisecond) // in the middle of something
		server.Kill()
		f.add(history[1000+500*i : 1500+500*i]...)
		if err := db.Wait(bounded(t), documentstest.At(uint64(1500+500*i))); err != nil {
			t.Fatalf("the other read model waits too: %v", err)
		}
		server.Start(t)
	}
	arrive(t, f, model)
	stop()
	if got := held(t, server, "killed"); got != want(history) {
		t.Errorf("the store holds\n%s\nwant\n%s", got, want(history))
	}
}

// TestServerThatForgetsIsFilledAnew starts a server again that had everything in memory.
func TestServerThatForgetsIsFilledAnew(t *testing.T) {
	server, f := pouchtest.InMemory(t), newFeed()
	history := documentstest.History(rand.New(rand.NewPCG(1, 9)), 300)
	store := connect(t, server, "forgets")
	model := projections.Elsewhere(store, "g")
	run(t, f, model)
	f.add(history[:200]...)
	arrive(t, f, model)
	server.Kill()
	if _, err := store.Get(bounded(t), registry.Activity, "a"); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("Get while the server is down: %v, want that it is unavailable", err)
	}
	server.Start(t)
	f.add(history[200:]...)
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		arrive(t, f, model)
		got := held(t, server, "forgets")
		if got == want(history) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("the store holds\n%s\nwant\n%s", got, want(history))
		}
	}
	if _, err := store.Get(bounded(t), registry.Activity, "a"); err != nil {
		t.Errorf("Get once it is back: %v", err)
	}
}

// TestServerThatHangs stops the server's process: calls end with their context.
func TestServerThatHangs(t *testing.T) {
	server := pouchtest.InMemory(t)
	store := connect(t, server, "hangs")
	build := open(t, store)
	goOn := server.Pause()
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	began := time.Now()
	_, err := store.Get(ctx, registry.Activity, "a")
	wrong := build.Write(ctx, batch(documentstest.Events(1, registry.Added{Kind: registry.Activity, ID: "a"})))
	goOn()
	if !errors.Is(err, domain.ErrUnavailable) || !errors.Is(wrong, domain.ErrUnavailable) || time.Since(began) > 5*time.Second {
		t.Errorf("Get: %v; Write: %v; after %s", err, wrong, time.Since(began))
	}
}

// TestAnotherProcessBuildsAnew has two processes of which one rebuilds; the other one goes on with what it has built.
func TestAnotherProcessBuildsAnew(t *testing.T) {
	server, f := pouchtest.InMemory(t), newFeed()
	history := documentstest.History(rand.New(rand.NewPCG(2, 9)), 400)
	stores := []*couch.Store{connect(t, server, "two"), connect(t, server, "two")}
	models := []projections.Model{projections.Elsewhere(stores[0], "g"), projections.Elsewhere(stores[1], "g")}
	f.add(history[:300]...)
	first, stopFirst := run(t, f, models[0])
	arrive(t, f, models[0])
	_, stopSecond := run(t, f, models[1])
	arrive(t, f, models[1])
	if err := first.Rebuild(bounded(t), "documents", nil); err != nil {
		t.Fatal(err)
	}
	third := connect(t, server, "two") // whose write drops what was replaced
	clock, sweeper := stopClock(third), open(t, third)
	clock.move(readmodels.Followed)
	if err := sweeper.Write(bounded(t), batch(history[:1])); err != nil {
		t.Fatal(err)
	}
	if n := builds(t, server, "two"); n != 1 {
		t.Errorf("there are %d builds, want what serves", n)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			if _, err := stores[1].Get(bounded(t), registry.Activity, "a"); err != nil {
				t.Errorf("Get by the other process: %v", err)
			}
		})
	}
	readers.Wait()
	f.add(history[300:]...)
	arrive(t, f, models[1])
	arrive(t, f, models[0])
	stopFirst()
	stopSecond()
	if got := held(t, server, "two"); got != want(history) {
		t.Errorf("the store holds\n%s\nwant\n%s", got, want(history))
	}
}

func TestParkedEventsAreKept(t *testing.T) {
	server := pouchtest.InMemory(t)
	build := open(t, connect(t, server, "parked"))
	one := readmodels.Parked{Position: documentstest.At(2), Stream: "registry-x", Type: "study.added", Reason: "unreadable: <\x00>"}
	b := batch(documentstest.Events(1, registry.Added{Kind: registry.Activity, ID: "a"}))
	b.Parked, b.UpTo = []readmodels.Parked{one}, one.Position
	for range 2 { // an answer may have been lost
		if err := build.Write(bounded(t), b); err != nil {
			t.Fatal(err)
		}
	}
	got, err := open(t, connect(t, server, "parked")).Parked(bounded(t))
	if err != nil || !slices.Equal(got, []readmodels.Parked{one}) {
		t.Errorf("Parked = %+v, %v; want %+v", got, err, one)
	}
}

// TestServerThatWasSetBack puts an older checkpoint in place: what came since may be missing.
func TestServerThatWasSetBack(t *testing.T) {
	server := pouchtest.InMemory(t)
	early := open(t, connect(t, server, "back"))
	history := documentstest.History(rand.New(rand.NewPCG(2, 2)), 60)
	build := open(t, connect(t, server, "back"))
	for _, events := range [][]domain.Recorded{history[:20], history[20:40]} {
		if err := build.Write(bounded(t), batch(events)); err != nil {
			t.Fatal(err)
		}
	}
	server.Kill()
	server.Start(t)
	if err := build.Write(bounded(t), batch(history[40:])); !errors.Is(err, readmodels.ErrDamaged) {
		t.Errorf("Write to a server that has lost its databases: %v, want damage", err)
	}
	if err := early.Write(bounded(t), batch(history[:20])); !errors.Is(err, readmodels.ErrDamaged) {
		t.Errorf("Write by another process: %v, want damage", err)
	}
}

func TestOriginsAreKeptApart(t *testing.T) {
	server := pouchtest.InMemory(t)
	events := documentstest.Events(1, registry.Added{Kind: registry.Activity, ID: "a"})
	if err := open(t, connect(t, server, "origin")).Write(bounded(t), batch(events)); err != nil {
		t.Fatal(err)
	}
	store := connect(t, server, "origin")
	clock := stopClock(store)
	other, err := store.Open(bounded(t), "another generation")
	if err != nil || !other.Checkpoint().IsZero() || dumped(t, other) != "" {
		t.Errorf("a build of another generation is at %s, %v; want an empty one", other.Checkpoint(), err)
	}
	clock.move(readmodels.Followed)
	if err := other.Write(bounded(t), batch(events)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, server, "origin", `"checkpoint"`); n == 0 {
		t.Error("the old build has not been dropped") // count wants one build
	}
}

// do sends a request to the server as somebody else would.
func do(t *testing.T, server *pouchtest.Server, method, path, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(bounded(t), method, server.URL(path[1:]), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s", method, path, answer.Status)
	}
}

// database is the name of the only build of a prefix.
func database(t *testing.T, server *pouchtest.Server, prefix string) string {
	t.Helper()
	for _, name := range strings.Split(get(t, server, "/_all_dbs"), `"`) {
		if strings.HasPrefix(name, prefix+"-documents-1-") {
			return name
		}
	}
	t.Fatalf("%s has no build", prefix)
	return ""
}

// TestDatabasesOfOthersStay has databases of others that are named nearly like ours.
func TestDatabasesOfOthersStay(t *testing.T) {
	server := pouchtest.InMemory(t)
	others := []string{"mine2", "mine-documents-1-backup", "mine-documents-1-0123456789abcdef", "mine-documents-2-0123456789abcdef", "mine-documents"}
	for _, name := range others {
		do(t, server, "PUT", "/"+name, "")
		do(t, server, "PUT", "/"+name+"/checkpoint", `{"a":1}`)
	}
	open(t, connect(t, server, "mine"))
	again, err := connect(t, server, "mine").Open(bounded(t), "another generation")
	if err != nil {
		t.Fatal(err)
	}
	store := connect(t, server, "mine")
	clock := stopClock(store)
	beside, err := store.Beside(bounded(t), "another generation")
	if err != nil {
		t.Fatal(err)
	}
	event := batch(documentstest.Events(1, registry.Added{ID: "a"}))
	if err := errors.Join(beside.Serve(bounded(t)), again.Write(bounded(t), event)); err != nil {
		t.Errorf("Write to what has just been replaced: %v", err)
	}
	clock.move(readmodels.Followed)
	if err := beside.Write(bounded(t), event); err != nil {
		t.Fatal(err)
	}
	if err := again.Write(bounded(t), event); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("Write to what has been dropped: %v", err)
	}
	all := get(t, server, "/_all_dbs")
	for _, name := range others {
		if !strings.Contains(all, `"`+name+`"`) {
			t.Errorf("%s is gone: there are %s", name, all)
		}
	}
	if n := strings.Count(all, `"mine-documents-1-`); n != 3 {
		t.Errorf("there is more than one build: %s", all)
	}
}

// TestOthersAreNotLetIn asks without and with wrong credentials, also for databases of ours.
func TestOthersAreNotLetIn(t *testing.T) {
	server := pouchtest.InMemory(t)
	open(t, connect(t, server, "closed"))
	path := "/" + database(t, server, "closed") + "/_all_docs"
	answer, err := http.Get("http://" + server.Address + path)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("GET %s by anybody: %s", path, answer.Status)
	}
	other, err := couch.New(couch.Config{URL: "http://" + server.Address, User: pouchtest.User, Password: "guess-ed", Prefix: "closed"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = other.Open(bounded(t), "g")
	if !errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), "give user and password of a server admin") || strings.Contains(err.Error(), "guess-ed") {
		t.Errorf("Open with a wrong password: %v", err)
	}
}

// TestAnotherInstallationWithTheSamePrefix has two that each think the databases theirs: the later one gets them, and the
// earlier one says so and does not fight.
func TestAnotherInstallationWithTheSamePrefix(t *testing.T) {
	server := pouchtest.InMemory(t)
	store := connect(t, server, "both")
	earlier := open(t, store)
	other := connect(t, server, "both")
	clock := stopClock(other)
	later, err := other.Open(bounded(t), "h")
	if err != nil {
		t.Fatal(err)
	}
	event := documentstest.Events(1, registry.Added{Kind: registry.Activity, ID: "a"})
	clock.move(readmodels.Followed)
	if err := later.Write(bounded(t), batch(event)); err != nil {
		t.Errorf("Write by the later one: %v", err)
	}
	if err := earlier.Write(bounded(t), batch(event)); !errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), "another installation") {
		t.Errorf("Write by the earlier one: %v", err)
	}
	if _, err := store.Get(bounded(t), registry.Activity, "a"); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("Get by the earlier one: %v", err)
	}
}

// TestOthersWriteIntoTheDatabase has somebody put documents beside ours, which changes nothing, and change one of ours,
// which is found out when it is read or written.
func TestOthersWriteIntoTheDatabase(t *testing.T) {
	server := pouchtest.InMemory(t)
	store := connect(t, server, "meddled")
	build := open(t, store)
	events := documentstest.Events(1, registry.Added{Kind: registry.Activity, ID: "a"}, attachment.Set{Owner: "o", Target: "t", Key: "k", Value: []byte(`1`)})
	if err := build.Write(bounded(t), batch(events)); err != nil {
		t.Fatal(err)
	}
	before, at := dumped(t, build), "/"+database(t, server, "meddled")
	for _, id := range []string{"o,activity,x", "a,o,t,x", "a,o,t,", "o,", "p,x,y,z", "x", "zz", "_design%2Fd"} {
		do(t, server, "PUT", at+"/"+id, `{"names":["a"],"views":{}}`)
		do(t, server, "PUT", at+"/"+id+"2", `{"names":7,"text":[]}`)
	}
	keys, err := store.AttachmentKeys(bounded(t), []string{"o"}, []string{"t"})
	if got := dumped(t, build); got != before || err != nil || len(keys) != 1 {
		t.Errorf("beside documents of others the store holds\n%s\nwant\n%s; its keys are %v, %v", got, before, keys, err)
	}
	var found struct {
		Rev string `json:"_rev"`
	}
	if err := json.Unmarshal([]byte(get(t, server, at+"/o,activity,a")), &found); err != nil {
		t.Fatal(err)
	}
	do(t, server, "PUT", at+"/o,activity,a", `{"_rev":"`+found.Rev+`","body":"mine"}`)
	if _, err := store.Get(bounded(t), registry.Activity, "a"); !errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), "o,activity,a") {
		t.Errorf("Get of what somebody has changed: %v", err)
	}
	if err := build.Write(bounded(t), batch(documentstest.Events(3, registry.Revised{Kind: registry.Activity, ID: "a"}))); !readmodels.IsDamage(err) {
		t.Errorf("Write of what somebody has changed: %v, want damage, upon which it is made again", err)
	}
}

func TestParseConfig(t *testing.T) {
	for _, tt := range []struct {
		text string
		want couch.Config
	}{
		{"http://me:s3%40cret@127.0.0.1:5984/strandline", couch.Config{URL: "http://127.0.0.1:5984", User: "me", Password: "s3@cret", Prefix: "strandline"}},
		{"https://example.org/couch/a-b_1/", couch.Config{URL: "https://example.org/couch", Prefix: "a-b_1"}},
		{"http://s3cret@h:1/p", couch.Config{URL: "http://h:1", User: "s3cret", Prefix: "p"}},
	} {
		if got, err := couch.ParseConfig(tt.text); err != nil || got != tt.want {
			t.Errorf("ParseConfig(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"", "x", "http://me:s3cret@h:5984", "http://me:s3cret@h:5984/", "http://me:s3cret@h:5984/Upper", "ftp://me:s3cret@h/p",
		"http://me:s3cret@h:x/p", "http://me:s3cret@h/p?q=s3cret", "http://me:s3cret@/p", "http://me:s3cret%zz@h/p"} {
		if _, err := couch.ParseConfig(text); !errors.Is(err, domain.ErrInvalid) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("ParseConfig(%q): %v, want that it is invalid, without the password", text, err)
		}
	}
}
