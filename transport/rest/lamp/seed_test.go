package lamp_test

import (
	"encoding/json"
	"slices"
	"testing"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/rest/lamp"
	"strandline/transport/rest/signin"
)

// TestSeed seeds twice, and again after one was removed: what was seeded once is not seeded again.
func TestSeed(t *testing.T) {
	w := newWorld(t)
	names := func(path string) (names []string) {
		var list []struct{ ID string }
		w.must(json.Unmarshal(w.ask(root, "GET", path, ""), &list))
		for _, spec := range list {
			names = append(names, spec.ID)
		}
		return names
	}
	w.must(lamp.Seed(t.Context(), w.bus, w.keys))
	if sensors, activities := names("/sensor_spec"), names("/activity_spec"); len(sensors) != 20 || len(activities) != 30 ||
		!slices.Contains(activities, "lamp.survey") || !slices.Contains(sensors, "lamp.analytics") {
		t.Errorf("seeded %d sensors %v and %d activities %v", len(sensors), sensors, len(activities), activities)
	}
	w.ask(root, "DELETE", "/sensor_spec/lamp.gps", "")
	w.must(lamp.Seed(t.Context(), w.bus, w.keys))
	if sensors := names("/sensor_spec"); len(sensors) != 19 {
		t.Errorf("seeded again: %v", sensors)
	}
	for _, e := range w.recorded() {
		if e.Command == "sensor_spec.add" && e.Actor != "system" {
			t.Errorf("seeded by %q", e.Actor)
		}
	}
}

func TestRoot(t *testing.T) {
	w := newWorld(t)
	meta := commands.Meta{Request: domain.ID{1}, Dialect: "system"}
	if _, err := signin.Root(t.Context(), w.bus, w.keys, meta, "first", "root secret"); err != nil {
		t.Fatal(err)
	}
	w.ask("first:root secret", "GET", "/researcher", "")
}
