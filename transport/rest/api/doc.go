// Package api is the native dialect of the HTTP port, under /strandline/v1: the log of events, and the projections that
// are made of it. Positions are opaque texts; errors are problem documents (RFC 9457) with a stable code, a sentence and
// a remedy.
//
//	GET  /strandline/v1/events?after&limit&follow          the log, as one page or as lines of JSON
//	GET  /strandline/v1/projections                        what is made of it, and how far
//	POST /strandline/v1/projections/{name}/rebuild         making one again from the start
package api
