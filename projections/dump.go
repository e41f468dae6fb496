package projections

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"strandline/domain"
)

// Dump writes what a read model holds as of position at, as JSON lines in a fixed order, so that two dumps of one log
// are equal byte for byte. Where the model's checkpoint is elsewhere, another one is built up to there in a folder that
// is removed afterwards, and so where the model leaves out others than the events at the given positions, ascending. The
// model must not be run at the same time.
func Dump(ctx context.Context, feed Feed, decode Decode, m Model, at domain.Position, w io.Writer, leftOut ...domain.Position) (err error) {
	if err := m.open(ctx, feed); err != nil {
		return err
	}
	if m.Checkpoint() == at && slices.Equal(m.LeftOut(), leftOut) {
		return m.dump(ctx, w)
	}
	dir, err := os.MkdirTemp("", "strandline-dump-*")
	if err != nil {
		return fmt.Errorf("dump %s: %w", m.Name(), err)
	}
	defer os.RemoveAll(dir)
	apart, err := m.apart(dir, leftOut)
	if err != nil {
		return fmt.Errorf("dump %s: %w", m.Name(), err)
	}
	defer apart.close()
	if err := applyUntil(ctx, source{feed, decode}, apart, at); err != nil {
		return fmt.Errorf("dump %s: %w", m.Name(), err)
	}
	return apart.dump(ctx, w)
}

// applyUntil applies the log up to a position, or to its end where that comes first.
func applyUntil(ctx context.Context, s source, to applier, at domain.Position) error {
	if at.IsZero() {
		return nil
	}
	for b, err := range s.from(ctx, to.Checkpoint()) {
		if err != nil {
			return err
		}
		if len(b.events) == 0 {
			return nil
		}
		whole := b.last()
		if b = b.until(at); len(b.events) > 0 {
			if err := applyNew(ctx, to, []batch{b}); err != nil {
				return err
			}
		}
		if !whole.Before(at) {
			return nil
		}
	}
	return nil
}
