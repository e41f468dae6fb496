//go:build !race

package signin_test

// slowed tells that the race detector watches: times mean nothing.
const slowed = false
