package lamp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/rawjson"
	"strandline/domain/registry"
	"strandline/transport/rest/lamp"
)

// compact is what the routes do to a body first.
func compact(t testing.TB, text string) []byte {
	t.Helper()
	b, err := rawjson.Compact(nil, []byte(text))
	if err != nil {
		t.Fatalf("Compact(%s): %v", text, err)
	}
	return b
}

// TestEvents reads events and shows them again (contract, section 6).
func TestEvents(t *testing.T) {
	const sensor, activity = false, true
	for _, tt := range []struct {
		activity bool
		sent     string
		shown    string // empty: refused
	}{
		{sensor, `{"timestamp":1,"sensor":"s","data":{"x":1.50}}`, `{"timestamp":1,"sensor":"s","data":{"x":1.50}}`},
		{sensor, `{"sensor":"s"}`, `{"timestamp":null,"sensor":"s","data":{}}`},
		{sensor, `{"sensor":"s","timestamp":null,"data":null}`, `{"timestamp":null,"sensor":"s","data":null}`},
		{sensor, `{"sensor":"s","timestamp":"1585363115913"}`, `{"timestamp":1585363115913,"sensor":"s","data":{}}`},
		{sensor, `{"sensor":"s","timestamp":1585363115913.75}`, `{"timestamp":1585363115913,"sensor":"s","data":{}}`},
		{sensor, `{"sensor":"s","timestamp":-1.5}`, `{"timestamp":-2,"sensor":"s","data":{}}`},
		{sensor, `{"sensor":"s","timestamp":"2.5"}`, `{"timestamp":2,"sensor":"s","data":{}}`},
		{sensor, `{"sensor":"s","timestamp":1e3}`, `{"timestamp":1000,"sensor":"s","data":{}}`},
		{sensor, `{"sensor":"s","_id":"x","data":[1,2]}`, `{"timestamp":null,"sensor":"s","data":[1,2]}`},
		{sensor, `{"sensor":"a\u0000b\"ü","data":"\u0000\ud800"}`, `{"timestamp":null,"sensor":"a\u0000b\"ü","data":"\u0000\ud800"}`},
		{sensor, `{"\u0073ensor":"s"}`, `{"timestamp":null,"sensor":"s","data":{}}`},
		{sensor, `{"sensor":"s","timestamp":true}`, ``},
		{sensor, `{"sensor":"s","timestamp":{}}`, ``},
		{sensor, `{"sensor":"s","timestamp":"soon"}`, ``},
		{sensor, `{"sensor":"s","timestamp":"0x1p3"}`, ``},
		{sensor, `{"sensor":"s","timestamp":"Infinity"}`, ``},
		{sensor, `{"sensor":"s","timestamp":1e300}`, ``},
		{sensor, `{"sensor":"s","timestamp":9223372036854775807}`, ``},
		{sensor, `{"sensor":5}`, ``},
		{sensor, `{"sensor":""}`, ``},
		{sensor, `{"data":{}}`, ``},
		{sensor, `"s"`, ``},
		{sensor, `null`, ``},
		{sensor, `{"sensor":"` + strings.Repeat("s", 300) + `"}`, ``},
		{activity, `{"activity":"a"}`, `{"timestamp":0,"duration":0,"activity":"a","static_data":{},"temporal_slices":[]}`},
		{activity, `{"activity":"a","timestamp":5,"duration":"12","static_data":{"b":1,"a":2},"temporal_slices":[{"item":1}]}`,
			`{"timestamp":5,"duration":12,"activity":"a","static_data":{"b":1,"a":2},"temporal_slices":[{"item":1}]}`},
		{activity, `{"activity":"a","timestamp":null,"duration":null,"temporal_slices":null}`,
			`{"timestamp":0,"duration":0,"activity":"a","static_data":{},"temporal_slices":[]}`},
		{activity, `{"activity":"a","duration":1.50}`, `{"timestamp":0,"duration":1.50,"activity":"a","static_data":{},"temporal_slices":[]}`},
		{activity, `{"activity":"a","duration":"1.50"}`, `{"timestamp":0,"duration":1.50,"activity":"a","static_data":{},"temporal_slices":[]}`},
		{activity, `{"activity":"a","duration":[]}`, ``},
		{activity, `{"activity":"a","duration":"long"}`, ``},
		{activity, `{"activity":"a","duration":"01"}`, ``},
		{activity, `{"activity":"a","temporal_slices":{}}`, ``},
		{activity, `{"duration":1}`, ``},
	} {
		items, err := lamp.ReadEvents(tt.activity, compact(t, tt.sent))
		if tt.shown == "" {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%s: %+v, %v; want it refused", tt.sent, items, err)
			}
			continue
		}
		if err != nil || len(items) != 1 {
			t.Errorf("%s: %+v, %v", tt.sent, items, err)
			continue
		}
		if got := string(lamp.AppendEvent(tt.activity, items[0], false)); got != tt.shown {
			t.Errorf("%s is shown as %s, want %s", tt.sent, got, tt.shown)
		}
	}
}

func TestBatches(t *testing.T) {
	items, err := lamp.ReadEvents(false, []byte(`[{"sensor":"a"},{"sensor":"a"},{"sensor":"b"}]`))
	if err != nil || len(items) != 3 || items[2].Series != "b" {
		t.Errorf("read %+v, %v", items, err)
	}
	if items, err := lamp.ReadEvents(false, []byte(`[]`)); err != nil || len(items) != 0 {
		t.Errorf("no events: %+v, %v", items, err)
	}
	if _, err := lamp.ReadEvents(false, []byte(`[{"sensor":"a"},7]`)); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("one bad event: %v, want the whole batch refused", err)
	}
}

// TestIgnoreBinary leaves out embedded recordings, and only those (contract, section 6).
func TestIgnoreBinary(t *testing.T) {
	for sent, want := range map[string]string{
		`{"url":"data:audio/mp3;base64,AAAA","a":1}`:       `{"a":1}`,
		`{"a":1,"url":"data:audio/mp3;base64,AAAA","b":2}`: `{"a":1,"b":2}`,
		`{"url":"data\u003aaudio\/mp3,x"}`:                 `{}`,
		`{"url":"https://example.org/a.mp3"}`:              `{"url":"https://example.org/a.mp3"}`,
		`{"a":{"url":"data:audio/mp3,x"}}`:                 `{"a":{"url":"data:audio/mp3,x"}}`,
		`["url"]`:                                          `["url"]`,
	} {
		items, err := lamp.ReadEvents(true, compact(t, `{"activity":"a","static_data":`+sent+`}`))
		if err != nil {
			t.Fatal(err)
		}
		got := string(lamp.AppendEvent(true, items[0], true))
		if want := `{"timestamp":0,"duration":0,"activity":"a","static_data":` + want + `,"temporal_slices":[]}`; got != want {
			t.Errorf("%s: %s, want %s", sent, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	for text, want := range map[string]int{
		"": 1000, "x": 1000, "NaN": 1000, "10": 10, "-5": -5, "0": 0, "2.9": 2, "1e3": 1000,
		"99999999999": 2147483647, "-1e99": -2147483647, "1e999": 2147483647, "-Infinity": -2147483647,
	} {
		if got := lamp.Limit(text); got != want {
			t.Errorf("limit=%s means %d, want %d", text, got, want)
		}
	}
}

func TestEntry(t *testing.T) {
	for entry, want := range map[string]string{
		`{"repeat_interval":"daily","time":"x"}`:                                      `{"repeat_interval":"daily","time":"x","notification_ids":[1]}`,
		`{"notification_ids":[9],"repeat_interval":"custom","custom_time":["a","b"]}`: `{"repeat_interval":"custom","custom_time":["a","b"],"notification_ids":[1,2]}`,
		`{"repeat_interval":"custom","custom_time":null}`:                             `{"repeat_interval":"custom","custom_time":null,"notification_ids":[]}`,
		`{}`: `{"notification_ids":[1]}`,
	} {
		if got := lamp.Entry([]byte(entry)); got != want {
			t.Errorf("%s becomes %s, want %s", entry, got, want)
		}
	}
}

func TestPart(t *testing.T) {
	for _, tt := range []struct{ value, index, want string }{
		{`{"a":1,"length":7}`, "a", `1`}, {`{"a":1,"length":7}`, "length", `7`}, {`{"a":1}`, "b", ``},
		{`[1,[2],3]`, "1", `[2]`}, {`[1,2,3]`, "-1", `3`}, {`[1,2,3]`, "3", `null`}, {`[1,2,3]`, "-4", `null`},
		{`[1,2,3]`, "length", `3`}, {`[1]`, "x", ``}, {`[1]`, "99999999999999999999", ``},
		{`"aü😀"`, "length", `4`}, {`"abc"`, "0", ``}, {`5`, "0", ``}, {`true`, "length", ``},
	} {
		got, err := lamp.Part([]byte(tt.value), tt.index)
		if string(got) != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s at %s is %s, %v; want %s", tt.value, tt.index, got, err, tt.want)
		}
	}
}

// FuzzEvents looks for events that are read but cannot be shown as JSON, or that are shown in two ways.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		`{"timestamp":1,"sensor":"s","data":{}}`, `[{"sensor":"s"},{}]`, `{"activity":"a","duration":"7","static_data":{"url":"data:audio"}}`,
		`{"sensor":"\ud800","timestamp":"1.5"}`, `[[]]`, `null`, `{"activity":"a","temporal_slices":[{}],"timestamp":1e15}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, sent []byte, activity bool) {
		body, err := rawjson.Compact(nil, sent)
		if err != nil {
			return
		}
		items, err := lamp.ReadEvents(activity, body)
		if err != nil {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Fatalf("%s: %v is of the wrong kind", sent, err)
			}
			return
		}
		for _, item := range items {
			shown := lamp.AppendEvent(activity, item, false)
			again, err := lamp.ReadEvents(activity, shown)
			if err != nil || !bytes.Equal(lamp.AppendEvent(activity, again[0], false), shown) {
				t.Fatalf("%s is shown as %s, which is read as %v, %v", sent, shown, again, err)
			}
			if light := lamp.AppendEvent(activity, item, true); !json.Valid(light) {
				t.Fatalf("%s is shown lightly as %s", sent, light)
			}
		}
	})
}

// FuzzBodies looks for bodies that make a reader panic or refuse with an error of the wrong kind.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{"name":"x","schedule":[{}],"category":null,"settings":[1]}`, `{"origin":null,"access_key":"a","secret_key":"b"}`,
		`"secret"`, `[1,2]`, `{"name":7}`, `{"description":null,"executable":"x","static_data":[]}`, `0`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		body, err := rawjson.Compact(nil, sent)
		if err != nil {
			return
		}
		for _, kind := range registry.Kinds() {
			for _, changing := range []bool{false, true} {
				attributes, err := lamp.Attributes(kind, body, changing)
				if err != nil && !errors.Is(err, domain.ErrInvalid) {
					t.Fatalf("%s as %s: %v", sent, kind, err)
				}
				for name, value := range attributes {
					if !json.Valid(value) {
						t.Fatalf("%s as %s: %s is %s", sent, kind, name, value)
					}
				}
			}
		}
		for _, err := range []error{lamp.ReadCredential(body), lamp.ReadUpdate(body)} {
			if err != nil && !errors.Is(err, domain.ErrInvalid) {
				t.Fatalf("%s as a credential: %v", sent, err)
			}
		}
		if part, err := lamp.Part(body, "0"); err == nil && !json.Valid(part) {
			t.Fatalf("%s has the part %s", sent, part)
		}
		if body[0] == '{' && !json.Valid([]byte(lamp.Entry(body))) {
			t.Fatalf("%s as a schedule's entry is %s", sent, lamp.Entry(body))
		}
	})
}

// FuzzQuery looks for parameters that make the reader of queries panic or ask for the impossible.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"1", "-1", "1e999", "NaN", "0x1p-2", "", "1_0", "8640000000000001", "Infinity", "-0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n := lamp.Limit(text); n < -2147483647 || n > 2147483647 {
			t.Errorf("limit=%q means %d", text, n)
		}
		at, err := lamp.Bound(text)
		if err != nil && !errors.Is(err, domain.ErrInvalid) || at != nil && (*at > 8_640_000_000_000_000 || *at < -8_640_000_000_000_000) {
			t.Errorf("from=%q means %v, %v", text, at, err)
		}
	})
}
