package series_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels"
	"strandline/readmodels/series"
)

const channel = observation.LAMPSensor

// recorded is an upload of U1.
func recorded(position uint64, items ...observation.Item) domain.Recorded {
	return domain.Recorded{Position: at(position), Event: observation.Recorded{Subject: "U1", Channel: channel, Items: items}}
}

func item(time int64, series, value string) observation.Item {
	return observation.Item{Time: ptr(time), Series: series, Value: json.RawMessage(value)}
}

func (w *world) must(t tb, events ...domain.Recorded) {
	t.Helper()
	if err := w.apply(events); err != nil {
		t.Fatal(err)
	}
}

func TestEdges(t *testing.T) {
	w := newWorld(t)
	defer w.remove()
	w.must(t,
		recorded(1, item(5, "gps", `1`), item(5, "gps", `1`), item(math.MaxInt64, "gps", `"max"`), item(math.MinInt64, "gps", `"min"`)),
		recorded(2, observation.Item{Series: "gps", Value: json.RawMessage(`"null"`)}, item(5, "", `{"a" :"\u0000"}`)),
		recorded(3))
	tests := []struct {
		name string
		q    series.Query
		want string
	}{
		{"nobody", series.Query{Subject: "U2", Channel: channel}, ""},
		{"no such channel", series.Query{Subject: "U1", Channel: "other"}, ""},
		{"no such series", series.Query{Subject: "U1", Channel: channel, Series: "steps"}, ""},
		{"newest first", series.Query{Subject: "U1", Channel: channel}, `"max" {"a" :"\u0000"} 1 1 "min" "null"`},
		{"oldest first", series.Query{Subject: "U1", Channel: channel, Ascending: true}, `"null" "min" 1 1 {"a" :"\u0000"} "max"`},
		{"one series", series.Query{Subject: "U1", Channel: channel, Series: "gps", Limit: 2}, `"max" 1`},
		{"a time has no lower bound", series.Query{Subject: "U1", Channel: channel, From: ptr(math.MinInt64), Ascending: true, Limit: 1}, `"min"`},
		{"an upper bound is exclusive", series.Query{Subject: "U1", Channel: channel, To: ptr(math.MaxInt64), Limit: 1}, `{"a" :"\u0000"}`},
		{"nothing between", series.Query{Subject: "U1", Channel: channel, From: ptr(6), To: ptr(6)}, ""},
		{"bounds that cross", series.Query{Subject: "U1", Channel: channel, From: ptr(6), To: ptr(5)}, ""},
	}
	for _, tt := range tests {
		var got []string
		for _, s := range w.read(t, tt.q) {
			got = append(got, string(s.Value))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, strings.Join(got, " "), tt.want)
		}
	}
}

func TestLateSamplesOutliveAnEarlierRetraction(t *testing.T) {
	w := newWorld(t)
	defer w.remove()
	w.must(t, recorded(1, item(10, "gps", `"early"`)))
	w.must(t, domain.Recorded{Position: at(2), Event: observation.Retracted{Subject: "U1", Channel: channel, From: ptr(0), To: ptr(20)}})
	w.must(t, recorded(3, item(11, "gps", `"late"`)))
	w.reopen(t)
	if got := show(w.read(t, series.Query{Subject: "U1", Channel: channel})); got != "11 gps 3/0 6:\"late\"\n" {
		t.Errorf("read %s", got)
	}
}

func TestDumpIsSortedJSON(t *testing.T) {
	w := newWorld(t)
	defer w.remove()
	other := recorded(9, item(1, "z", `[1, 2]`))
	other.Position = domain.Position{Commit: 9, Prepare: 8}
	w.must(t, recorded(7, item(5, "b<", `{"k":"\u00e9"}`), item(4, "", `2`), observation.Item{Series: "b<", Value: json.RawMessage(`3`)}), other)
	var dump bytes.Buffer
	if err := w.store.Dump(t.Context(), &dump); err != nil {
		t.Fatal(err)
	}
	want := `{"channel":"lamp.sensor","index":1,"position":"7","series":"","subject":"U1","time":4,"value":2}
{"channel":"lamp.sensor","index":2,"position":"7","series":"b<","subject":"U1","time":null,"value":3}
{"channel":"lamp.sensor","index":0,"position":"7","series":"b<","subject":"U1","time":5,"value":{"k":"\u00e9"}}
{"channel":"lamp.sensor","index":0,"position":"9-8","series":"z","subject":"U1","time":1,"value":[1, 2]}
`
	if dump.String() != want {
		t.Errorf("dump is\n%swant\n%s", dump.String(), want)
	}
	for line := range strings.Lines(dump.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// many is an upload with one sample a second, from the given one on.
func many(position uint64, from, n int) domain.Recorded {
	var items []observation.Item
	for i := from; i < from+n; i++ {
		items = append(items, item(int64(i)*1000, "gps", fmt.Sprint(i)))
	}
	return recorded(position, items...)
}

func TestALongReadingSeesOneMoment(t *testing.T) {
	w := newWorld(t)
	defer w.remove()
	const n = 20_000
	w.must(t, many(1, 0, n))
	for _, ascending := range []bool{true, false} {
		seen, last := 0, int64(-1)
		for s, err := range w.store.Each(t.Context(), series.Query{Subject: "U1", Channel: channel, Ascending: ascending}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen > 0 && (*s.Time > last) != ascending {
				t.Fatalf("%d came after %d", *s.Time, last)
			}
			if seen == 10 { // on both sides of where the reading is
				next := w.store.Checkpoint().Commit + 1
				w.must(t, many(next, -500, 500), many(next+1, n/2, 500), many(next+2, n, 500))
			}
			seen, last = seen+1, *s.Time
		}
		want := n
		if !ascending {
			want += 1500 // of the reading before
		}
		if seen != want {
			t.Errorf("ascending %t: %d samples, want %d", ascending, seen, want)
		}
	}
}

func TestReadersSeeWholeTransactions(t *testing.T) {
	w := newWorld(t)
	defer w.remove()
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				before := w.store.Checkpoint()
				samples, err := w.store.Read(t.Context(), series.Query{Subject: "U1", Channel: channel, Ascending: true})
				if err != nil {
					t.Error(err)
					return
				}
				if len(samples)%3 != 0 || len(samples) < 3*int(before.Commit) {
					t.Errorf("%d samples at position %s", len(samples), before)
					return
				}
			}
		})
	}
	for i := range 600 {
		w.must(t, many(uint64(i+1), 3*i, 3))
	}
	stop()
	readers.Wait()
}

func TestADamagedBlockIsDamageOfTheFile(t *testing.T) {
	w := newWorld(t)
	defer w.remove()
	w.must(t, many(1, 0, 20_000))
	err := w.db.Update(t.Context(), at(2), func(tx *readmodels.Tx) error {
		return tx.Exec("UPDATE chunk SET block = substr(block, 1, length(block) / 2)")
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Read(t.Context(), series.Query{Subject: "U1", Channel: channel}); !readmodels.IsDamage(err) {
		t.Errorf("Read = %v, want damage", err)
	}
	retract := domain.Recorded{Position: at(3), Event: observation.Retracted{Subject: "U1", Channel: channel, From: ptr(1000)}}
	if err := w.apply([]domain.Recorded{retract}); !readmodels.IsDamage(err) || !errors.Is(err, readmodels.ErrDamaged) {
		t.Errorf("Apply = %v, want damage", err)
	}
}

func TestWaitReturnsWhenTheCheckpointIsReached(t *testing.T) {
	w := newWorld(t)
	defer w.remove()
	w.must(t, many(7, 0, 1))
	if err := w.store.Wait(t.Context(), at(7)); err != nil || w.store.Checkpoint() != at(7) {
		t.Errorf("Wait = %v, checkpoint %s", err, w.store.Checkpoint())
	}
}
