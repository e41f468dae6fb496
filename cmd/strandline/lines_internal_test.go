package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// TestSignsOfLifeAreNoLines passes over the empty lines by which a server says that nothing has happened.
func TestSignsOfLifeAreNoLines(t *testing.T) {
	l := &lines{body: io.NopCloser(strings.NewReader("\n{\"a\":1}\n\n\r\n{\"b\":2}\n\n"))}
	var got []string
	for line, err := range l.all(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(string(line)))
	}
	if want := []string{`{"a":1}`, `{"b":2}`}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
}
