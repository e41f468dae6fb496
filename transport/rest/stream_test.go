package rest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
	"strandline/transport/rest"
)

// record is a recorder that remembers, and every other port that a pipeline needs.
type record struct {
	mu     sync.Mutex
	events []domain.Event
	ids    []domain.ID
	fails  error
}

func (r *record) Record(_ context.Context, meta commands.Meta, e domain.Event) (domain.Position, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.ids = append(r.events, e), append(r.ids, meta.Request)
	return domain.Position{}, r.fails
}

func (r *record) Head(context.Context) (domain.Position, error) { return domain.Position{}, nil }
func (r *record) Wait(context.Context, domain.Position) error   { return nil }
func (r *record) Hash(_, text string) (sum [32]byte)            { copy(sum[:], text); return sum }
func (r *record) Name() string                                  { return "test" }
func (r *record) Refuse(*rest.Call, error) rest.Answer {
	return rest.Answer{Status: 503, Code: "refused"}
}
func (r *record) Answer(*rest.Call) (rest.Answer, error) {
	return rest.Answer{Status: 200, Stream: threeLines}, nil
}

func threeLines(_ context.Context, to *rest.Stream) (int, error) {
	for i := range 3 {
		fmt.Fprintf(to, "line %d\n", i)
	}
	return 3, to.Flush()
}

// TestStreamIsRecordedTwice opens a stream and reads it to its end: one record before it, one after it, of one request.
func TestStreamIsRecordedTwice(t *testing.T) {
	r := &record{}
	server := httptest.NewServer(rest.NewPipeline(r, r, r, r).Handler(r))
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "line 0\nline 1\nline 2\n" {
		t.Errorf("read %q, %v", body, err)
	}
	server.Close() // waits for the handler
	if want := []domain.Event{access.Served{}, access.Ended{Rows: 3}}; !reflect.DeepEqual(r.events, want) {
		t.Errorf("recorded %+v, want %+v", r.events, want)
	}
	if r.ids[0] != r.ids[1] || r.ids[0].IsZero() {
		t.Errorf("recorded under %v, want one request", r.ids)
	}
}

// TestStreamThatCannotBeRecorded is not opened.
func TestStreamThatCannotBeRecorded(t *testing.T) {
	r := &record{fails: errors.New("disk full")}
	w := httptest.NewRecorder()
	quiet := rest.WithLogger(slog.New(slog.DiscardHandler))
	rest.NewPipeline(r, r, r, r, quiet).Handler(r).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 || strings.Contains(w.Body.String(), "line") {
		t.Errorf("answered %d %q, want 503 and no line", w.Code, w.Body)
	}
}
