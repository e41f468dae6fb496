package seriestest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels/series"
)

// model is the store as a plain list.
type model []kept

type kept struct {
	subject string
	series.Sample
}

func (m *model) apply(r domain.Recorded) {
	switch e := r.Event.(type) {
	case observation.Recorded:
		for i, item := range e.Items {
			*m = append(*m, kept{e.Subject, series.Sample{Time: item.Time, Channel: e.Channel, Series: item.Series,
				Value: item.Value, Position: r.Position, Index: i}})
		}
	case observation.Retracted:
		*m = slices.DeleteFunc(*m, func(k kept) bool {
			return k.subject == e.Subject && k.Channel == e.Channel && (e.Series == "" || e.Series == k.Series) && within(k.Time, e.From, e.To)
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

func (m model) merged(c series.Choice) (found []series.Sample) {
	for _, k := range m {
		switch {
		case k.subject != c.Subject, len(c.Channels) > 0 && !slices.Contains(c.Channels, k.Channel),
			len(c.Series) > 0 && !slices.Contains(c.Series, k.Series), !within(k.Time, c.From, c.To),
			!c.Until.IsZero() && c.Until.Before(k.Position),
			c.After != nil && series.Compare(k.Sample, series.Sample{Time: c.After.Time, Position: c.After.Position, Index: c.After.Index}) <= 0:
			continue
		}
		found = append(found, k.Sample)
	}
	slices.SortFunc(found, series.Compare)
	return found
}

func (m model) read(q series.Query) []series.Sample {
	c := series.Choice{Subject: q.Subject, Channels: []string{q.Channel}, From: q.From, To: q.To}
	if q.Series != "" {
		c.Series = []string{q.Series}
	}
	found := m.merged(c)
	if !q.Ascending {
		slices.Reverse(found)
	}
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found
}

func (m model) latest(c series.Choice) (found []series.Sample) {
	last := map[[2]string]series.Sample{}
	for _, s := range m.merged(series.Choice{Subject: c.Subject, Channels: c.Channels, Series: c.Series}) {
		last[[2]string{s.Channel, s.Series}] = s
	}
	for _, s := range last {
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b series.Sample) int {
		return slices.Compare([]string{a.Channel, a.Series}, []string{b.Channel, b.Series})
	})
	return found
}

func (m model) dump() string {
	lines := make([]struct {
		key    []string
		sample series.Sample
		line   []byte
	}, len(m))
	for i, k := range m {
		lines[i].key, lines[i].sample = []string{k.subject, k.Channel, k.Series}, k.Sample
		lines[i].line = series.AppendLine(nil, k.subject, k.Sample)
	}
	var b bytes.Buffer
	slices.SortFunc(lines, func(a, b struct {
		key    []string
		sample series.Sample
		line   []byte
	}) int {
		if c := slices.Compare(a.key, b.key); c != 0 {
			return c
		}
		return series.Compare(a.sample, b.sample)
	})
	for _, l := range lines {
		b.Write(l.line)
	}
	return b.String()
}

var (
	subjects = []string{"U1", "U2", "ü 3"}
	channels = []string{"lamp.sensor", "lamp.sensor", "lamp.activity"}
	names    = []string{"gps", "steps", "accelerometer", "a\x00b", "é", `\`}
	texts    = []string{`0`, `-1.5`, `"text"`, `{"x":1,"y":[null,true]}`, `12345678901234567890`, `1e400`, `"\ud83d\ude00 \\ \""`, `null`}
)

// wild are times that no instrument means. They are few, since some engines keep a file for each year.
var wild = []int64{-observation.MaxTime, -9_000_000_000_001, -2_208_988_800_002, -2, 4_102_444_799_999, 1e13, observation.MaxTime - 2}

// scene draws what happens.
type scene struct {
	*rand.Rand
	position domain.Position
	clock    int64
	times    []int64
}

func pick[T any](s *scene, from []T) T { return from[s.IntN(len(from))] }

const day = 24 * 60 * 60 * 1000

func (s *scene) time() *int64 {
	s.clock += s.Int64N(50) * s.Int64N(2000)
	ms := s.clock
	switch s.IntN(24) {
	case 0:
		return nil
	case 1:
		ms = pick(s, wild) + s.Int64N(3)
	case 2:
		ms -= s.Int64N(30 * day)
	case 3:
		ms = 0
	}
	if len(s.times) > 0 && s.IntN(3) == 0 {
		ms = pick(s, s.times)
	}
	s.times = append(s.times, ms)
	return &ms
}

func (s *scene) bound() *int64 {
	if len(s.times) == 0 || s.IntN(2) == 0 {
		return nil
	}
	return ptr(pick(s, s.times) + s.Int64N(2))
}

func (s *scene) events() (events []domain.Recorded) {
	for range 1 + s.IntN(4) {
		s.position.Commit += 1 + s.Uint64N(3)
		s.position.Prepare = s.position.Commit - s.Uint64N(2)
		var e domain.Event = observation.Retracted{Subject: pick(s, subjects), Channel: pick(s, channels),
			Series: pick(s, append(names, "", "")), From: s.bound(), To: s.bound()}
		if s.IntN(5) > 0 {
			upload := observation.Recorded{Subject: pick(s, subjects), Channel: pick(s, channels)}
			for range s.IntN(6) * (1 + s.IntN(30)) {
				upload.Items = append(upload.Items, observation.Item{Time: s.time(), Series: pick(s, names), Value: []byte(pick(s, texts))})
			}
			e = upload
		}
		events = append(events, domain.Recorded{Position: s.position, Event: e})
	}
	return events
}

func (s *scene) some(from []string) (some []string) {
	for _, text := range from {
		if s.IntN(4) == 0 && !slices.Contains(some, text) {
			some = append(some, text)
		}
	}
	return some
}

func (s *scene) choice(m model) series.Choice {
	c := series.Choice{Subject: pick(s, append(subjects, "nobody")), From: s.bound(), To: s.bound(),
		Channels: s.some(append(channels, "none")), Series: s.some(append(names, "none"))}
	if len(m) > 0 && s.IntN(2) == 0 {
		mark := series.MarkOf(pick(s, m).Sample)
		c.After = &mark
	}
	if len(m) > 0 && s.IntN(2) == 0 {
		c.Until = pick(s, m).Position
	}
	return c
}

func (s *scene) query() series.Query {
	q := series.Query{Subject: pick(s, append(subjects, "nobody")), Channel: pick(s, channels), From: s.bound(), To: s.bound(),
		Limit: pick(s, []int{0, 1, 10, 1000}), Ascending: s.IntN(2) == 0}
	if s.IntN(2) == 0 {
		q.Series = pick(s, append(names, "none"))
	}
	return q
}

// history compares a store with the list through a random history of uploads, retractions, failures and restarts.
func history(t *testing.T, seed uint64, w World) {
	s, m := &scene{Rand: rand.New(rand.NewPCG(seed, 9)), clock: 1_700_000_000_000}, model{}
	for range 12 {
		events := s.events()
		for s.IntN(4) == 0 {
			w.Fail(t, events[:1+s.IntN(len(events))])
			if s.IntN(2) == 0 {
				w.Restart(t)
			}
		}
		w.Apply(t, events)
		for _, e := range events {
			m.apply(e)
		}
		for range 3 {
			q, c := s.query(), s.choice(m)
			if got, want := show(read(t, w.Store(), q)), show(m.read(q)); got != want {
				t.Fatalf("seed %d: Each(%s) =\n%s\nwant\n%s", seed, describe(q), got, want)
			}
			if got, want := show(collect(t, w.Store().Merged(t.Context(), c))), show(m.merged(c)); got != want {
				t.Fatalf("seed %d: Merged(%s) =\n%s\nwant\n%s", seed, describe(c), got, want)
			}
			n := series.Newest{Subject: c.Subject, Channels: c.Channels, Series: c.Series}
			if got, want := show(collect(t, w.Store().Latest(t.Context(), n))), show(m.latest(c)); got != want {
				t.Fatalf("seed %d: Latest(%s) =\n%s\nwant\n%s", seed, describe(c), got, want)
			}
		}
	}
	if got, want := w.Dump(t), m.dump(); got != want {
		t.Errorf("seed %d: the dump is\n%s\nwant\n%s", seed, got, want)
	}
}

// describe shows what pointers point to.
func describe(v any) string {
	of := func(p *int64) any {
		if p == nil {
			return "open"
		}
		return *p
	}
	switch v := v.(type) {
	case series.Query:
		return fmt.Sprintf("%+v from %v to %v", v, of(v.From), of(v.To))
	case series.Choice:
		return fmt.Sprintf("%+v from %v to %v after %+v", v, of(v.From), of(v.To), v.After)
	}
	return ""
}
