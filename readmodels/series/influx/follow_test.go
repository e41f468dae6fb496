package influx_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels"
	"strandline/readmodels/series"
	"strandline/readmodels/series/influx"
	"strandline/readmodels/series/influx/influxtest"
)

// follower reads what a world writes, as another process does.
type follower struct {
	world
	of *world
}

func (w *world) follower(t testing.TB) *follower {
	f := &follower{world{config: w.config, generation: w.generation, passed: w.passed}, w}
	f.store = influx.New(w.config, w.generation, w.clock)
	t.Cleanup(func() { f.store.Close() })
	return f
}

// follow looks at what serves, which is to be there.
func (f *follower) follow(t testing.TB) {
	t.Helper()
	build, err := f.store.Follow(t.Context(), "origin")
	if err != nil || build == nil {
		t.Fatalf("followed %v, %v", build, err)
	}
	f.serve(build)
}

// read is all that a reader of U1 sees.
func (w *world) read(t testing.TB) (string, error) {
	var b strings.Builder
	for s, err := range w.store.Each(t.Context(), series.Query{Subject: "U1", Channel: observation.LAMPSensor, Ascending: true}) {
		if err != nil {
			return b.String(), err
		}
		b.Write(series.AppendLine(nil, "U1", s))
	}
	for s, err := range w.store.Latest(t.Context(), series.Newest{Subject: "U1"}) {
		if err != nil {
			return b.String(), err
		}
		b.Write(series.AppendLine(nil, "latest", s))
	}
	return b.String(), nil
}

// latestOf reads the latest samples of U1, and returns the error.
func latestOf(t testing.TB, s *influx.Store) error {
	for _, err := range s.Latest(t.Context(), series.Newest{Subject: "U1"}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// mixed are batches in which all kinds of times come one after another, and some samples go again.
func mixed() (batches [][]domain.Recorded) {
	batches = append(batches, history(20))
	n := uint64(20)
	next := func(items ...observation.Item) {
		n++
		batches = append(batches, []domain.Recorded{{Position: at(n), Event: observation.Recorded{Subject: "U1", Channel: observation.LAMPSensor, Items: items}}})
	}
	ms := func(at int64) *int64 { return &at }
	next(observation.Item{Series: "gps", Value: []byte(`"no time"`)})
	next(observation.Item{Series: "gps", Time: ms(-observation.MaxTime), Value: []byte(`"long ago"`)})
	next(observation.Item{Series: "gps", Time: ms(observation.MaxTime), Value: []byte(`"far"`)}, observation.Item{Series: "gps", Time: ms(-1), Value: []byte(`"1969"`)})
	n++
	batches = append(batches, []domain.Recorded{{Position: at(n), Event: observation.Retracted{Subject: "U1", Channel: observation.LAMPSensor, From: ms(0), To: ms(1)}}})
	next(observation.Item{Series: "steps", Time: ms(5), Value: []byte(`5`)})
	return batches
}

// testFollow reads in one process what another writes, as soon as there is a checkpoint.
func testFollow(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	w := newWorld(t, s)
	f, modern := w.follower(t), w.follower(t)
	modern.store = influx.New(parsed(t, asModern(t, s), s), w.generation, w.clock)
	defer modern.store.Close()
	for _, batch := range mixed() {
		w.Apply(t, batch)
		want, err := w.read(t)
		if err != nil {
			t.Fatal(err)
		}
		f.follow(t)
		if got, err := f.read(t); got != want || err != nil {
			t.Errorf("at %s who follows reads\n%s, %v; want\n%s", w.build.Checkpoint(), got, err, want)
		}
		modern.follow(t)
		for _, f := range []*follower{f, modern} {
			if got, want := f.build.Checkpoint(), w.build.Checkpoint(); got != want || f.store.Checkpoint() != want {
				t.Fatalf("followed up to %s, want %s", got, want)
			}
		}
	}
	if got, want := modern.Dump(t), w.Dump(t); got != want {
		t.Errorf("who follows by Flux dumps\n%s\nwant\n%s", got, want)
	}
	parked := []readmodels.Parked{{Position: at(90), Stream: "ext-a", Type: "happened", Reason: "unknown"}}
	if err := w.build.Write(t.Context(), readmodels.RemoteBatch{Parked: parked, UpTo: at(90)}); err != nil {
		t.Fatal(err)
	}
	f.follow(t)
	if got, err := f.build.Parked(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint(parked) {
		t.Errorf("who follows sees parked %v, %v", got, err)
	}
	if got, want := f.Dump(t), w.Dump(t); got != want {
		t.Errorf("who follows dumps\n%s\nwant\n%s", got, want)
	}
	if !w.store.Concerns(observation.Recorded{}) || !w.store.Concerns(observation.Retracted{}) {
		t.Error("samples do not concern it")
	}
}

// asModern is the address of a server that says that it is of version 2, which is asked in Flux alone.
func asModern(t testing.TB, s *influxtest.Server) string {
	proxy := proxyTo(t, s)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("X-Influxdb-Version", "v2.7.11")
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// testFormer goes on from what earlier programs wrote.
func testFormer(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	w := newWorld(t, s)
	w.Apply(t, history(3))
	want, store := w.Dump(t), short(w.generation)
	build := "strandline_series_v1_" + store + "_b1"
	answer, err := http.PostForm("http://"+s.Address+"/query", url.Values{"db": {"strandline"}, "q": {"DELETE FROM strandline_checkpoint WHERE build = '" + build + "'"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	lines := fmt.Sprintf("strandline_serving,store=%s build=\"%s\" 0\n"+
		"strandline_checkpoint,build=%[2]s position=\"3\",lanes=\"%[3]s\",origin=\"origin\",kinds=4i 0", store, build, strings.Repeat("3 ", 64))
	answer, err = http.Post("http://"+s.Address+"/write?db=strandline", "", strings.NewReader(lines))
	if err != nil || answer.StatusCode != http.StatusNoContent {
		t.Fatal(answer, err)
	}
	answer.Body.Close()
	f := w.follower(t)
	f.follow(t)
	if got := f.Dump(t); got != want || f.build.Checkpoint() != at(3) {
		t.Errorf("who follows is at %s and dumps\n%s\nwant\n%s", f.build.Checkpoint(), got, want)
	}
	w.Restart(t)
	w.Apply(t, []domain.Recorded{sample(4, 4, "4")})
	f.follow(t)
	if got := f.Dump(t); got != w.Dump(t) || strings.Count(got, "\n") != 4 {
		t.Errorf("after another event who follows dumps\n%s", got)
	}
}

// testFollowNothing makes nothing where there is nothing, and follows nothing of another generation.
func testFollowNothing(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	s.Query(t, "CREATE DATABASE empty WITH DURATION INF NAME autogen")
	config, err := influx.ParseConfig("http://" + s.Address + "?bucket=empty%2Fautogen")
	if err != nil {
		t.Fatal(err)
	}
	store := influx.New(config, "generation", time.Now)
	defer store.Close()
	for range 2 {
		if build, err := store.Follow(t.Context(), "origin"); build != nil || err != nil {
			t.Errorf("in an empty database followed %v, %v", build, err)
		}
	}
	if got := s.Query(t, "SHOW MEASUREMENTS ON empty"); strings.Contains(got, "strandline") {
		t.Errorf("who follows has made %s", got)
	}
	if err := latestOf(t, store); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("the latest of nothing: %v", err)
	}
	for _, origin := range []string{"origin", readmodels.Origin("origin", []domain.Position{at(1)})} {
		if _, err := store.Open(t.Context(), origin); err != nil {
			t.Fatal(err)
		}
		for generation, want := range map[string]bool{"origin": true, "orig": false, "other": false} {
			if build, err := store.Follow(t.Context(), generation); (build != nil) != want || err != nil {
				t.Errorf("of %s, followed %v, %v as %s", origin, build, err, generation)
			}
		}
	}
}

// rebuild fills a build beside what serves with events, and has it serve.
func (w *world) rebuild(t testing.TB, events []domain.Recorded) {
	t.Helper()
	beside, err := w.store.Beside(t.Context(), "origin")
	if err == nil {
		err = beside.Write(t.Context(), readmodels.RemoteBatch{Events: events, UpTo: events[len(events)-1].Position})
	}
	if err == nil {
		err = beside.Serve(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.serve(beside)
}

// testFollowRebuild follows through many rebuilds, at first in less time than each may be followed for: no reading is ever short.
func testFollowRebuild(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	w := newWorld(t, s)
	f := w.follower(t)
	events := history(40)
	w.Apply(t, events)
	f.follow(t)
	want, err := f.read(t)
	if err != nil {
		t.Fatal(err)
	}
	var ended atomic.Bool
	var readers sync.WaitGroup
	readers.Go(func() {
		for !ended.Load() {
			if got, err := f.read(t); got != want && !errors.Is(err, domain.ErrUnavailable) {
				t.Errorf("a reading during a rebuild is\n%s, %v; want\n%s", got, err, want)
			}
		}
	})
	for range 3 {
		w.rebuild(t, events)
		time.Sleep(10 * time.Millisecond)
		f.follow(t)
		if got := f.Dump(t); got != w.Dump(t) || strings.Count(got, "\n") != len(events) {
			t.Errorf("after a rebuild who follows dumps\n%s", got)
		}
	}
	for range 2 {
		w.later(t) // nobody has followed for as long: what served is dropped while it is read
		f.follow(t)
		w.rebuild(t, events)
		w.later(t)
		time.Sleep(10 * time.Millisecond)
	}
	ended.Store(true)
	readers.Wait()
	f.follow(t)
	w.Restart(t)
	w.pass(t)
	if got := measurements(t, s, f); len(got) != 1 {
		t.Errorf("builds that are left: %v", got)
	}
}

// short is a generation as names have it.
func short(generation string) string {
	sum := sha256.Sum256([]byte(generation))
	return fmt.Sprintf("%x", sum[:4])
}

// measurements are the names of builds that a world has in the server.
func measurements(t testing.TB, s *influxtest.Server, f *follower) (names []string) {
	t.Helper()
	prefix := "strandline_series_v1_" + short(f.generation) + "_b"
	for _, part := range strings.Split(s.Query(t, "SHOW MEASUREMENTS ON strandline"), `"`) {
		if strings.HasPrefix(part, prefix) && strings.Count(part, "_") == strings.Count(prefix, "_") {
			names = append(names, part)
		}
	}
	return names
}

// testFollowTooLate reads on in a build that has been dropped, because nobody has followed for long: what is missing is told.
func testFollowTooLate(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	w := newWorld(t, s)
	f := w.follower(t)
	events := history(40)
	w.Apply(t, events)
	f.follow(t)
	n, failure := 0, error(nil)
	q := series.Query{Subject: "U1", Channel: observation.LAMPSensor, Ascending: true}
	for _, failure = range f.store.Each(t.Context(), q) {
		if n++; n == 3 {
			w.rebuild(t, events)
			w.pass(t) // the first build's name is free again
			w.open(t, "another origin")
			w.open(t, "origin")
			w.pass(t)
		}
	}
	if !errors.Is(failure, domain.ErrUnavailable) || n >= len(events) {
		t.Errorf("a reading that outlasts its build ends with %v after %d samples", failure, n)
	}
	if got, err := f.read(t); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("who has not followed reads %s, %v", got, err)
	}
	if err := latestOf(t, f.store); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("who has not followed reads the latest: %v", err)
	}
	if err := f.build.Dump(t.Context(), &bytes.Buffer{}); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("who has not followed dumps: %v", err)
	}
	w.rebuild(t, events)
	f.follow(t)
	if got, want := f.Dump(t), w.Dump(t); got != want || got == "" {
		t.Errorf("who follows again dumps\n%s\nwant\n%s", got, want)
	}
}

// testTakeOver writes in turns in two processes: all is as if there had been one.
func testTakeOver(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	one, w := newWorld(t, s), newWorld(t, s)
	f := w.follower(t)
	for i, batch := range mixed() {
		one.Apply(t, batch)
		w.Apply(t, batch)
		f.follow(t)
		if i == 2 {
			w.rebuild(t, append(mixed()[0], append(mixed()[1], mixed()[2]...)...)) // which nobody follows any more
		}
		if i%2 == 0 {
			w.losing.Store(true) // as if it ended before the checkpoint
			_ = w.write(t.Context(), mixed()[min(i+1, len(mixed())-1)])
			w.losing.Store(false)
		}
		build, err := f.store.Open(t.Context(), "origin")
		if err != nil {
			t.Fatal(err)
		}
		f.serve(build)
		if got := f.build.Checkpoint(); got != batch[len(batch)-1].Position {
			t.Errorf("who takes over begins at %s, want %s", got, batch[len(batch)-1].Position)
		}
		w.store, w.build, f.store, f.build = f.store, f.build, w.store, w.build
	}
	if got, want := w.Dump(t), one.Dump(t); got != want {
		t.Errorf("after turns the dump is\n%s\nwant\n%s", got, want)
	}
	f.follow(t)
	if got, want := f.Dump(t), one.Dump(t); got != want {
		t.Errorf("after turns who follows dumps\n%s\nwant\n%s", got, want)
	}
}

// testUnsure has a build served in the engine, while who writes has had no answer: it goes on in the one before.
func testUnsure(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	w := newWorld(t, s)
	f := w.follower(t)
	events := history(20)
	w.Apply(t, events)
	beside, err := w.store.Beside(t.Context(), "origin")
	if err != nil {
		t.Fatal(err)
	}
	if err := beside.Write(t.Context(), readmodels.RemoteBatch{Events: events, UpTo: at(20)}); err != nil {
		t.Fatal(err)
	}
	w.unsure.Store(true)
	if err := beside.Serve(t.Context()); !errors.Is(err, domain.ErrUnavailable) {
		t.Fatalf("serving without an answer: %v", err)
	}
	w.unsure.Store(false)
	f.follow(t)
	if err := beside.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.Dump(t); got != w.Dump(t) || strings.Count(got, "\n") != 20 {
		t.Errorf("who follows what has been given up dumps\n%s", got)
	}
	w.Apply(t, []domain.Recorded{sample(21, 21, "21")})
	f.follow(t)
	if got := f.Dump(t); got != w.Dump(t) || strings.Count(got, "\n") != 21 {
		t.Errorf("after the next write who follows dumps\n%s", got)
	}
	w.pass(t)
	if got := measurements(t, s, f); len(got) != 1 {
		t.Errorf("builds that are left: %v", got)
	}
}
