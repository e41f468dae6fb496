package series_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels"
	"strandline/readmodels/series"
)

const day = 24 * 60 * 60 * 1000

// model is the store as a plain list.
type model []kept

type kept struct {
	subject, channel string
	series.Sample
}

func (m *model) apply(r domain.Recorded) {
	switch e := r.Event.(type) {
	case observation.Recorded:
		for i, item := range e.Items {
			*m = append(*m, kept{e.Subject, e.Channel, series.Sample{
				Time: item.Time, Channel: e.Channel, Series: item.Series, Value: item.Value, Position: r.Position, Index: i}})
		}
	case observation.Retracted:
		*m = slices.DeleteFunc(*m, func(k kept) bool {
			return k.subject == e.Subject && k.channel == e.Channel && (e.Series == "" || e.Series == k.Series) && within(k.Time, e.From, e.To)
		})
	}
}

// within tells whether a time is in [from, to).
func within(time, from, to *int64) bool {
	if time == nil {
		return from == nil && to == nil
	}
	return (from == nil || *from <= *time) && (to == nil || *time < *to)
}

func (m model) read(q series.Query) []series.Sample {
	found := []series.Sample{}
	for _, k := range m {
		if k.subject == q.Subject && k.channel == q.Channel && (q.Series == "" || q.Series == k.Series) && within(k.Time, q.From, q.To) {
			found = append(found, k.Sample)
		}
	}
	slices.SortFunc(found, func(a, b series.Sample) int {
		return cmp.Or(compareTimes(a.Time, b.Time), a.Position.Compare(b.Position), cmp.Compare(a.Index, b.Index))
	})
	if !q.Ascending {
		slices.Reverse(found)
	}
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found
}

func compareTimes(a, b *int64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Compare(*a, *b)
}

var (
	subjects = []string{"U1", "U2"}
	channels = []string{"lamp.sensor", "lamp.sensor", "lamp.activity"}
	names    = []string{"gps", "steps", "accelerometer", "", "a\x00b", "é"}
)

// scene draws events, one after the other.
type scene struct {
	t        *rapid.T
	position domain.Position
	clock    int64
	times    []int64 // some that were drawn
}

func (s *scene) next(e domain.Event) domain.Recorded {
	s.position.Commit += rapid.Uint64Range(1, 3).Draw(s.t, "step")
	s.position.Prepare = s.position.Commit
	if rapid.IntRange(0, 9).Draw(s.t, "pair") == 0 {
		s.position.Prepare += rapid.Uint64Range(0, 2).Draw(s.t, "prepare") - 1
	}
	return domain.Recorded{Position: s.position, Event: e}
}

func (s *scene) pick(from []string, label string) string {
	return rapid.SampledFrom(from).Draw(s.t, label)
}

// time draws one that is usually a little later than the one before.
func (s *scene) time() *int64 {
	switch rapid.IntRange(0, 19).Draw(s.t, "kind of time") {
	case 0:
		return nil
	case 1:
		return ptr(rapid.Int64().Draw(s.t, "any time"))
	case 2:
		return ptr(s.clock - rapid.Int64Range(0, 30*day).Draw(s.t, "late"))
	case 3:
		return ptr(0)
	}
	s.clock += rapid.SampledFrom([]int64{0, 1, 1000, day / 100}).Draw(s.t, "tick")
	return ptr(s.clock)
}

func (s *scene) item() observation.Item {
	value := fmt.Sprintf(`{"n":%d}`, rapid.IntRange(0, 99).Draw(s.t, "value"))
	if rapid.IntRange(0, 29).Draw(s.t, "is large") == 0 {
		value = `"` + strings.Repeat("x", rapid.IntRange(1, 40_000).Draw(s.t, "length")) + `"`
	}
	return observation.Item{Time: s.time(), Series: s.pick(names, "series"), Value: json.RawMessage(value)}
}

// record draws uploads of one stream: one or a burst of small ones, or a large one.
func (s *scene) record() (events []domain.Recorded) {
	e := observation.Recorded{Subject: s.pick(subjects, "subject"), Channel: s.pick(channels, "channel")}
	for range rapid.IntRange(0, 3).Draw(s.t, "items") {
		e.Items = append(e.Items, s.item())
	}
	repeat, times := 1, 1
	switch rapid.IntRange(0, 9).Draw(s.t, "kind of upload") {
	case 0:
		repeat = rapid.IntRange(1, 400).Draw(s.t, "uploads")
	case 1:
		times = rapid.IntRange(1, 600).Draw(s.t, "times the items")
	}
	for range repeat {
		events = append(events, s.next(s.later(e, times)))
	}
	return events
}

// later is e again at a later time, its items the given number of times.
func (s *scene) later(e observation.Recorded, times int) observation.Recorded {
	items := e.Items
	e.Items = nil
	for range times {
		for _, item := range items {
			if item.Time != nil {
				s.clock += 700
				item.Time = ptr(*item.Time + s.clock%(3*day))
				if len(s.times) < 1000 || s.clock%7 == 0 {
					s.times = append(s.times, *item.Time)
				}
			}
			e.Items = append(e.Items, item)
		}
	}
	return e
}

func (s *scene) bound(label string) *int64 {
	if rapid.Bool().Draw(s.t, label+" is open") {
		return nil
	}
	if len(s.times) == 0 || rapid.IntRange(0, 9).Draw(s.t, label+" is wild") == 0 {
		return ptr(rapid.Int64().Draw(s.t, label))
	}
	return ptr(rapid.SampledFrom(s.times).Draw(s.t, label))
}

func (s *scene) retract() domain.Recorded {
	return s.next(observation.Retracted{
		Subject: s.pick(subjects, "subject"), Channel: s.pick(channels, "channel"),
		Series: s.pick(names, "series"), From: s.bound("from"), To: s.bound("to")})
}

func (s *scene) query() series.Query {
	return series.Query{
		Subject: s.pick(append(subjects, "U3"), "subject"), Channel: s.pick(channels, "channel"),
		Series: s.pick(append(names, "none"), "series"), From: s.bound("from"), To: s.bound("to"),
		Limit:     rapid.SampledFrom([]int{0, 1, 10, 1000}).Draw(s.t, "limit"),
		Ascending: rapid.Bool().Draw(s.t, "ascending")}
}

// events draws what happens in one transaction.
func (s *scene) events() (events []domain.Recorded) {
	for range rapid.IntRange(1, 3).Draw(s.t, "events") {
		if rapid.IntRange(0, 4).Draw(s.t, "retracts") == 0 {
			events = append(events, s.retract())
			continue
		}
		events = append(events, s.record()...)
	}
	return events
}

func TestTheStoreAnswersAsAPlainListDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, s, m := newWorld(t), &scene{t: t, clock: 1_700_000_000_000}, model{}
		defer w.remove()
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				events := s.events()
				if err := w.apply(events); err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					m.apply(e)
				}
			},
			"fail": func(t *rapid.T) {
				failed, flush := errors.New("disk full"), rapid.Bool().Draw(t, "after the flush")
				err := w.transact(s.events(), func(tx *readmodels.Tx) error {
					if flush {
						return errors.Join(w.writer.Flush(tx), failed)
					}
					return failed
				})
				if !errors.Is(err, failed) {
					t.Fatal(err)
				}
			},
			"reopen": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "rarely") == 0 {
					w.reopen(t)
				}
			},
			"": func(t *rapid.T) {
				s.t = t
				q := s.query()
				if got, want := show(w.read(t, q)), show(m.read(q)); got != want {
					t.Fatalf("Read(%+v) =\n%s\nwant\n%s", q, got, want)
				}
			},
		})
	})
}

func TestTheSameEventsGiveTheSameChunksWhereverTransactionsEnd(t *testing.T) {
	t.Parallel()
	merged := false
	rapid.Check(t, func(t *rapid.T) {
		s := &scene{t: t, clock: 1_700_000_000_000}
		var events []domain.Recorded
		for range rapid.IntRange(1, 8).Draw(t, "transactions") {
			events = append(events, s.events()...)
		}
		one, two := newWorld(t), newWorld(t)
		defer one.remove()
		defer two.remove()
		if err := one.apply(events); err != nil {
			t.Fatal(err)
		}
		for rest := events; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "length of transaction")
			if err := two.apply(rest[:n]); err != nil {
				t.Fatal(err)
			}
			if rest = rest[n:]; rapid.IntRange(0, 3).Draw(t, "reopen") == 0 {
				two.reopen(t)
			}
		}
		if a, b := one.chunks(t), two.chunks(t); !slices.Equal(a, b) {
			t.Fatalf("chunks differ:\n%s\n\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
		if a, b := one.dump(t), two.dump(t); a != b {
			t.Fatalf("dumps differ: %s, %s", a, b)
		}
		merged = merged || one.count(t, "SELECT count(*) FROM chunk WHERE class > 0") > 0
	})
	if !merged {
		t.Error("no chunks were merged in any run")
	}
}
