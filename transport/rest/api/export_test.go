package api

import "slices"

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
