package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/projection"
	"strandline/transport/rest"
)

const projectionsPath = "/strandline/v1/projections"

func projectionRoutes() []route {
	one := projectionsPath + "/{name}"
	position := parameter{"position", "texts", "of the event; it may be given several times"}
	parked := parameter{"position", "texts", "of the event; it may be given several times. All that are parked if it is left out"}
	command := func(word, summary, about string, query []parameter, handle func(*call) (rest.Answer, error)) route {
		return route{method: "POST", path: one + "/" + word, verb: policy.NodeManage, handle: handle, operation: operation{
			summary: summary, about: about, query: query, answer: accepted{}, status: http.StatusAccepted,
		}}
	}
	const soon = " The answer comes at once: the list of projections shows how far it is, and whether it failed."
	return []route{
		{method: "GET", path: projectionsPath, verb: policy.NodeManage, handle: (*call).projections, operation: operation{
			summary: "What is made of the log, and how far it is", answer: projectionList{},
		}},
		{method: "GET", path: one + "/parked", verb: policy.NodeManage, handle: (*call).parked, operation: operation{
			summary: "The events that a projection does not hold, and why", answer: parkedList{}, lines: Parked{},
		}},
		command("rebuild", "Make a projection again from the start, beside the one that serves", soon[1:], nil, (*call).rebuild),
		command("revert", "Let the build that served before the present one serve again",
			"It is brought up to date first, and the present one is kept in its place: the same again undoes it. A build is kept if it is of the same events."+soon,
			nil, (*call).revert),
		command("retry", "Try parked events again",
			"The projection is made again beside the one that serves, so that each event is applied in its place."+soon, []parameter{parked}, (*call).retry),
		command("discard", "Leave parked events out for good",
			"They stay in the log, and in the list of what is parked. The decision is on the record: a projection that is made again keeps to it."+soon,
			[]parameter{parked}, (*call).discard),
		command("park", "Leave events out, so that the rest can go on",
			"The projection is made again without them, until they are tried again."+soon, []parameter{position}, (*call).park),
	}
}

// projectionList is what is made of the log.
type projectionList struct {
	Projections []Projection `json:"projections" about:"ordered by name"`
}

// Projection is how far a projection is.
type Projection struct {
	Name       string          `json:"name"`
	Version    int             `json:"version"`
	Checkpoint domain.Position `json:"checkpoint"`
	LagEvents  uint64          `json:"lag_events"`
	LagSeconds float64         `json:"lag_seconds"`
	Parked     int             `json:"parked"`            // events that could not be applied
	Stalled    string          `json:"stalled,omitempty"` // why it does not go on, empty if it does
	Discarded  int             `json:"discarded,omitempty" about:"events left out for good"`
	Failed     string          `json:"failed,omitempty" about:"why the last rebuild of this process failed"`
	Follows    bool            `json:"follows,omitempty" about:"another process fills it, and makes it again when that is asked for here"`
	Previous   *Previous       `json:"previous,omitempty" about:"the build that served before and can serve again, if one is kept"`
	Rebuilding *Progress       `json:"rebuilding,omitempty"` // while it is being made again
}

// Previous is a build that served before.
type Previous struct {
	Version    int             `json:"version"`
	Checkpoint domain.Position `json:"checkpoint"`
}

// Progress is how far a rebuild is.
type Progress struct {
	Checkpoint domain.Position `json:"checkpoint"`
	Share      float64         `json:"share"`             // of the way, from 0 to 1
	Remaining  float64         `json:"remaining_seconds"` // at the speed so far
}

func (c *call) projections() (rest.Answer, error) {
	list, err := c.Projections.Status(c.Context())
	if err != nil {
		return rest.Answer{}, err
	}
	return shows(projectionList{list}, len(list))
}

// States of events that a projection does not hold; the others are the choices of package projection.
const FailedToApply = "failed"

// Parked is an event that a projection does not hold.
type Parked struct {
	Position domain.Position `json:"position"`
	State    string          `json:"state" enum:"failed,parked,discarded" about:"it could not be applied, or somebody has set it aside, or left it out for good"`
	Stream   string          `json:"stream"`
	Type     string          `json:"type"`
	Error    string          `json:"error,omitempty" about:"why it could not be applied"`
	Attempts int             `json:"attempts" about:"one, and one for each time that somebody had it tried again"`
}

// parkedList is what a projection does not hold.
type parkedList struct {
	Parked []Parked `json:"parked" about:"in the order of their positions"`
}

func (c *call) parked() (rest.Answer, error) {
	list, err := c.Projections.Parked(c.Context(), c.vars["name"])
	if err != nil {
		return rest.Answer{}, err
	}
	c.ReadFrom(c.Arrival)
	if c.media == mediaLines {
		return c.lines(func(_ context.Context, w *lineWriter) error {
			for _, p := range list {
				if err := w.write(p); err != nil {
					return err
				}
			}
			return nil
		}), nil
	}
	return shows(parkedList{list}, len(list))
}

func (c *call) rebuild() (rest.Answer, error) {
	return c.decide(func(name string) (domain.Command, error) {
		_, err := c.atRest(name)
		return projection.Rebuild{Projection: name}, err
	})
}

func (c *call) revert() (rest.Answer, error) {
	return c.decide(func(name string) (domain.Command, error) {
		p, err := c.atRest(name)
		if err == nil && p.Previous == nil {
			err = fmt.Errorf("%w: no build is kept that served before the present one", domain.ErrRejected)
		}
		return projection.Revert{Projection: name}, err
	})
}

// atRest is the projection of a name, unless it is being rebuilt.
func (c *call) atRest(name string) (Projection, error) {
	list, err := c.Projections.Status(c.Context())
	if err != nil {
		return Projection{}, err
	}
	i := slices.IndexFunc(list, func(p Projection) bool { return p.Name == name })
	if i < 0 {
		return Projection{}, fmt.Errorf("%w: there is no such projection", domain.ErrNotFound)
	}
	if list[i].Rebuilding != nil {
		return Projection{}, fmt.Errorf("%w: it is being rebuilt already", domain.ErrRejected)
	}
	return list[i], nil
}

func (c *call) retry() (rest.Answer, error) {
	return c.decide(func(name string) (domain.Command, error) {
		positions, err := c.amongParked(name, true)
		if len(positions) == 0 {
			return nil, err
		}
		return projection.Retry{Projection: name, Positions: positions}, err
	})
}

func (c *call) discard() (rest.Answer, error) {
	return c.decide(func(name string) (domain.Command, error) {
		positions, err := c.amongParked(name, false)
		if len(positions) == 0 {
			return nil, err
		}
		return projection.Discard{Projection: name, Positions: positions}, err
	})
}

func (c *call) park() (rest.Answer, error) {
	return c.decide(func(name string) (domain.Command, error) {
		positions, err := c.positions()
		if err == nil && len(positions) == 0 {
			err = fmt.Errorf("%w: position names the events to set aside", domain.ErrInvalid)
		}
		for _, at := range positions {
			err = cmp.Or(err, c.recorded(at))
		}
		return projection.Park{Projection: name, Positions: positions}, err
	})
}

// decide carries out a command about the projection that the path names, if there is one, and has the projection made
// again if it changed anything. A request that came before is answered as then: what it meant may not be there any more.
func (c *call) decide(command func(name string) (domain.Command, error)) (rest.Answer, error) {
	name := c.vars["name"]
	if _, err := c.Projections.Parked(c.Context(), name); err != nil {
		return rest.Answer{}, err
	}
	if c.Meta.IdempotencyKey != "" {
		receipt, found, err := c.Bus.Earlier(c.Context(), c.Meta, projection.Rebuild{Projection: name})
		if found || err != nil {
			return c.decided(receipt), err
		}
	}
	cmd, err := command(name)
	if err != nil {
		return rest.Answer{}, err
	}
	if cmd == nil {
		return c.decided(commands.Receipt{}), nil
	}
	receipt, err := c.carryOut(cmd)
	if err != nil {
		return rest.Answer{}, err
	}
	if receipt.Changed {
		begin := c.Projections.Rebuild
		if _, ok := cmd.(projection.Revert); ok {
			begin = c.Projections.Revert
		}
		// Where it is being rebuilt already, it will be once more.
		if err := begin(name); err != nil && !errors.Is(err, domain.ErrRejected) {
			return rest.Answer{}, err
		}
	}
	return c.decided(receipt), nil
}

// decided is the answer to a decision.
func (c *call) decided(receipt commands.Receipt) rest.Answer {
	c.Happened(receipt)
	answer, _ := shows(accepted{receipt.Position}, 0) // a position always has a JSON form
	answer.Status, answer.Quiet = http.StatusAccepted, !receipt.Changed || receipt.Repeated
	return answer
}

// amongParked are the events that the query names, which must be parked, or else all that are. Those that are left out
// for good are only meant by name.
func (c *call) amongParked(name string, discarded bool) ([]domain.Position, error) {
	list, err := c.Projections.Parked(c.Context(), name)
	if err != nil {
		return nil, err
	}
	named, err := c.positions()
	if err != nil {
		return nil, err
	}
	for _, at := range named {
		if !slices.ContainsFunc(list, func(p Parked) bool { return p.Position == at && (discarded || p.State != string(projection.ForGood)) }) {
			return nil, fmt.Errorf("%w: a parked event at this position", domain.ErrNotFound)
		}
	}
	if len(named) > 0 {
		return named, nil
	}
	for _, p := range list {
		if p.State != string(projection.ForGood) && len(named) < projection.MaxPositions {
			named = append(named, p.Position)
		}
	}
	return named, nil
}

// positions are those that the query names, ascending.
func (c *call) positions() (all []domain.Position, err error) {
	for _, text := range c.query.texts("position") {
		at, err := domain.ParsePosition(text)
		if err != nil {
			return nil, fmt.Errorf("%w: position is not one that this server gave", domain.ErrInvalid)
		}
		all = append(all, at)
	}
	slices.SortFunc(all, domain.Position.Compare)
	return slices.Compact(all), nil
}

// recorded makes sure that there is an event at a position.
func (c *call) recorded(at domain.Position) error {
	for r, err := range c.Log.ReadAll(c.Context(), at, 1, commands.Forwards) {
		if err != nil {
			return err
		}
		if r.Position == at && r.ContentType != domain.Part {
			return nil
		}
	}
	return fmt.Errorf("%w: an event at this position", domain.ErrNotFound)
}
