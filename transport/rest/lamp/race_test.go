//go:build race

package lamp_test

// slowed tells that the race detector watches: times mean nothing.
const slowed = true
