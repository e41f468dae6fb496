package rest

import (
	"log/slog"
	"net/http"
	"time"

	"strandline/domain"
)

// Observer is told of requests as they come and go, by the goroutines that serve them: it must be quick and must not
// block.
type Observer interface {
	// Came is told that a request has come.
	Came()
	// Left is told what became of it, once the last byte of its answer has left.
	Left(Seen)
}

// Seen is what may be told of a request outside the record. Nothing in it is the client's word.
type Seen struct {
	Request domain.ID
	Dialect string
	Method  string // one that HTTP names, else "other"
	Route   string // its template; empty if there is no such route
	Status  int
	Took    time.Duration // until the answer began to leave: how fast the client takes it is the client's affair
}

// nobody is the Observer where there is none.
type nobody struct{}

func (nobody) Came()     {}
func (nobody) Left(Seen) {}

// WithObserver sets who is told of requests. The default is nobody.
func WithObserver(o Observer) Option { return func(p *Pipeline) { p.observer = o } }

// Held is how many bytes of request bodies are in memory and at most may be, and how many requests wait for room.
func (p *Pipeline) Held() (bytes, limit int64, waiting int) {
	bytes, waiting = p.bodies.budget.held()
	return bytes, p.bodies.budget.total, waiting
}

// method is a request's method, where it is one that HTTP names.
func method(sent string) string {
	switch sent {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return sent
	}
	return "other"
}

// logged writes the line that each request has at level debug.
func (p *Pipeline) logged(c *Call, s Seen) {
	if !p.log.Enabled(c.Context(), slog.LevelDebug) {
		return
	}
	p.log.LogAttrs(c.Context(), slog.LevelDebug, "a request was answered",
		slog.String("request", s.Request.String()), slog.String("dialect", s.Dialect), slog.String("method", s.Method),
		slog.String("route", s.Route), slog.Int("status", s.Status), slog.Duration("took", s.Took))
}
