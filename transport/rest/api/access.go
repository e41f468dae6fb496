package api

import (
	"errors"
	"fmt"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
)

// installation is the word that stands for the installation where an object is named.
const installation = "null"

// idOf is the id of an object that a caller names; the installation has none.
func idOf(name string) string {
	if name == installation {
		return ""
	}
	return name
}

// allow asks for what the caller must be allowed beyond the route's own verb, once it is known what the request is about. If
// that is gone, the request may have been carried out before: see carryOut.
func (c *call) allow(verb policy.Verb, id string) (err error) {
	c.Meta.Details.Object = id
	c.permit, err = c.Bus.Permit(c.Meta.Principal, verb, policy.Object{ID: id})
	return c.unlessAgain(err)
}

// unlessAgain keeps the error that something is not there until it is known whether the same request came before.
func (c *call) unlessAgain(err error) error {
	if errors.Is(err, domain.ErrNotFound) && c.Meta.IdempotencyKey != "" {
		c.gone = err
		return nil
	}
	return err
}

// mayDo tells whether the caller may do verb to an object.
func (c *call) mayDo(verb policy.Verb, id string) bool {
	_, err := c.Bus.Permit(c.Meta.Principal, verb, policy.Object{ID: id})
	return err == nil
}

// named is the id that the path names, or the query.
func (c *call) named() (string, error) {
	id := c.vars["id"]
	if id == "" {
		id = c.query.text("id")
	}
	if id == "" {
		return "", fmt.Errorf("%w: id says which", domain.ErrInvalid)
	}
	return id, nil
}

// span is a time from and to, as ms since 1970, where 0 is no bound.
func span(from, to *time.Time) (first, end int64, err error) {
	for _, bound := range []struct {
		name string
		at   *time.Time
		ms   *int64
	}{{"from", from, &first}, {"to", to, &end}} {
		if bound.at == nil {
			continue
		}
		if *bound.ms = bound.at.UnixMilli(); *bound.ms <= 0 {
			return 0, 0, fmt.Errorf("%w: %s is a time after 1970", domain.ErrInvalid, bound.name)
		}
	}
	return first, end, nil
}

// moment is a time as answers have it, nil for no bound.
func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	at := time.UnixMilli(ms).UTC()
	return &at
}

// orNull is a value as answers have it where the zero value says that there is none: for an id, the installation.
func orNull[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}
