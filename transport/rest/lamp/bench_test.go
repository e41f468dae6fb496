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

// BenchmarkEvent measures recording one sensor event, without network and disk.
func BenchmarkEvent(b *testing.B) {
	f := newForest(b)
	path := "/participant/" + f.ids["P"] + "/sensor_event"
	body := `{"timestamp":1700000000000,"sensor":"lamp.accelerometer","data":{"x":0.0123,"y":-0.9876,"z":0.1029,"pad":"` + strings.Repeat("p", 200) + `"}}`
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := f.send(root, "POST", path, body); got.Code != 200 {
				b.Errorf("%d %s", got.Code, got.Body)
				return
			}
		}
	})
}

// BenchmarkTag measures reading a tag, its record included, without network and disk.
func BenchmarkTag(b *testing.B) {
	f := newForest(b)
	path := "/type/" + f.ids["P"] + "/attachment/lamp.name"
	f.ask(root, "PUT", path+"/me", `"Jo"`)
	b.ReportAllocs()
	for b.Loop() {
		f.ask(root, "GET", path, "")
	}
}
