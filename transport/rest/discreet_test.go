package rest_test

import (
	"fmt"
	"testing"

	"strandline/transport/rest"
)

func TestDiscreet(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		"limit is a number, not many": "limit is a number, not many",
		fmt.Sprintf("limit is a number, not %q", "many"):            `limit is a number, not "…"`,
		fmt.Sprintf("%q and %q", `a "quoted" \ word`, "two\nlines"): `"…" and "…"`,
		`an "open end`: `an "open end`,
	} {
		if got := rest.Discreet(text); got != want {
			t.Errorf("Discreet(%s) = %s, want %s", text, got, want)
		}
	}
}
