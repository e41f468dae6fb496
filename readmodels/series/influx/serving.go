package influx

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"strandline/domain"
	"strandline/readmodels"
)

// record is what the engine holds about builds that serve. It is one field, since a point's fields change one by one.
type record struct {
	name    string   // of the build that serves, empty for none
	id      string   // new each time that one begins to serve, since names come again
	retired []string // builds that served before and have not been dropped: nobody takes their names
}

func (r record) String() string {
	return strings.Join(append([]string{r.name, r.id}, r.retired...), " ")
}

func readRecord(text string) (r record) {
	fields := strings.Fields(text)
	if len(fields) > 0 {
		r.name = fields[0]
	}
	if len(fields) > 1 {
		r.id, r.retired = fields[1], fields[2:]
	}
	return r
}

// with is the record once a build has begun to serve.
func (r record) with(name string) record {
	retired := slices.Clone(r.retired)
	if r.name != "" {
		retired = append(retired, r.name)
	}
	return record{name, rand.Text(), without(retired, name)}
}

// free is a name that neither what serves nor a retired build has. Those who begin elsewhere never get the same.
func (r record) free(prefix string, first int) string {
	for i := 0; ; i++ {
		name := fmt.Sprint(prefix, first+i/2*4+i%2) // 1, 2, 5, 6, 9, … or 3, 4, 7, 8, 11, …
		if name != r.name && !slices.Contains(r.retired, name) {
			return name
		}
	}
}

// without is a list without some names.
func without(all []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(names, name) })
}

// saved is what a build's checkpoint says. One that is missing, or cannot be read, has no origin.
type saved struct {
	origin string
	progress
}

// find asks for the record, and at once for the checkpoint of a build, unless its name is empty.
func (s *Store) find(ctx context.Context, name string) (now record, state saved, err error) {
	modern, err := s.server.modern(ctx)
	if err != nil {
		return now, state, err
	}
	text, fields := "", map[string]any{}
	if modern {
		text, err = s.findByFlux(ctx, name, fields)
	} else {
		text, err = s.findByInfluxQL(ctx, name, fields)
	}
	return readRecord(text), readSaved(fields), err
}

func (s *Store) findByFlux(ctx context.Context, name string, fields map[string]any) (text string, err error) {
	condition := fmt.Sprintf(`r._measurement == "%s" and r.store == "%s" and r._field == "build"`, serving, s.generation)
	if name != "" {
		condition = fmt.Sprintf(`(%s) or (r._measurement == "%s" and r.build == "%s")`, condition, checkpoints, name)
	}
	flux := fmt.Sprintf("from(bucket: %q) |> range(start: %s, stop: %s) |> filter(fn: (r) => %s)", s.server.config.Bucket, moment(0), moment(1_000_000), condition)
	err = s.server.each(ctx, flux, func(r row) error {
		if r.text("_measurement") == serving {
			text = r.text("_value")
			return nil
		}
		fields[r.text("_field")] = r.values["_value"]
		return nil
	})
	return text, err
}

// findByInfluxQL is what version 1 is asked, to which Flux is ten times the work.
func (s *Store) findByInfluxQL(ctx context.Context, name string, fields map[string]any) (text string, err error) {
	statement := fmt.Sprintf(`SELECT "build" FROM %s WHERE "store" = '%s'`, s.server.from(serving), s.generation)
	if name != "" {
		statement += fmt.Sprintf(`; SELECT * FROM %s WHERE "build" = '%s'`, s.server.from(checkpoints), name)
	}
	told, err := s.server.ask(ctx, statement)
	if err == nil && told.Error != "" {
		err = failed("query", &influxhttp.Error{Code: "refused", Message: told.Error})
	}
	for i, r := range told.Results {
		for _, series := range r.Series {
			for j, value := range series.Values[0] {
				fields[fmt.Sprint([]string{"serving ", ""}[min(i, 1)], series.Columns[j])] = value
			}
		}
	}
	text, _ = fields["serving build"].(string)
	return text, err
}

func readSaved(fields map[string]any) (s saved) {
	text, one := fields["progress"].(string)
	if !one { // as it was written at first
		text = fmt.Sprint(fields["position"], " ", fields["kinds"], " ", fields["lanes"])
	}
	p, err := readProgress(text)
	if err != nil {
		return saved{}
	}
	origin, _ := fields["origin"].(string)
	return saved{origin, p}
}

// current asks which build serves, and for its checkpoint: in one query if it is the one that is guessed.
func (s *Store) current(ctx context.Context, guess string) (now record, state saved, err error) {
	for {
		now, state, err = s.find(ctx, guess)
		if err != nil || now.name == guess || now.name == "" {
			return now, state, err
		}
		guess = now.name
	}
}

// Follow implements readmodels.Remote.
func (s *Store) Follow(ctx context.Context, generation string) (readmodels.RemoteBuild, error) {
	last, guess := s.serving.Load(), ""
	if last != nil {
		guess = last.name
	}
	asked := s.clock()
	now, state, err := s.current(ctx, guess)
	if err != nil {
		return nil, err
	}
	if !s.own(now) || state.origin != generation && !strings.HasPrefix(state.origin, generation+" ") {
		s.serving.Store(nil)
		return nil, nil
	}
	if last == nil || !last.serves(now) {
		last = s.newBuild(now.name, state.origin, state.progress)
	}
	last.shown.Store(&state.progress)
	last.served.Store(&served{now.id, asked})
	s.serving.Store(last)
	return last, nil
}

// own tells whether a build of this version serves.
func (s *Store) own(now record) bool { return strings.HasPrefix(now.name, s.prefix()) }

// served is since when a build is not known to have been replaced.
type served struct {
	id string // of the record
	at time.Time
}

// serves tells whether a build is the one in the record, and not another that has its name.
func (b *build) serves(now record) bool {
	last := b.served.Load()
	return last != nil && now.name == b.name && now.id == last.id
}

// trusted is for how long nobody asks again whether a build has been replaced. It is dropped no earlier than Followed after
// that; clocks of different computers need not go alike.
const trusted = readmodels.Followed * 2 / 3

// still fails if the build may have been dropped, so that what the engine has just answered may not be all. Builds that
// never served are dropped by those only who fill them.
func (b *build) still(ctx context.Context) error {
	last := b.served.Load()
	if last == nil || b.store.elapsed(last.at) < trusted {
		return nil
	}
	asked := b.store.clock()
	now, _, err := b.store.find(ctx, "")
	if err != nil {
		return err
	}
	if !b.serves(now) {
		b.store.mu.Lock() // a Serve of this process is done before its readers are told
		defer b.store.mu.Unlock()
		return fmt.Errorf("%w: the samples have been built anew while they were read", domain.ErrUnavailable)
	}
	b.served.Store(&served{last.id, asked})
	return nil
}

// elapsed is how long ago something was, also while this computer slept.
func (s *Store) elapsed(at time.Time) time.Duration {
	now := s.clock()
	return max(now.Sub(at), now.Round(0).Sub(at.Round(0)))
}

// each calls do for each row of an answer, and fails if that may not be all that the build has.
func (b *build) each(ctx context.Context, flux string, do func(row) error) error {
	if err := b.store.server.each(ctx, flux, do); err != nil {
		return err
	}
	return b.still(ctx)
}

// Serve implements readmodels.RemoteBuild.
func (b *build) Serve(ctx context.Context) error {
	s := b.store
	s.mu.Lock()
	defer s.mu.Unlock()
	was, err := s.record(ctx)
	if err != nil {
		return err
	}
	now, asked := was.with(b.name), s.clock()
	if err := s.put(ctx, now); err != nil {
		if was.name != "" { // the engine may have it all the same, and others may read the build
			s.unsettled = &record{was.name, was.id, append(without(was.retired, b.name), b.name)}
		}
		return err
	}
	s.settle(now)
	b.served.Store(&served{now.id, asked})
	s.serving.Store(b)
	return nil
}

// record is what the engine holds or is about to. It is called with mu.
func (s *Store) record(ctx context.Context) (record, error) {
	if s.unsettled != nil {
		return *s.unsettled, nil
	}
	now, _, err := s.find(ctx, "")
	return now, err
}

func (s *Store) put(ctx context.Context, now record) error {
	line := appendKey(nil, serving, []tag{{"store", s.generation}})
	return s.server.write(ctx, append(appendText(line, "build", now.String()), " 0"...))
}

// settle remembers since when builds are retired, once the engine has the record. It is called with mu.
func (s *Store) settle(now record) {
	since := make(map[string]time.Time, len(now.retired))
	for _, name := range now.retired {
		at, known := s.retired[name]
		if !known {
			at = s.clock()
		}
		since[name] = at
	}
	s.retired, s.unsettled = since, nil
}

// Drop implements readmodels.RemoteBuild. A build that others may read is dropped later.
func (b *build) Drop(ctx context.Context) error {
	if b.store.isRetired(b.name) {
		return nil
	}
	return b.store.drop(ctx, b.name)
}

func (s *Store) isRetired(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, retired := s.retired[name]
	return retired || s.unsettled != nil && slices.Contains(s.unsettled.retired, name)
}

// drop removes all that there is of a build.
func (s *Store) drop(ctx context.Context, name string) error {
	for k := range kinds {
		if err := s.server.drop(ctx, name+k.suffix()); err != nil {
			return err
		}
	}
	for _, measurement := range []string{parkedOnes, checkpoints} {
		if err := s.server.erase(ctx, measurement, []tag{{"build", name}}, earliest, latest); err != nil {
			return err
		}
	}
	return nil
}

// tidy puts right what a failed Serve has left open, and begins to drop builds that nobody reads any more. Whoever writes
// calls it.
func (s *Store) tidy(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.unsettled; now != nil {
		if err := s.put(ctx, *now); err != nil {
			return err
		}
		s.settle(*now)
	}
	var due []string
	for name, at := range s.retired {
		if s.clock().Sub(at) >= readmodels.Followed {
			due = append(due, name)
		}
	}
	if len(due) > 0 && !s.busy {
		s.busy = true
		s.dropping.Go(func() { s.dropRetired(due) })
	}
	return nil
}

// dropTime bounds the drop of builds. It is below Followed, so that whoever writes next has not taken the name yet.
const dropTime = 10 * time.Second

// dropRetired drops builds, and then leaves them out of the record. If that fails, all is done again as much later.
func (s *Store) dropRetired(names []string) {
	ctx, stop := context.WithTimeout(context.Background(), dropTime)
	defer stop()
	var err error
	for _, name := range names {
		err = errors.Join(err, s.drop(ctx, name))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	if err == nil {
		err = s.forget(ctx, names)
	}
	for _, name := range names {
		if _, retired := s.retired[name]; err != nil && retired {
			s.retired[name] = s.clock()
		}
	}
}

// forget leaves builds that have been dropped out of the record, unless another process writes that by now. It is called
// with mu.
func (s *Store) forget(ctx context.Context, names []string) error {
	now, err := s.record(ctx)
	if err != nil {
		return err
	}
	if b := s.serving.Load(); s.unsettled != nil || b == nil || !b.serves(now) {
		return errReplaced
	}
	now.retired = without(now.retired, names...)
	if err := s.put(ctx, now); err != nil {
		return err
	}
	s.settle(now)
	return nil
}
