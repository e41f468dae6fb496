package influx

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"strandline/readmodels/series"
)

// dump writes all samples of a build as series.Store.Dump does.
func (s *Store) dump(ctx context.Context, b *build, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	all, err := s.names(ctx, b)
	if err != nil {
		return fmt.Errorf("dump series: %w", err)
	}
	own := &Store{server: s.server, generation: s.generation, clock: s.clock} // in which b serves
	own.serving.Store(b)
	var line []byte
	for _, n := range all {
		r := reading{store: own, subject: n.subject, channels: []string{n.channel}, series: []string{n.series}, kinds: &n.kinds,
			ascending: true, until: b.Checkpoint()}
		for sample, err := range r.all(ctx) {
			if err != nil {
				return fmt.Errorf("dump series: %w", err)
			}
			line = series.AppendLine(line[:0], n.subject, sample)
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// kept is a series, with the kinds that it has samples of.
type kept struct {
	subject, channel, series string
	kinds                    [kinds]bool
}

// names lists all series, by subject, channel and name.
func (s *Store) names(ctx context.Context, b *build) (all []kept, err error) {
	seen := map[[3]string]int{} // the place in all
	for k := range kinds {
		start, end := k.bounds()
		flux := s.ofKind(k, fmt.Sprintf(`r._measurement == "%s" and r._field == "place"`, b.name+k.suffix()), start*k.scale(), end*k.scale()) +
			` |> last() |> keep(columns: ["subject", "channel", "series"])`
		err := b.each(ctx, flux, func(r row) error {
			n := kept{subject: unquoted(r.text("subject")), channel: unquoted(r.text("channel")), series: unquoted(r.text("series"))}
			name := [3]string{n.subject, n.channel, n.series}
			if _, known := seen[name]; !known {
				seen[name] = len(all)
				all = append(all, n)
			}
			all[seen[name]].kinds[k] = true
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b kept) int {
		return cmp.Or(cmp.Compare(a.subject, b.subject), cmp.Compare(a.channel, b.channel), cmp.Compare(a.series, b.series))
	})
	return all, nil
}
