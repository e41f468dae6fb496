package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// The roles that a process can have. Those of one installation share its event store and its keys.
const (
	roleAPI      = "api"      // answers requests, with a directory of its own
	roleRelay    = "relay"    // tells Redis of events
	roleProject  = "project"  // fills read models
	roleAutomate = "automate" // answers events with commands
)

// duties are what a process does, each once, in the order in which they are listed here.
type duties []string

var allRoles = duties{roleAPI, roleRelay, roleProject, roleAutomate}

func (r duties) has(role string) bool { return slices.Contains(r, role) }

// opens tells whether somebody here has to know what events say.
func (r duties) opens() bool { return r.has(roleAPI) || r.has(roleProject) }

// rolesFlags adds the settings of a process that is one of many.
func (o *serve) rolesFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.roles, "roles", "",
		"what this process does, with commas between: "+strings.Join(allRoles, ",")+" (default: all that its engines allow)")
	flags.StringVar(&o.keys, "keys", "",
		"folder of the keys that open events, which processes with the same --eventstore share (default: DIR/keys)")
}

// does finds out what this process does, and refuses what cannot work.
func (o *serve) does(log *slog.Logger) (duties, error) {
	does, err := o.wanted()
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	if err := o.possible(does); err != nil {
		return nil, exitWith(exitUsage, err)
	}
	if does.has(roleAutomate) {
		log.Warn("there are no automations yet: the role automate has nothing to do")
	}
	if does.has(roleProject) && !does.has(roleAPI) && o.engines.couchdb == "" && o.engines.influx.at == "" {
		log.Warn("read models that are files of this process are filled and read by nobody: give --couchdb or --influx, which those that answer read too")
	}
	return does, nil
}

// wanted are the roles that the settings name.
func (o *serve) wanted() (does duties, err error) {
	if o.roles == "" {
		does = duties{roleAPI, roleProject}
		if o.redis != "" {
			does = duties{roleAPI, roleRelay, roleProject}
		}
		return does, nil
	}
	var named []string
	for name := range strings.SplitSeq(o.roles, ",") {
		name = strings.TrimSpace(name)
		if !allRoles.has(name) {
			return nil, fmt.Errorf("--roles: there is no role %q%s; choose from %s", name, suggestion(name, allRoles), strings.Join(allRoles, ","))
		}
		named = append(named, name)
	}
	for _, role := range allRoles {
		if slices.Contains(named, role) {
			does = append(does, role)
		}
	}
	return does, nil
}

// possible says why a process cannot have some roles.
func (o *serve) possible(does duties) error {
	alone := o.eventstore.at == embeddedStore || o.eventstore.at == ""
	switch {
	case does.has(roleRelay) && o.redis == "":
		return fmt.Errorf("--roles: the role relay tells Redis of events: give --redis redis://HOST:PORT/0, or leave the role out")
	case alone && !does.has(roleAPI):
		return fmt.Errorf("--roles: the embedded event store is for one process, and without the role api nothing is ever written to it: " +
			"add the role api, or give --eventstore esdb://HOST:2113, which processes share")
	case o.esdb.listen != "" && !does.has(roleAPI):
		return fmt.Errorf("--esdb-listen: callers are signed in by the role api: add it to --roles, or leave --esdb-listen out")
	case o.demo && !does.has(roleAPI):
		return fmt.Errorf("--demo: the demonstration is filled by requests: add the role api to --roles, or leave --demo out")
	}
	return nil
}
