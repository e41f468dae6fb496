package influx_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"strandline/domain"
	"strandline/readmodels"
	"strandline/readmodels/series/influx"
	"strandline/readmodels/series/influx/influxtest"
	"strandline/readmodels/series/seriestest"
)

// world is a read model in a real server, which is asked through a proxy that can lose checkpoints.
type world struct {
	config     influx.Config
	generation string
	losing     *atomic.Bool  // checkpoints
	unsure     *atomic.Bool  // whether the record has been written
	passed     *atomic.Int64 // on the clock, in ns
	store      *influx.Store
	build      readmodels.RemoteBuild
}

// worlds counts them: each has a generation of its own.
var worlds atomic.Int64

func newWorld(t testing.TB, server *influxtest.Server) *world {
	t.Helper()
	w := &world{generation: fmt.Sprint("generation ", worlds.Add(1)), losing: &atomic.Bool{}, unsure: &atomic.Bool{}, passed: &atomic.Int64{}}
	behind := proxyTo(t, server)
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if w.losing.Load() && bytes.HasPrefix(body, []byte("strandline_checkpoint")) {
			http.Error(rw, "shard is disabled", http.StatusServiceUnavailable)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if w.unsure.Load() && bytes.HasPrefix(body, []byte("strandline_serving")) {
			behind.ServeHTTP(httptest.NewRecorder(), r)
			http.Error(rw, "no answer in time", http.StatusServiceUnavailable)
			return
		}
		behind.ServeHTTP(rw, r)
	}))
	t.Cleanup(proxy.Close)
	w.config = parsed(t, proxy.URL, server)
	w.open(t, "origin")
	t.Cleanup(func() { w.store.Close() })
	return w
}

// proxyTo has connections of its own: a test server that closes takes those of http.DefaultTransport with it, also others'.
func proxyTo(t testing.TB, server *influxtest.Server) *httputil.ReverseProxy {
	proxy, transport := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: server.Address}), &http.Transport{}
	proxy.Transport = transport
	t.Cleanup(transport.CloseIdleConnections)
	return proxy
}

// newWorldAt is newWorld without a proxy.
func newWorldAt(t testing.TB, server *influxtest.Server, address string) *world {
	t.Helper()
	w := &world{generation: fmt.Sprint("generation ", worlds.Add(1)), config: parsed(t, address, server)}
	w.open(t, "origin")
	t.Cleanup(func() { w.store.Close() })
	return w
}

func parsed(t testing.TB, address string, server *influxtest.Server) influx.Config {
	t.Helper()
	config, err := influx.ParseConfig(address + strings.TrimPrefix(server.URL(), "http://"+server.Address))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func (w *world) open(t testing.TB, origin string) {
	t.Helper()
	w.store = influx.New(w.config, w.generation, w.clock)
	build, err := w.store.Open(context.Background(), origin)
	if err != nil {
		t.Fatal(err)
	}
	w.serve(build)
}

func (w *world) clock() time.Time {
	now := time.UnixMilli(1_700_000_100_000)
	if w.passed != nil {
		now = now.Add(time.Duration(w.passed.Load()))
	}
	return now
}

// pass is later, and waits until what is due is dropped.
func (w *world) pass(t testing.TB) {
	t.Helper()
	w.later(t)
	w.Restart(t)
}

// later has the time pass for which a build may be followed, and writes a checkpoint.
func (w *world) later(t testing.TB) {
	t.Helper()
	w.passed.Add(int64(readmodels.Followed))
	if err := w.build.Write(t.Context(), readmodels.RemoteBatch{UpTo: w.build.Checkpoint()}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) serve(build readmodels.RemoteBuild) {
	w.build = build
	w.store.Watermark().Set(build.Checkpoint())
}

func (w *world) write(ctx context.Context, events []domain.Recorded) error {
	at := events[len(events)-1].Position
	err := w.build.Write(ctx, readmodels.RemoteBatch{Events: events, UpTo: at})
	if err == nil {
		w.store.Watermark().Set(at)
	}
	return err
}

func (w *world) Store() seriestest.Store { return w.store }

func (w *world) Restart(t testing.TB) {
	t.Helper()
	w.store.Close()
	w.open(t, "origin")
}

func (w *world) Apply(t testing.TB, events []domain.Recorded) {
	t.Helper()
	if err := w.write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

func (w *world) Fail(t testing.TB, events []domain.Recorded) {
	t.Helper()
	w.losing.Store(true)
	defer w.losing.Store(false)
	if err := w.write(t.Context(), events); err == nil {
		t.Fatal("a write without its checkpoint has succeeded")
	}
}

func (w *world) Dump(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	if err := w.build.Dump(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestStore holds the store to what all stores of samples answer, and to what this one owes besides, in one server.
func TestStore(t *testing.T) {
	server := influxtest.Start(t)
	rounds := 1 // some thousand queries
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		rounds = 20
	}
	seriestest.Run(t, rounds, func(t testing.TB) seriestest.World { return newWorld(t, server) })
	t.Run("Parked", func(t *testing.T) { testParked(t, server) })
	t.Run("Poison", func(t *testing.T) { testPoison(t, server) })
	t.Run("Follow", func(t *testing.T) { testFollow(t, server) })
	t.Run("FollowNothing", func(t *testing.T) { testFollowNothing(t, server) })
	t.Run("FollowRebuild", func(t *testing.T) { testFollowRebuild(t, server) })
	t.Run("FollowTooLate", func(t *testing.T) { testFollowTooLate(t, server) })
	t.Run("Former", func(t *testing.T) { testFormer(t, server) })
	t.Run("TakeOver", func(t *testing.T) { testTakeOver(t, server) })
	t.Run("Unsure", func(t *testing.T) { testUnsure(t, server) })
	t.Run("Refusals", func(t *testing.T) { testRefusals(t, server) })
}

// TestServer does what cannot be done beside others.
func TestServer(t *testing.T) {
	t.Parallel()
	server := influxtest.Start(t)
	t.Run("Rebuild", func(t *testing.T) { testRebuild(t, server) })
	t.Run("Away", func(t *testing.T) { testAway(t, server) })
	t.Run("Token", func(t *testing.T) { testToken(t, server) })
}
