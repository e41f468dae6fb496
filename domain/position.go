package domain

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position is an event's place among all events of one store. Positions grow strictly but need not be dense: only
// their order means anything. The zero Position is the place before the first event.
//
// It is a pair because EventStoreDB's positions are (commit and prepare); the embedded store gives both the same value.
// Outside the process a Position is its String, which clients must not take apart.
type Position struct{ Commit, Prepare uint64 }

// Compare orders positions: -1 if p is before q, 0 if they are equal, 1 if p is after q.
func (p Position) Compare(q Position) int {
	if c := cmp.Compare(p.Commit, q.Commit); c != 0 {
		return c
	}
	return cmp.Compare(p.Prepare, q.Prepare)
}

// Before tells whether p is before q.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// IsZero tells whether p is the place before the first event.
func (p Position) IsZero() bool { return p == Position{} }

// String is the opaque form given to clients: hexadecimal, the second half only where it differs from the first.
func (p Position) String() string {
	commit := strconv.FormatUint(p.Commit, 16)
	if p.Prepare == p.Commit {
		return commit
	}
	return commit + "-" + strconv.FormatUint(p.Prepare, 16)
}

// MarshalText is String as bytes.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePosition.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}

// ParsePosition reads what String wrote. Anything else is ErrInvalid.
func ParsePosition(s string) (Position, error) {
	first, second, pair := strings.Cut(s, "-")
	commit, err := strconv.ParseUint(first, 16, 64)
	if err != nil {
		return Position{}, fmt.Errorf("%w: position %q is not one that this server gave", ErrInvalid, s)
	}
	if !pair {
		return Position{commit, commit}, nil
	}
	prepare, err := strconv.ParseUint(second, 16, 64)
	if err != nil {
		return Position{}, fmt.Errorf("%w: position %q is not one that this server gave", ErrInvalid, s)
	}
	return Position{commit, prepare}, nil
}
