package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"strandline/readmodels/documents/couch/pouchtest"
	"strandline/readmodels/series/influx/influxtest"
)

// enginesOfFleet are the engines that the processes of a fleet share.
type enginesOfFleet struct {
	couch  *pouchtest.Server
	influx *influxtest.Server
}

// share has a fleet keep documents and samples in engines.
func (f *fleet) share() enginesOfFleet {
	e := enginesOfFleet{pouchtest.InMemory(f.t), influxtest.Start(f.t)}
	f.engines = []string{"--couchdb", e.couch.URL("fleet"), "--influx", e.influx.URL()}
	return e
}

// builds are the databases that hold documents.
func (e enginesOfFleet) builds(t *testing.T) (all []string) {
	t.Helper()
	answer, err := http.Get(strings.TrimSuffix(e.couch.URL(""), "/") + "/_all_dbs")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var names []string
	if err := json.NewDecoder(answer.Body).Decode(&names); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "fleet-documents-") {
			all = append(all, name)
		}
	}
	return all
}

// TestDrillSharedReadModels has two processes that answer and two that project share a CouchDB and an InfluxDB, and ends each in
// turn while clients write to one and read from the other. One process fills each engine at a time, those that answer
// only read, and one that comes with an empty folder answers at once.
func TestDrillSharedReadModels(t *testing.T) {
	f := newFleet(t)
	engines := f.share()
	names := []string{"project0", "api0", "api1", "project1"}
	c := f.launch(names...)
	load, end := c.busy()
	moment := time.Duration(pick(300, 3000)) * time.Millisecond
	ends := 0
	for range pick(1, 5) {
		for _, name := range []string{"project0", "project1", "api0"} {
			for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
				time.Sleep(moment)
				c.end(name, how)
				time.Sleep(moment)
				c.relaunch(name)
				ends++
			}
		}
	}
	time.Sleep(moment)
	end()
	for which := range int64(2) {
		for _, name := range []string{"documents", "series"} {
			c.api(which).caughtUp(t, name)
		}
	}
	load.check()

	before := engines.builds(t)
	if len(before) != 1 {
		t.Errorf("four processes keep the documents in %v, want one database", before)
	}
	if measured := engines.influx.Query(t, "SHOW MEASUREMENTS ON strandline"); strings.Contains(measured, "_b2") || !strings.Contains(measured, "_b1") {
		t.Errorf("samples are not in one build: %s", measured)
	}
	for _, name := range []string{"api0", "project0"} {
		for _, files := range []string{"documents", "series"} {
			if found, _ := filepath.Glob(filepath.Join(f.dir, name, "readmodels", files+"*")); len(found) > 0 {
				t.Errorf("%s has files of its own: %v", name, found)
			}
		}
	}

	fresh := f.start("api2", "api")
	for i, participant := range load.made.participants {
		if times := fresh.times(t, participant); len(times) != len(load.events[i]) {
			t.Errorf("a process with an empty folder shows %d events of %d", len(times), len(load.events[i]))
		}
	}
	fresh.stop(t)
	c.builtAnew(engines, before)
	load.check()
	t.Logf("%d processes ended under load and started again: %d events and %d plans answered, each there once on both; "+
		"%d requests were sent again, slowest answer %s; one build in each engine",
		ends, load.next.Load()-int64(len(load.families)), len(load.families), load.again.Load(), time.Duration(load.slowest.Load()).Round(time.Millisecond))
}

// builtAnew asks a process that only reads for a rebuild, which the one that fills does.
func (c *crew) builtAnew(engines enginesOfFleet, before []string) {
	c.t.Helper()
	if out, messages, code := command(c.t, "projection", "rebuild", "documents", "--url", c.api(1).url); code != 0 || !strings.Contains(out, "filled by another process") {
		c.t.Fatalf("rebuild: %d %s %s", code, out, messages)
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		now := engines.builds(c.t)
		if len(now) > 0 && fmt.Sprint(now) != fmt.Sprint(before) && c.pointed(engines) != before[0] {
			return
		}
		if time.Since(began) > 30*time.Second {
			c.t.Fatalf("the documents were asked to be built anew, and are still those of %v", now)
		}
	}
}

// pointed is the database that serves.
func (c *crew) pointed(engines enginesOfFleet) string {
	c.t.Helper()
	answer, err := http.Get(strings.TrimSuffix(engines.couch.URL(""), "/") + "/fleet/fleet-documents-1")
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	var pointer struct{ Build string }
	if err := json.NewDecoder(answer.Body).Decode(&pointer); err != nil {
		c.t.Fatal(err)
	}
	return pointer.Build
}
