package domain_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
)

func TestPositionTextRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := domain.Position{Commit: rapid.Uint64().Draw(t, "commit"), Prepare: rapid.Uint64().Draw(t, "prepare")}
		got, err := domain.ParsePosition(p.String())
		if err != nil || got != p {
			t.Errorf("ParsePosition(%q) = %v, %v; want %v", p, got, err, p)
		}
	})
}

func TestPositionOrderIsThatOfPairs(t *testing.T) {
	ascending := []domain.Position{{}, {1, 1}, {1, 2}, {2, 0}, {2, 2}, {1 << 60, 1}}
	for i, p := range ascending {
		for j, q := range ascending {
			if got := p.Before(q); got != (i < j) {
				t.Errorf("%v before %v: %v", p, q, got)
			}
		}
	}
}

func TestParsePositionRefusesOthers(t *testing.T) {
	for _, s := range []string{"", "-", "x", "1-", "-1", "1-x", "+1", " 1", "1 ", "10000000000000000", "1-1-1", "0x1"} {
		if p, err := domain.ParsePosition(s); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("ParsePosition(%q) = %v, %v; want invalid", s, p, err)
		}
	}
}

func TestIDTextRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := domain.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		got, err := domain.ParseID(id.String())
		if err != nil || got != id {
			t.Errorf("ParseID(%q) = %v, %v; want %v", id, got, err, id)
		}
	})
}

func TestParseIDRefusesOthers(t *testing.T) {
	for _, s := range []string{"x", "0190c5a2-7b4e-7000-8000-00000000000", "0190c5a2_7b4e_7000_8000_000000000001", "0190c5a2-7b4e-7000-8000-00000000000g"} {
		if id, err := domain.ParseID(s); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("ParseID(%q) = %v, %v; want invalid", s, id, err)
		}
	}
}

func TestExpected(t *testing.T) {
	for _, tt := range []struct {
		expected domain.Expected
		exact    bool
		text     string
	}{
		{domain.Any, false, "any"},
		{domain.StreamExists, false, "stream exists"},
		{domain.NoStream, true, "no stream"},
		{domain.Exactly(0), true, "revision 0"},
		{domain.Exactly(41), true, "revision 41"},
	} {
		if tt.expected.IsExact() != tt.exact || tt.expected.String() != tt.text {
			t.Errorf("%d: exact %v, %q; want %v, %q", tt.expected, tt.expected.IsExact(), tt.expected, tt.exact, tt.text)
		}
	}
	if got := domain.NoStream.Next(); got != 0 {
		t.Errorf("the first revision is %d; want 0", got)
	}
	if got := domain.Exactly(41).Next(); got != 42 {
		t.Errorf("after revision 41 comes %d; want 42", got)
	}
}
