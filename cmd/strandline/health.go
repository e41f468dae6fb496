package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"syscall"
	"time"

	"strandline/readmodels/sqlite"
	"strandline/transport/metrics"
)

// paths are what operators and their probes ask for, by path. It is not on the record (decision 10).
type paths map[string]http.Handler

// operators are the probes and the metrics.
func operators(v *vitals, m *metrics.Metrics) paths {
	return paths{
		"/livez":   http.HandlerFunc(alive),
		"/readyz":  http.HandlerFunc(v.ready),
		"/metrics": m.Handler(v.reading),
	}
}

// guarded is p where everybody can ask: the metrics are for this machine alone. They hold no personal data, but tell how
// busy a place is.
func (p paths) guarded() paths {
	guarded := maps.Clone(p)
	guarded["/metrics"] = metrics.Local(p["/metrics"])
	return guarded
}

// before answers what operators ask for, and leaves the rest to others.
func (p paths) before(others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := p[r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// alive answers probes that ask whether the process runs.
func alive(w http.ResponseWriter, _ *http.Request) {
	tell(w, http.StatusOK, map[string]bool{"alive": true})
}

// readiness is the answer to probes that ask whether requests will be served.
type readiness struct {
	Ready    bool      `json:"ready"`
	Part     string    `json:"part,omitempty"` // the first of the parts that are not ready; of projections, the name alone
	Parts    []ailment `json:"parts,omitempty"`
	Warnings []ailment `json:"warnings,omitempty"` // what will need somebody, though requests are served
}

// ailment is what a part suffers from.
type ailment struct {
	Part   string `json:"part"`
	Reason string `json:"reason"`
}

// probeTime is how long a probe waits for a disk.
const probeTime = time.Second

// ready answers probes that ask whether requests will be served, and names the parts that keep them from it. It takes a
// second at most, whatever the disk does.
func (v *vitals) ready(w http.ResponseWriter, r *http.Request) {
	answer := v.examine(r)
	if answer.Ready {
		tell(w, http.StatusOK, answer)
		return
	}
	tell(w, http.StatusServiceUnavailable, answer)
}

func (v *vitals) examine(r *http.Request) readiness {
	if v.node.log.Full() {
		v.disk.expire() // there may be room again
	}
	disk, fresh := v.disk.look(probeTime)
	var a readiness
	a.log(v, disk, fresh)
	if v.node.keys != nil && v.node.keys.Err() != nil {
		a.fails("keys", "keys", "no more keys can be made: "+plain(v.node.keys.Err()))
	}
	a.projections(v, r)
	a.redis(v)
	a.Ready = len(a.Parts) == 0
	return a
}

func (a *readiness) fails(part, shown, reason string) {
	if a.Part == "" {
		a.Part = part
	}
	a.Parts = append(a.Parts, ailment{shown, reason})
}

func (a *readiness) warns(part, reason string) {
	a.Warnings = append(a.Warnings, ailment{part, reason})
}

// Bounds of what passes for ready, and from when on operators are warned.
const (
	slowestWrite = 5 * time.Second
	furthestLag  = 10 * time.Second
	leastRoom    = 64 << 20 // for the next segment of the log
	littleRoom   = 1 << 30
	shortRunway  = 24 * time.Hour
	runwayWatch  = 10 * time.Minute // before which its rate says little
)

// log examines the log and its disk.
func (a *readiness) log(v *vitals, disk room, fresh bool) {
	log := v.node.log
	switch pending := log.Pending(); {
	case log.Err() != nil:
		a.fails("log", "log", "stopped: "+plain(log.Err()))
	case pending > slowestWrite:
		a.fails("log", "log", fmt.Sprintf("the disk has not answered a write for %s", pending.Round(time.Second)))
	case log.Full() && (!fresh || disk.free < leastRoom): // with room again, the next append succeeds
		a.fails("log", "log", "the disk is full")
	}
	switch runway := time.Duration(min(disk.runway, 1e9) * float64(time.Second)); {
	case !fresh:
		a.fails("disk", "disk", fmt.Sprintf("has not answered within %s", probeTime))
	case disk.err != nil:
		a.fails("disk", "disk", plain(disk.err))
	case disk.free < littleRoom:
		a.warns("disk", fmt.Sprintf("%d MB are left for the data folder", disk.free/1e6))
	case runway < shortRunway && disk.watched >= runwayWatch:
		a.warns("disk", fmt.Sprintf("%d MB are left for the data folder, at the recent rate for %s", disk.free/1e6, runway.Round(time.Minute)))
	}
}

// projections examines the read models, the directory first.
func (a *readiness) projections(v *vitals, r *http.Request) {
	ctx, stop := context.WithTimeout(r.Context(), probeTime)
	defer stop()
	lags, err := v.node.lags(ctx)
	if _, own := v.node.ownLog(); err != nil && !own {
		a.fails("log", "log", "the event store does not answer")
		return
	}
	if err != nil {
		a.fails("projections", "projections", plain(err))
		return
	}
	for i, s := range lags {
		switch stalled := v.node.models[i].Stalled(); {
		case stalled != nil:
			a.fails(s.Name, "projection "+s.Name, "stalled: "+v.node.engineOf(s.Name)+plain(stalled))
		case s.Lag > furthestLag:
			a.fails(s.Name, "projection "+s.Name, fmt.Sprintf("%d events and %s behind", s.Behind, s.Lag.Round(time.Second)))
		}
	}
}

// plain says what an error comes down to, in words of the system's or of SQLite's: never of anybody's data.
func plain(err error) string {
	var number syscall.Errno
	var database *sqlite.Error
	var network net.Error
	switch {
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &database):
		return fmt.Sprintf("%s (SQLite %d)", database.Message, database.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	if errors.As(err, &network) && network.Timeout() {
		return "there was no answer in time"
	}
	return "the server's log says why"
}

// tell answers a probe.
func tell(w http.ResponseWriter, status int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a probe that has gone away needs no answer
}
