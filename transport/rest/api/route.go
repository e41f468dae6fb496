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
	handle       func(*call) (rest.Answer, error)
	operation    operation
}

// operation is what the OpenAPI document says of a route.
type operation struct {
	summary string
	query   []parameter
	body    any // a zero value of what is sent, nil for nothing
	answer  any // a zero value of what is answered, nil for nothing
	status  int // of success, 0 for 200
}

// parameter is what may stand in a query.
type parameter struct {
	name  string
	kind  string // "string", "integer", "boolean", "position" or "time"
	about string
}

// on is the object that a call's verb is asked of.
func (r route) on(c *call) policy.Object {
	if r.object == nil {
		return policy.Object{}
	}
	return r.object(c)
}

// table is every route of the dialect. Each file with handlers lists its own.
func table() []route {
	return slices.Concat(eventRoutes(), projectionRoutes())
}
