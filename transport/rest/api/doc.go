// Package api is the native dialect of the HTTP port, under /strandline/v1: the log of events, who did or saw what, and
// what is made of the log. Positions are opaque texts; errors are problem documents (RFC 9457) with a stable code, a
// sentence and a remedy.
//
// The table of routes in route.go is all that there is of them: what it declares is served, checked (parameters, media
// types, verbs), described for programs (/strandline/v1/openapi.json) and shown to people (/strandline/docs). Tests hold
// every answer that they get against the description.
package api
