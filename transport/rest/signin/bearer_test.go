package signin_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/apikey"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// issue makes an API key and returns its id and its text.
func (w *world) issueKey(origin string, from, to int64) (id, text string) {
	w.Helper()
	id, text, hash, err := signin.NewKey(rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.apiKeys == nil {
		w.apiKeys = map[string]apikey.Key{}
	}
	w.apiKeys[id] = apikey.Key{Issued: apikey.Issued{ID: id, Origin: origin, SecretHash: hash, From: from, To: to}}
	return id, text
}

// door hands each call to a Checker and keeps what that said.
type door struct {
	*world
	apiKey string // that the client named before
	call   *rest.Call
	err    error
}

func (d *door) Name() string { return "test" }
func (d *door) Answer(c *rest.Call) (rest.Answer, error) {
	c.Meta.APIKey = d.apiKey
	d.call, d.err = c, d.Authenticate(c)
	return rest.Answer{Status: 200}, nil
}
func (d *door) Refuse(*rest.Call, error) rest.Answer { return rest.Answer{Status: 500} }

// recorder is a store in which nothing ever happens.
type recorder struct{}

func (recorder) Head(context.Context) (domain.Position, error) { return domain.Position{}, nil }
func (recorder) Record(context.Context, commands.Meta, domain.Event) (domain.Position, error) {
	return domain.Position{}, nil
}

// enter asks with an Authorization header.
func (w *world) enter(d *door, header string) (*rest.Call, error) {
	w.Helper()
	d.world = w
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", header)
	rest.NewPipeline(recorder{}, recorder{}, w, w.directory).Handler(d).ServeHTTP(httptest.NewRecorder(), r)
	return d.call, d.err
}

func TestAPIKeysSignIn(t *testing.T) {
	w := newWorld(t)
	now := w.clock.now.UnixMilli()
	id, text := w.issueKey("U0000000001", 0, 0)
	_, bounded := w.issueKey("", now, now+1000)
	_, early := w.issueKey("U0000000001", now+1000, 0)
	_, late := w.issueKey("U0000000001", 0, now)
	_, revoked := w.issueKey("U0000000001", 0, 0)
	delete(w.apiKeys, revoked[3:27])
	other := strings.Replace(text, id, strings.Repeat("0", len(id)), 1)

	for name, tt := range map[string]struct {
		header string
		want   commands.Principal
		err    error
	}{
		"a key":                        {"Bearer " + text, commands.Principal{Credential: id, Origin: "U0000000001"}, nil},
		"in other letters":             {"  bEARER   " + text + " ", commands.Principal{Credential: id, Origin: "U0000000001"}, nil},
		"of the installation":          {"Bearer " + bounded, commands.Principal{Credential: bounded[3:27], Root: true}, nil},
		"not valid yet":                {"Bearer " + early, commands.Principal{Anonymous: true}, signin.ErrToken},
		"expired":                      {"Bearer " + late, commands.Principal{Anonymous: true}, signin.ErrToken},
		"revoked":                      {"Bearer " + revoked, commands.Principal{Anonymous: true}, signin.ErrToken},
		"another id":                   {"Bearer " + other, commands.Principal{Anonymous: true}, signin.ErrToken},
		"one letter off":               {"Bearer " + text[:len(text)-1] + "1", commands.Principal{Anonymous: true}, signin.ErrToken},
		"one letter less":              {"Bearer " + text[:len(text)-1], commands.Principal{Anonymous: true}, signin.ErrToken},
		"no secret":                    {"Bearer " + text[:28], commands.Principal{Anonymous: true}, signin.ErrToken},
		"its hash":                     {"Bearer " + text[:28] + w.apiKeys[id].SecretHash, commands.Principal{Anonymous: true}, signin.ErrToken},
		"no prefix":                    {"Bearer " + text[3:], commands.Principal{Anonymous: true}, signin.ErrToken},
		"something else":               {"Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", commands.Principal{Anonymous: true}, signin.ErrToken},
		"nothing":                      {"Bearer ", commands.Principal{Anonymous: true}, signin.ErrMissing},
		"no header":                    {"", commands.Principal{Anonymous: true}, signin.ErrMissing},
		"another scheme":               {"Digest " + text, commands.Principal{Anonymous: true}, signin.ErrMissing},
		"the key as Basic":             {"Basic " + id + ":" + text, commands.Principal{Anonymous: true}, signin.ErrUnknown},
		"the key's secret as Basic":    {"Basic " + id + ":" + text[28:], commands.Principal{Anonymous: true}, signin.ErrUnknown},
		"the key as encoded Basic":     {"Basic " + base64.StdEncoding.EncodeToString([]byte(text+":")), commands.Principal{Anonymous: true}, signin.ErrMissing},
		"the hash of the installation": {"Bearer sl__", commands.Principal{Anonymous: true}, signin.ErrToken},
	} {
		call, err := w.enter(&door{}, tt.header)
		if !errors.Is(err, tt.err) || call.Meta.Principal != tt.want || errors.Is(err, signin.ErrToken) != (tt.err == signin.ErrToken) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, call.Meta.Principal, err, tt.want, tt.err)
		}
		if err == nil && call.Meta.APIKey != tt.want.Credential {
			t.Errorf("%s: the client's API key is %q", name, call.Meta.APIKey)
		}
		if call.Attempted != "" && len(call.Attempted) != len(id) && !strings.Contains(tt.header, "Basic") {
			t.Errorf("%s: %q is said to have been attempted, want an id of a key at most", name, call.Attempted)
		}
	}

	if call, err := w.enter(&door{apiKey: "the client's"}, "Bearer "+text); err != nil || call.Meta.APIKey != "the client's" {
		t.Errorf("a client that names its own key: %q, %v", call.Meta.APIKey, err)
	}
	if got, ok := w.KnownKey(text); !ok || got != id {
		t.Errorf("KnownKey = %q, %v", got, ok)
	}
	if _, ok := w.KnownKey(text + "a"); ok {
		t.Error("KnownKey knows another text")
	}
	w.clock.pass(time.Second)
	if _, err := w.enter(&door{}, "Bearer "+bounded); !errors.Is(err, signin.ErrToken) {
		t.Errorf("after its time: %v", err)
	}
	if _, err := w.enter(&door{}, "Bearer "+early); err != nil {
		t.Errorf("in its time: %v", err)
	}
}

func TestKeysAreAllDifferent(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id, text, hash, err := signin.NewKey(rand.Reader)
		if err != nil || seen[id] || seen[text] || seen[hash] || !strings.HasPrefix(text, "sl_"+id+"_") || len(text) != 80 {
			t.Fatalf("NewKey = %s, %s, %s, %v", id, text, hash, err)
		}
		seen[id], seen[text], seen[hash] = true, true, true
	}
	if _, _, _, err := signin.NewKey(strings.NewReader("too short")); err == nil {
		t.Error("a key was drawn without randomness")
	}
}

// Wrong tokens count against their source, each once; whoever has a right one is not held back by them.
func TestWrongTokensAreLimitedBySource(t *testing.T) {
	w := newWorld(t, signin.WithLimit(3, time.Second), signin.WithPace(1000, time.Millisecond))
	_, right := w.issueKey("U0000000001", 0, 0)
	wrong := func(n int) string {
		_, text, _, err := signin.NewKey(rand.Reader)
		if err != nil {
			t.Fatal(n, err)
		}
		return "Bearer " + text
	}
	same := wrong(0)
	for range 20 {
		if _, err := w.enter(&door{}, same); !errors.Is(err, signin.ErrToken) {
			t.Fatalf("the same token again and again: %v", err)
		}
	}
	for n := range 2 {
		if _, err := w.enter(&door{}, wrong(n)); !errors.Is(err, signin.ErrToken) {
			t.Fatalf("token %d: %v", n, err)
		}
	}
	var busy *rest.BusyError
	if _, err := w.enter(&door{}, wrong(3)); !errors.As(err, &busy) {
		t.Errorf("beyond the limit: %v", err)
	}
	w.set("p", "U0000000002", signin.Hash("s"), 0)
	if _, err := w.enter(&door{}, "Basic p:s"); !errors.As(err, &busy) {
		t.Errorf("a first sign-in from the same source: %v", err)
	}
	if _, err := w.enter(&door{}, "Bearer "+right); err != nil {
		t.Errorf("the right token: %v", err)
	}
}

func BenchmarkAPIKey(b *testing.B) {
	d := &directory{apiKeys: map[string]apikey.Key{}}
	id, text, hash, err := signin.NewKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	d.apiKeys[id] = apikey.Key{Issued: apikey.Issued{ID: id, SecretHash: hash}}
	c := signin.New(d, d)
	for b.Loop() {
		if _, ok := c.KnownKey(text); !ok {
			b.Fatal("not known")
		}
	}
}
