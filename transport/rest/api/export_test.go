package api

import (
	"slices"
	"time"
)

// SetPulse sets the time between signs of life.
func (d *Door) SetPulse(every time.Duration) { d.pulse = every }

// SetTrust sets for how long a long answer relies on what its caller was allowed.
func (d *Door) SetTrust(time time.Duration) { d.trust = time }

// SetScan sets how many rows are looked at for one page.
func (d *Door) SetScan(rows int) { d.scan = rows }

// Routes are the methods and paths of the table, for tests that go through all of them.
func Routes() (all [][2]string) {
	for _, r := range table() {
		all = append(all, [2]string{r.method, r.path})
	}
	return all
}

// Codes are those of all problems.
func Codes() (codes []string) {
	for _, k := range problems {
		codes = append(codes, k.code)
	}
	return slices.Compact(codes)
}

// Documented is the OpenAPI document.
func Documented() []byte { return newDocument(table()).text() }

// MostStreams is how many answers in lines are open at a time.
const MostStreams = mostStreams
