package observation

import (
	"fmt"
	"unicode/utf8"

	"strandline/domain"
)

// Bounds.
const (
	MaxItems = 100_000               // in one event
	MaxName  = 256                   // bytes of a subject, channel or series
	MaxTime  = 8_640_000_000_000_000 // ms from 1970, either way: what JavaScript can tell
)

// State is empty: whatever was observed before, new observations are facts too.
type State struct{}

// Evolve returns s.
func Evolve(s State, _ domain.Event) State { return s }

// Decide returns what c causes: no observations cause nothing, and nor does retracting from an empty range.
func Decide(_ State, c domain.Command) ([]domain.Event, error) {
	switch c := c.(type) {
	case Record:
		return record(c)
	case Retract:
		return retract(c)
	}
	return nil, fmt.Errorf("%w: observations cannot %T", domain.ErrInvalid, c)
}

func record(c Record) ([]domain.Event, error) {
	if err := checkNames(c.Subject, c.Channel); err != nil {
		return nil, err
	}
	if len(c.Items) > MaxItems {
		return nil, fmt.Errorf("%w: %d observations at once; send at most %d", domain.ErrAppendTooLarge, len(c.Items), MaxItems)
	}
	for i, item := range c.Items {
		if err := item.check(); err != nil {
			return nil, fmt.Errorf("observation %d: %w", i, err)
		}
	}
	if len(c.Items) == 0 {
		return nil, nil
	}
	return []domain.Event{Recorded(c)}, nil
}

func retract(c Retract) ([]domain.Event, error) {
	if err := checkNames(c.Subject, c.Channel); err != nil {
		return nil, err
	}
	if c.Series != "" && !isName(c.Series) || !isTime(c.From) || !isTime(c.To) {
		return nil, fmt.Errorf("%w: a series has at most %d bytes of text, a time is within ±%d ms", domain.ErrInvalid, MaxName, int64(MaxTime))
	}
	if c.From != nil && c.To != nil && *c.From >= *c.To {
		return nil, nil
	}
	return []domain.Event{Retracted(c)}, nil
}

func (item Item) check() error {
	switch {
	case !isName(item.Series):
		return fmt.Errorf("%w: a series has 1 to %d bytes of text", domain.ErrInvalid, MaxName)
	case !isTime(item.Time):
		return fmt.Errorf("%w: time %d is not within ±%d ms", domain.ErrInvalid, *item.Time, int64(MaxTime))
	case len(item.Value) == 0:
		return fmt.Errorf("%w: a value is missing", domain.ErrInvalid)
	}
	return nil
}

func checkNames(subject, channel string) error {
	if !isName(subject) || !isName(channel) {
		return fmt.Errorf("%w: observations have a subject and a channel of 1 to %d bytes", domain.ErrInvalid, MaxName)
	}
	return nil
}

func isName(s string) bool { return s != "" && len(s) <= MaxName && utf8.ValidString(s) }

// isTime tells whether t is a time or unknown.
func isTime(t *int64) bool { return t == nil || -MaxTime <= *t && *t <= MaxTime }
