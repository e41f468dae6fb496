package projections_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/account"
	"strandline/domain/attachment"
	"strandline/domain/grant"
	"strandline/domain/observation"
	"strandline/domain/plan"
	"strandline/domain/registry"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/transport/eventstore/memory"
)

// setting is what must not make a difference.
type setting struct {
	processors int
	zone       *time.Location
	batch      int   // records in a batch of the feed
	kills      []int // the runner is stopped once about so many records have been delivered
	rebuild    bool  // and each read model is rebuilt at the end
}

var settings = []setting{
	{processors: 1, zone: time.UTC, batch: 256},
	{processors: 2, zone: time.FixedZone("NZDT", 13*3600), batch: 1, kills: []int{1, 2, 100}},
	{processors: 3, zone: time.FixedZone("NST", -12600), batch: 7, kills: []int{500, 1000, 1500, 2000, 2500}},
	{processors: 4, zone: time.FixedZone("IST", 19800), batch: 1000, kills: []int{3500}},
	{processors: 8, zone: time.FixedZone("HST", -36000), batch: 97, kills: []int{97, 2000}, rebuild: true},
}

// TestDumpsDependOnTheLogAlone builds all read models under each setting and compares their dumps, at the head and in
// the middle of the log.
func TestDumpsDependOnTheLogAlone(t *testing.T) {
	for name, options := range map[string][]memory.Option{"dense": nil, "gaps": {memory.WithGaps(3)}} {
		t.Run(name, func(t *testing.T) {
			l := newLog(options...)
			middle := live(t, l)
			want := map[string]string{}
			for i, s := range settings {
				for name, sum := range sums(t, l, s, middle) {
					if i == 0 {
						want[name] = sum
					}
					if sum != want[name] {
						t.Errorf("setting %+v: dump of %s is %s, want %s", s, name, sum, want[name])
					}
				}
			}
			if len(want) != 8 {
				t.Errorf("%d dumps compared, want 8", len(want))
			}
		})
	}
}

// sums builds all read models under a setting and returns the hashes of their dumps.
func sums(t *testing.T, l *log, s setting, middle domain.Position) map[string]string {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(s.processors))
	local := time.Local
	time.Local = s.zone
	defer func() { time.Local = local }()

	dir := t.TempDir()
	for _, n := range s.kills {
		killAfter(t, dir, &sliced{log: l, size: s.batch, left: n})
	}
	catchUp(t, dir, &sliced{log: l, size: s.batch, left: -1}, s.rebuild)
	found := map[string]string{}
	merged(t, dir)
	all, closeAll := models(t, dir)
	defer closeAll()
	for _, m := range all {
		if m.Checkpoint() != l.head(t) {
			t.Errorf("%s is at %s after a stop at %s", m.Name(), m.Checkpoint(), l.head(t))
		}
		positions := map[domain.Position]string{l.head(t): m.Name()}
		if s.kills == nil || s.rebuild {
			positions[middle] = m.Name() + " in the middle"
		}
		for at, name := range positions {
			text := dump(t, l, m, at)
			if strings.Count(text, "\n") < 10 {
				t.Errorf("dump of %s has %d lines", name, strings.Count(text, "\n"))
			}
			sum := sha256.Sum256([]byte(text))
			found[name] = hex.EncodeToString(sum[:8])
		}
	}
	return found
}

// models opens all read models in dir. They are closed by the runner that they are given to, or by the function returned.
func models(t *testing.T, dir string) (all []projections.Model, closeAll func()) {
	t.Helper()
	_, tree := projections.Directory(dir, "g", slog.New(slog.DiscardHandler))
	all = append(all, tree)
	var open []*readmodels.DB
	for _, p := range []projections.Projection{projections.Documents(), projections.Series(), projections.Audit()} {
		db, m := table(t, dir, p)
		all, open = append(all, m), append(open, db)
	}
	return all, func() {
		for _, db := range open {
			db.Close()
		}
	}
}

// merged fails if no chunks of series have been merged: rows that are gone have been.
func merged(t *testing.T, dir string) {
	t.Helper()
	series, _ := table(t, dir, projections.Series())
	defer series.Close()
	err := series.View(t.Context(), func(tx *readmodels.Tx) error {
		for row, err := range tx.Query("SELECT count(*), max(id), max(class) FROM chunk") {
			if err != nil {
				return err
			}
			if row.Int(1) < 2*row.Int(0) || row.Int(2) < 2 {
				t.Errorf("%d chunks left of %d, the largest of class %d; want some merged", row.Int(0), row.Int(1), row.Int(2))
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// killAfter runs the projections until the feed has delivered what it may, and then stops them where they are.
func killAfter(t *testing.T, dir string, feed *sliced) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	feed.stop = stop
	all, _ := models(t, dir)
	if err := projections.New(feed, feed.decode, all).Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// catchUp runs the projections to the head.
func catchUp(t *testing.T, dir string, feed *sliced, rebuild bool) {
	t.Helper()
	all, _ := models(t, dir)
	r, stop := run(t, feed, feed.decode, all...)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, m := range all {
		for m.Checkpoint() != feed.head(t) && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if parked, err := m.Parked(ctx); len(parked) > 0 || err != nil {
			t.Errorf("%s has parked %v, %v", m.Name(), parked, err)
		}
		if rebuild {
			if err := r.Rebuild(ctx, m.Name(), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// sliced is a feed whose batches have another size, and which calls stop when it has delivered enough.
type sliced struct {
	*log
	size int
	left int // records until stop; -1 for ever
	stop func()
}

func (f *sliced) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		left := f.left
		for records, err := range f.log.Follow(ctx, after) {
			for len(records) > f.size {
				if !yield(records[:f.size], nil) {
					return
				}
				records = records[f.size:]
				if left -= f.size; f.left >= 0 && left <= 0 {
					f.stop()
				}
			}
			if !yield(records, err) {
				return
			}
			if left -= len(records); f.left >= 0 && (left <= 0 || len(records) == 0) {
				f.stop()
			}
		}
	}
}

// live fills a log with some of everything, enough for chunks to be merged, and returns a position in its middle.
func live(t *testing.T, l *log) (middle domain.Position) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	l.add(t, "registry-r1", registry.Added{Kind: registry.Researcher, ID: "r1", Attributes: registry.Attributes{"name": []byte(`"<R>"`)}})
	l.add(t, "registry-r1", plan.Made{ID: "p1"})
	l.add(t, "registry-s1", registry.Added{Kind: registry.Study, ID: "s1", Parent: "r1", Plan: "p1"})
	l.add(t, "registry-r1", plan.Done{ID: "p1"})
	l.add(t, "registry-r1", plan.Made{ID: "p2"})
	for n := range 4000 {
		person := fmt.Sprintf("U%010d", random.IntN(20))
		switch k := random.IntN(40); k {
		case 0:
			l.add(t, "registry-"+person, registry.Added{Kind: registry.Participant, ID: person, Parent: "s1"})
			l.add(t, "registry-a"+person, registry.Added{Kind: registry.Activity, ID: "a" + person, Parent: "s1"})
			l.add(t, "account-"+person, account.Issued{ID: person, Origin: person, AccessKey: person + "@example.org", SecretHash: "$argon2id$"})
		case 1:
			l.add(t, "registry-a"+person, registry.Revised{Kind: registry.Activity, ID: "a" + person,
				Attributes: registry.Attributes{"name": []byte(fmt.Sprint(n)), "z": []byte(`"\u0000"`)}})
		case 2:
			l.add(t, "registry-"+person, registry.Removed{Kind: registry.Participant, ID: person})
		case 3:
			l.add(t, "attachment-"+person, attachment.Set{Owner: person, Target: "me", Key: fmt.Sprint("k", n%7), Value: json.RawMessage(fmt.Sprintf(`{"b":%d,"a":1}`, n))})
		case 4:
			l.add(t, "attachment-"+person, attachment.Cleared{Owner: person, Target: "me", Key: fmt.Sprint("k", n%7)})
		case 5:
			l.add(t, "access-n-20260102", access.Served{Rows: n})
		case 6:
			l.add(t, "access-n-20260102", access.Refused{Code: "404.object-not-found"})
		case 7:
			l.add(t, "grant-s1", grant.Given{ID: fmt.Sprint("g", n%5), Object: "s1", Credential: person, Role: grant.Reader})
		case 8:
			from := int64(random.IntN(6000)) * 1000
			to := from + 50_000
			l.add(t, "observation-"+person+"-lamp.sensor", observation.Retracted{Subject: person, Channel: observation.LAMPSensor, From: &from, To: &to})
		case 9, 10:
			l.add(t, "observation-"+person+"-lamp.sensor", observation.Recorded{Subject: person, Channel: observation.LAMPSensor, Items: samples(random, 50)})
		default: // most of them of one subject, one by one
			l.add(t, "observation-U1-lamp.sensor", observation.Recorded{Subject: "U1", Channel: observation.LAMPSensor, Items: samples(random, 1)})
		}
		if n == 2500 {
			middle = l.head(t)
		}
	}
	return middle
}

func samples(random *rand.Rand, n int) []observation.Item {
	items := make([]observation.Item, n)
	for i := range items {
		at := int64(random.IntN(6000)) * 1000
		items[i] = observation.Item{Time: &at, Series: fmt.Sprint("lamp.", random.IntN(2)), Value: json.RawMessage(fmt.Sprint(i))}
		if random.IntN(20) == 0 {
			items[i].Time = nil
		}
	}
	return items
}
