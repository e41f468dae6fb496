package api

import (
	"net/http"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/transport/rest"
)

func projectionRoutes() []route {
	return []route{
		{method: "GET", path: "/strandline/v1/projections", verb: policy.NodeManage, handle: (*call).projections, operation: operation{
			summary: "What is made of the log, and how far it is", answer: projectionList{},
		}},
		{method: "POST", path: "/strandline/v1/projections/{name}/rebuild", verb: policy.NodeManage, handle: (*call).rebuild, operation: operation{
			summary: "Make a projection again from the start, beside the one that serves", status: http.StatusAccepted,
		}},
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
	Parked     int             `json:"parked"`               // events that could not be applied
	Stalled    string          `json:"stalled,omitempty"`    // why it does not go on, empty if it does
	Rebuilding *Progress       `json:"rebuilding,omitempty"` // while it is being made again
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

// rebuild begins to make a projection again. The answer comes at once; the list of projections shows the progress.
func (c *call) rebuild() (rest.Answer, error) {
	if err := c.Projections.Rebuild(c.vars["name"]); err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{Status: http.StatusAccepted, Body: []byte("{}")}, nil
}
