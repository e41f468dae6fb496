package api

import (
	"time"

	"strandline/commands/policy"
	"strandline/transport/rest"
)

func serviceRoutes() []route {
	return []route{
		{method: "GET", path: "/strandline/v1/services", verb: policy.NodeManage, handle: (*call).services, operation: operation{
			summary: "The processes that make up this installation", answer: serviceList{},
		}},
	}
}

// Service is a process of the installation.
type Service struct {
	ID        string    `json:"id" about:"of this run of the process"`
	Name      string    `json:"name"`
	Roles     []string  `json:"roles" about:"what it does: api answers requests, project keeps read models up to date, relay tells Redis of events; other components have their own"`
	Version   string    `json:"version"`
	Addresses []string  `json:"addresses" about:"where it answers requests"`
	Started   time.Time `json:"started"`
	Heartbeat time.Time `json:"heartbeat" about:"when it was known last to be alive"`
}

// serviceList is all processes.
type serviceList struct {
	Services []Service `json:"services"`
}

func (c *call) services() (rest.Answer, error) {
	c.ReadFrom(c.Arrival)
	list := c.Services()
	return shows(serviceList{list}, len(list))
}
