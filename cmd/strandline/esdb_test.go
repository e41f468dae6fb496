package main_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	es "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// freeAddress is an address on this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// esdbClient is the official client, as somebody, over TLS unless there is no certificate authority.
func esdbClient(t *testing.T, address, authority, who string) *es.Client {
	t.Helper()
	settings, err := es.ParseConnectionString("esdb://" + address)
	if err != nil {
		t.Fatal(err)
	}
	settings.Logger = es.NoopLogging()
	settings.DisableTLS = authority == ""
	settings.MaxDiscoverAttempts = 3
	settings.Username, settings.Password, _ = strings.Cut(who, ":")
	if authority != "" {
		pem, err := os.ReadFile(authority)
		if err != nil {
			t.Fatal(err)
		}
		settings.RootCAs = x509.NewCertPool()
		settings.RootCAs.AppendCertsFromPEM(pem)
	}
	c, err := es.NewClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func esdbAppend(ctx context.Context, c *es.Client, stream string) error {
	_, err := c.AppendToStream(ctx, stream, es.AppendToStreamOptions{ExpectedRevision: es.Any{}},
		es.EventData{EventID: uuid.New(), EventType: "lab.measured", ContentType: es.ContentTypeJson, Data: []byte(`{"v":1}`), Metadata: []byte(`{"m":2}`)})
	return err
}

// esdbTypes are the types of all events that a caller gets to see, with the text of their data.
func esdbTypes(ctx context.Context, c *es.Client) (map[string]string, error) {
	events, err := c.ReadAll(ctx, es.ReadAllOptions{From: es.Start{}}, 10_000)
	if err != nil {
		return nil, err
	}
	defer events.Close()
	types := map[string]string{}
	for {
		e, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return types, nil
		}
		if err != nil {
			return nil, err
		}
		types[e.OriginalEvent().EventType] = string(e.OriginalEvent().Data)
	}
}

// esdbLinked is the data of what the links of a virtual stream stand for, as a caller gets to see it.
func esdbLinked(t *testing.T, c *es.Client, stream string) (data []string) {
	t.Helper()
	events, err := c.ReadStream(t.Context(), stream, es.ReadStreamOptions{ResolveLinkTos: true}, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	for {
		e, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return data
		}
		if err != nil {
			t.Fatalf("%s: %v", stream, err)
		}
		data = append(data, string(e.OriginalEvent().Data)+string(e.OriginalEvent().UserMetadata))
		if e.Event != nil {
			data[len(data)-1] = string(e.Event.Data) + string(e.Event.UserMetadata)
		}
	}
}

func esdbCode(err error) es.ErrorCode {
	var e *es.Error
	if !errors.As(err, &e) {
		return -1
	}
	return e.Code()
}

// TestEventStoreClients lets the official client of EventStoreDB in, with the credentials and rights of every other door.
func TestEventStoreClients(t *testing.T) {
	address := freeAddress(t)
	s := startNode(t, t.TempDir(), withArgs("--esdb-listen", address))
	study := newStudy(t, s, 1)
	ca := filepath.Join(s.data, "tls", "ca.pem")
	root := esdbClient(t, address, ca, rootKey+":"+rootSecret)
	if err := esdbAppend(t.Context(), root, "ext-lab"); err != nil {
		t.Fatalf("append to ext-lab as root: %v\n%s", err, s.log)
	}
	if err := esdbAppend(t.Context(), root, "registry-"+study.participants[0]); esdbCode(err) != es.ErrorCodeAccessDenied {
		t.Errorf("append to a stream of Strandline's own: %v; want access denied", err)
	}
	types, err := esdbTypes(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if types["lab.measured"] != `{"v":1}` || !strings.Contains(types["participant.added"], study.participants[0]) {
		t.Errorf("root sees %v", types)
	}
	for typ, data := range types {
		if strings.Contains(data, "argon2") {
			t.Errorf("%s shows a hash: %s", typ, data)
		}
	}
	for who, want := range map[string]es.ErrorCode{"": es.ErrorCodeUnauthenticated, rootKey + ":wrong": es.ErrorCodeUnauthenticated} {
		if err := esdbAppend(t.Context(), esdbClient(t, address, ca, who), "ext-lab"); esdbCode(err) != want {
			t.Errorf("append as %q: %v", who, err)
		}
	}
	if status, body := s.as(t, rootKey+":"+rootSecret, "POST", "/participant/"+study.participants[0]+"/credential",
		fmt.Sprintf(`{"origin":%q,"access_key":"p","secret_key":"sp","description":"x"}`, study.participants[0])); status != 200 {
		t.Fatalf("make a credential: %d %s", status, body)
	}
	participant := esdbClient(t, address, ca, "p:sp")
	if err := esdbAppend(t.Context(), participant, "ext-lab"); esdbCode(err) != es.ErrorCodeAccessDenied {
		t.Errorf("append as a participant: %v; want access denied", err)
	}
	if types, err := esdbTypes(t.Context(), participant); err != nil || len(types) != 0 {
		t.Errorf("a participant sees %v, %v; want nothing", types, err)
	}
	// A virtual stream is another way to the same events, opened for the same callers.
	if seen := esdbLinked(t, root, "$et-participant.added"); len(seen) != 1 || !strings.Contains(seen[0], study.participants[0]) {
		t.Errorf("root sees in $et-participant.added %q", seen)
	}
	for _, stream := range []string{"$et-participant.added", "$ce-ext", "$ce-registry"} {
		if seen := esdbLinked(t, participant, stream); len(seen) != 0 {
			t.Errorf("a participant sees in %s %q, want nothing", stream, seen)
		}
	}
	if err := esdbAppend(t.Context(), esdbClient(t, address, "", rootKey+":"+rootSecret), "ext-lab"); err == nil {
		t.Error("plain text was let in")
	}
	for route, want := range map[string]int{"append": 2, "read all": 2, "sign in": 2} {
		_, body := s.as(t, rootKey+":"+rootSecret, "GET", "/strandline/v1/audit?limit=1000&route="+strings.ReplaceAll(route, " ", "%20"), "")
		if n := strings.Count(body, `"request"`); n < want {
			t.Errorf("%d audit records of %q, want %d at least: %s", n, route, want, body)
		}
	}
}

// TestEventStoreLoopback lets callers on this machine in without credentials, where that was asked for.
func TestEventStoreLoopback(t *testing.T) {
	address := freeAddress(t)
	s := startNode(t, t.TempDir(), withArgs("--esdb-listen", address, "--esdb-trust-loopback"))
	for name, authority := range map[string]string{"plain": "", "TLS": filepath.Join(s.data, "tls", "ca.pem")} {
		c := esdbClient(t, address, authority, "")
		if err := esdbAppend(t.Context(), c, "ext-"+name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if types, err := esdbTypes(t.Context(), c); err != nil || types["lab.measured"] != `{"v":1}` {
			t.Errorf("%s: %v, %v", name, types, err)
		}
	}
	if !strings.Contains(s.log.String(), "development only") {
		t.Error("no warning at start")
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("stopped with %d:\n%s", code, s.log)
	}
}
