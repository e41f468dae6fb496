package commands

import (
	"fmt"
	"strings"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/attachment"
	"strandline/domain/grant"
	"strandline/domain/observation"
	"strandline/domain/projection"
	"strandline/domain/registry"
)

// deciders is the table of all categories of streams that take commands.
var deciders = map[string]decider{
	"registry":    deciding(registry.Evolve, registry.Decide),
	"account":     deciding(account.Evolve, account.Decide),
	"apikey":      deciding(apikey.Evolve, apikey.Decide),
	"attachment":  deciding(attachment.Evolve, attachment.Decide),
	"grant":       deciding(grant.Evolve, grant.Decide),
	"projection":  deciding(projection.Evolve, projection.Decide),
	"observation": deciding(observation.Evolve, observation.Decide).withoutState(), // decision 5
}

// decider is a pair of evolve and decide whose type of state has been put away: a state is a pointer to it.
type decider struct {
	zero   func() any
	evolve func(state any, e domain.Event)
	decide func(state any, c domain.Command) ([]domain.Event, error)
	blind  bool // there is no state: what it decides is appended without a look at the stream
}

func deciding[S any](evolve func(S, domain.Event) S, decide func(S, domain.Command) ([]domain.Event, error)) decider {
	return decider{
		zero:   func() any { return new(S) },
		evolve: func(state any, e domain.Event) { s := state.(*S); *s = evolve(*s, e) },
		decide: func(state any, c domain.Command) ([]domain.Event, error) { return decide(*state.(*S), c) },
	}
}

func (d decider) withoutState() decider {
	d.blind = true
	return d
}

// deciderOf finds the decider for a stream by its category.
func deciderOf(stream string) (decider, error) {
	category, _, _ := strings.Cut(stream, "-")
	d, ok := deciders[category]
	if !ok {
		return decider{}, fmt.Errorf("%w: no decider for stream %s", domain.ErrInvalid, stream)
	}
	return d, nil
}
