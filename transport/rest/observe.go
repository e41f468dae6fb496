package rest

import (
	"context"
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

// Tracer follows requests on their way through the server.
type Tracer interface {
	// Request begins a request that came at the given time, of which Route, Status and Took are not known yet. It returns
	// a context in which what the request leads to is followed, what the header Traceresponse of the answer says, and
	// what is to be told when the request has been answered.
	Request(ctx context.Context, h http.Header, came time.Time, s Seen) (_ context.Context, response string, answered func(Seen))
	// Step begins a part of what the context is of, until the returned function is called.
	Step(ctx context.Context, name string) (context.Context, func())
}

// WithTracer sets who follows requests. The default is nobody.
func WithTracer(t Tracer) Option { return func(p *Pipeline) { p.tracer = t } }

// begin lets the tracer follow the call, if there is one. The returned function is told how it was answered.
func (p *Pipeline) begin(c *Call, came time.Time, s Seen) func(Seen) {
	if p.tracer == nil {
		return func(Seen) {}
	}
	ctx, response, answered := p.tracer.Request(c.Context(), c.request.Header, came, s)
	c.request = c.request.WithContext(ctx)
	c.writer.Header()["Traceresponse"] = []string{response}
	return answered
}

// Step lets a part of the call be seen by the tracer, until the returned function is called.
func (c *Call) Step(name string) func() {
	if c.pipeline.tracer == nil {
		return func() {}
	}
	_, end := c.pipeline.tracer.Step(c.Context(), name)
	return end
}

// Held is how many bytes of request bodies are in memory and at most may be, and how many requests wait for room.
func (p *Pipeline) Held() (bytes, limit int64, waiting int) {
	small, waitingSmall := p.bodies.small.held()
	large, waitingLarge := p.bodies.large.held()
	return small + large, p.bodies.small.total + p.bodies.large.total, waitingSmall + waitingLarge
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
