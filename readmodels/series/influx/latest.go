package influx

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"strandline/domain"
	"strandline/readmodels/series"
)

// tries is how often what changes while it is read is read again.
const tries = 8

// Latest yields the last sample of each series that n asks for, by name, as series.Store.Latest does: places first, then the
// values, about a megabyte at a time.
func (s *Store) Latest(ctx context.Context, n series.Newest) iter.Seq2[series.Sample, error] {
	return func(yield func(series.Sample, error) bool) {
		r := reading{store: s, subject: n.Subject, channels: n.Channels, series: n.Series}
		after, given := n.After, 0
		for try := 0; try < tries; try++ {
			done, err := r.latest(ctx, after, func(sample series.Sample) bool {
				given++
				after = &series.Name{Channel: sample.Channel, Series: sample.Series}
				return yield(sample, nil)
			})
			if err != nil {
				yield(series.Sample{}, fmt.Errorf("read the latest samples: %w", err))
			}
			if done || err != nil {
				return
			}
			if given > 0 {
				try, given = -1, 0 // it goes on
			}
		}
		yield(series.Sample{}, fmt.Errorf("%w: the latest samples changed while they were read", domain.ErrUnavailable))
	}
}

// newest is the last sample of one series, with the parts of its value by field.
type newest struct {
	found
	pieces map[string]string
}

// latest gives the last samples of series after a name. It is not done if they change meanwhile.
func (r *reading) latest(ctx context.Context, after *series.Name, give func(series.Sample) bool) (done bool, err error) {
	b := r.store.serving.Load()
	if b == nil {
		return false, errNothingServes
	}
	all, err := r.places(ctx, b)
	if r.store.serving.Load() != b {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	whole := len(all)
	all = slices.DeleteFunc(all, func(n *newest) bool { return after != nil && compareToName(n.Sample, *after) <= 0 })
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && (n == 0 || size+all[n].size <= pageSize) {
			size += all[n].size
			n++
		}
		some := all[:n]
		all = all[n:]
		complete, err := r.latestValues(ctx, b, some, n < whole)
		if r.store.serving.Load() != b {
			return false, nil
		}
		if err != nil || !complete {
			return false, err
		}
		for i, n := range some {
			some[i] = nil // not to hold on to it
			if !give(n.Sample) {
				return true, nil
			}
		}
	}
	return true, nil
}

// places are those of the last samples of all series, by name: of all kinds, the latest first.
func (r *reading) places(ctx context.Context, b *build) (all []*newest, err error) {
	shown, last := b.shown.Load(), map[series.Name]*newest{}
	for _, k := range []kind{after, near, before, untimed} {
		if !shown.kinds[k] {
			continue
		}
		err := r.lastOf(ctx, b, k, `r._field == "place"`, func(name series.Name, row row) error {
			if n := last[name]; n != nil && n.kind != k {
				return nil // there is a later one
			}
			f, err := k.found(row)
			if n := last[name]; n == nil || series.Compare(f.Sample, n.Sample) > 0 {
				last[name] = &newest{found: f}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, n := range last {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *newest) int { return compareNames(a.Sample, b.Sample) })
	return all, nil
}

// lastOf gives use the last rows of one kind that have a field which meets a condition.
func (r *reading) lastOf(ctx context.Context, b *build, k kind, field string, use func(series.Name, row) error) error {
	start, end := k.bounds()
	flux := r.store.ofKind(k, r.condition(b, k)+" and "+field, start*k.scale(), end*k.scale()) +
		` |> last() |> keep(columns: ["_time", "_value", "_field", "channel", "series", "era"])`
	return b.each(ctx, flux, func(row row) error {
		return use(series.Name{Channel: unquoted(row.text("channel")), Series: unquoted(row.text("series"))}, row)
	})
}

// latestValues reads the values of last samples, which are some or all that the reading is about. They are not complete if
// there is a later sample by now.
func (r *reading) latestValues(ctx context.Context, b *build, of []*newest, some bool) (complete bool, err error) {
	narrow, wanted, among := *r, map[series.Name]*newest{}, [kinds]bool{}
	if some {
		narrow.channels, narrow.series = nil, nil
	}
	for _, n := range of {
		wanted[series.Name{Channel: n.Channel, Series: n.Series}] = n
		among[n.kind], n.pieces = true, map[string]string{}
		if some && !slices.Contains(narrow.channels, n.Channel) {
			narrow.channels = append(narrow.channels, n.Channel)
		}
		if some {
			narrow.series = append(narrow.series, n.Series)
		}
	}
	slices.Sort(narrow.series)
	narrow.series = slices.Compact(narrow.series)
	for k, is := range among {
		if !is {
			continue
		}
		err := narrow.lastOf(ctx, b, kind(k), `r._field =~ /^value/`, func(name series.Name, row row) error {
			if n := wanted[name]; n != nil && n.spot == (spot{row.time(), row.text("era")}) {
				n.pieces[row.text("_field")] = row.text("_value")
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	for _, n := range of {
		if n.Value = n.value(); n.Value == nil {
			return false, nil
		}
		n.pieces = nil
	}
	return true, nil
}

// compareToName orders a sample's series and a name.
func compareToName(s series.Sample, n series.Name) int {
	return compareNames(s, series.Sample{Channel: n.Channel, Series: n.Series})
}

// value puts the pieces together; nil if they are not all there.
func (n *newest) value() json.RawMessage {
	var value []byte
	for i := 0; len(value) < n.size; i++ {
		piece := n.pieces[pieceName(i)]
		if piece == "" {
			return nil
		}
		value = append(value, piece...)
	}
	return value
}
