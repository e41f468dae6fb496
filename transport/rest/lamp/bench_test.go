package lamp_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"strandline/transport/rest/lamp"
)

// BenchmarkRoute measures finding the first route of the table, one in its middle, the last one, and none.
func BenchmarkRoute(b *testing.B) {
	door := lamp.New(lamp.Parts{})
	for name, path := range map[string]string{
		"event": "/participant/U0000000001/sensor_event", "tag": "/type/U0000000001/attachment/lamp.name",
		"last": "/", "none": "/nothing", "long": "/participant/" + strings.Repeat("x", 8000) + "/sensor_event",
	} {
		r := httptest.NewRequest("GET", path, nil)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				door.Match(r)
			}
		})
	}
}
