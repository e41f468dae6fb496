package signin

import (
	"errors"

	"strandline/transport/rest"
)

// Outcome is how an attempt to sign in ended.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted"
	Refused  Outcome = "refused" // unknown, or the secret is wrong
	Held     Outcome = "held"    // told to come back later: after too many failures, or because too many are trying
	Failed   Outcome = "failed"  // the server could not tell
)

// Outcomes are all there are.
var Outcomes = []Outcome{Accepted, Refused, Held, Failed}

// WithObserver sets who is told how attempts end, by the goroutines that make them. The default is nobody.
func WithObserver(told func(Outcome)) Option { return func(c *Checker) { c.outcome = told } }

func outcomeOf(err error) Outcome {
	var busy *rest.BusyError
	switch {
	case err == nil:
		return Accepted
	case errors.Is(err, ErrUnknown):
		return Refused
	case errors.As(err, &busy):
		return Held
	}
	return Failed
}
