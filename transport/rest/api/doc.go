// Package api is the native dialect of the HTTP port, under /strandline/v1: the log of events, and the projections that
// are made of it. Positions are opaque texts; errors are problem documents (RFC 9457) with a stable code, a sentence and
// a remedy.
//
//	GET  /strandline/v1/events                             the log, as pages or as lines of JSON, and on as it grows
//	GET  /strandline/v1/streams/{name}                     one stream of it, from either end
//	GET, POST, DELETE /strandline/v1/grants                who holds which role on what
//	GET, POST, DELETE /strandline/v1/api-keys              what programs sign in with
//	GET  /strandline/v1/audit                              who did or saw what
//	GET  /strandline/v1/projections                        what is made of it, and how far
//	POST /strandline/v1/projections/{name}/rebuild         making one again from the start
package api
