package api

import (
	"slices"

	"strandline/commands/policy"
	"strandline/transport/rest"
)

// route is what may be asked for: by whom is the policy's to say.
type route struct {
	method, path string
	verb         policy.Verb
	object       func(*call) policy.Object // whom the verb is asked of, nil for the installation
	again        bool                      // a repeated request is answered though the object is gone meanwhile, see carryOut
	handle       func(*call) (rest.Answer, error)
	operation    operation
}

// operation is what the OpenAPI document says of a route.
type operation struct {
	summary string
	about   string // what the summary leaves open, empty if that is nothing
	query   []parameter
	headers []parameter // that are the route's own
	body    any         // a zero value of what is sent as JSON, nil for nothing
	answer  any         // a zero value of what is answered, nil for nothing
	status  int         // of success, 0 for 200
	also    []int       // other statuses of success: 202 with a position, 304 with nothing
	lines   any         // a zero value of what one line is, where the answer may come as lines of JSON too
	media   string      // of the answer, empty for JSON
}

// parameter is what may stand in a query. What is not declared is refused. Kinds are:
//
//	"string"     any text
//	"list"       words with commas between them; it may be given several times
//	"texts"      any text; it may be given several times
//	"integer"    a whole number from 1
//	"revision"   a whole number from 0
//	"boolean"    true or false
//	"position"   a domain.Position as the server gave it
//	"time"       RFC 3339, a day, or milliseconds since 1970
//	"uuid"       a domain.ID
//	"one|other"  one of these words
type parameter struct {
	name  string
	kind  string
	about string
}

// on is the object that a call's verb is asked of.
func (r route) on(c *call) policy.Object {
	if r.object == nil {
		return policy.Object{}
	}
	return r.object(c)
}

// open tells whether the route answers callers that name no credential.
func (r route) open() bool { return r.verb == policy.ServerView }

// table is every route of the dialect. Each file with handlers lists its own.
func table() []route {
	return slices.Concat(
		eventRoutes(),
		auditRoutes(),
		seriesRoutes(),
		documentRoutes(),
		grantRoutes(),
		keyRoutes(),
		projectionRoutes(),
		serviceRoutes(),
		backupRoutes(),
		docsRoutes(),
		aboutRoutes(),
	)
}
