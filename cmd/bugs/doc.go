// Package bugs asks whether the tests would notice: it puts twenty bugs into the code, one at a time, each of a kind that
// costs somebody data or privacy, and lets the tests run that should catch it.
//
// A bug is a text of one file and what stands in its place. It is never in the tree: the go command is given the changed
// file as an overlay, so that no build of the program has a trace of it, and no code is written twice. That each bug can
// still be seeded is a usual test; seeding them is behind the build tag bugs:
//
//	make bugs
package bugs
