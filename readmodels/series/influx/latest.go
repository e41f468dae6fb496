package influx

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"strandline/domain"
	"strandline/readmodels/series"
)

// tries is how often what changes while it is read is read again.
const tries = 8

// Latest returns the last sample of each series of a subject, by channel and series, as series.Store.Latest does.
func (s *Store) Latest(ctx context.Context, subject string, channels, names []string) ([]series.Sample, error) {
	r := reading{store: s, subject: subject, channels: channels, series: names}
	for range tries {
		all, whole, err := r.latest(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the latest samples: %w", err)
		}
		if whole {
			return all, nil
		}
	}
	return nil, fmt.Errorf("%w: the latest samples changed while they were read", domain.ErrUnavailable)
}

// nameOf is a series.
type nameOf struct{ channel, series string }

// newest is the last sample of one series, with the values of the last points that have the same field.
type newest struct {
	found
	pieces map[spot]map[string]string // by field
}

// latest looks at all kinds, the latest first. It is not whole if a sample's value is another one's.
func (r *reading) latest(ctx context.Context) (all []series.Sample, whole bool, err error) {
	b := r.store.serving.Load()
	if b == nil {
		return nil, false, errNothingServes
	}
	shown, last := b.shown.Load(), map[nameOf]*newest{}
	all = []series.Sample{}
	for _, k := range []kind{after, near, before, untimed} {
		if !shown.kinds[k] {
			continue
		}
		err := r.latestOf(ctx, b, k, last)
		if r.store.serving.Load() != b {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	for _, n := range last {
		value := n.value()
		if value == nil {
			return nil, false, nil
		}
		n.Value = value
		all = append(all, n.Sample)
	}
	slices.SortFunc(all, compareNames)
	return all, true, nil
}

// latestOf adds the last samples of one kind, of series that have none yet.
func (r *reading) latestOf(ctx context.Context, b *build, k kind, last map[nameOf]*newest) error {
	start, end := k.bounds()
	flux := r.store.ofKind(k, r.condition(b, k)+` and (r._field == "place" or r._field =~ /^value/)`, start*k.scale(), end*k.scale()) +
		` |> last() |> keep(columns: ["_time", "_value", "_field", "channel", "series", "era"])`
	return b.each(ctx, flux, func(row row) error {
		name := nameOf{unquoted(row.text("channel")), unquoted(row.text("series"))}
		n := last[name]
		if n == nil {
			n = &newest{pieces: map[spot]map[string]string{}, found: found{kind: k}}
			last[name] = n
		}
		if n.kind != k {
			return nil // there is a later one
		}
		at := spot{row.time(), row.text("era")}
		if field := row.text("_field"); field != "place" {
			if n.pieces[at] == nil {
				n.pieces[at] = map[string]string{}
			}
			n.pieces[at][field] = row.text("_value")
			return nil
		}
		f, err := k.found(row)
		if n.Position.IsZero() || series.Compare(f.Sample, n.Sample) > 0 {
			n.found = f
		}
		return err
	})
}

// value puts the pieces together; nil if they are not all there.
func (n *newest) value() json.RawMessage {
	var value []byte
	for i := 0; len(value) < n.size; i++ {
		piece := n.pieces[n.spot][pieceName(i)]
		if piece == "" {
			return nil
		}
		value = append(value, piece...)
	}
	return value
}
