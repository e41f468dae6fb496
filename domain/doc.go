// Package domain holds the words that every part of Strandline shares: events and the envelopes they travel in,
// positions and revisions, and the kinds of error. The rules themselves are in the packages below it, one for each
// kind of stream. Nothing here does I/O, reads a clock or draws a random number.
package domain
