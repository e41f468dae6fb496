package tracing

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"strandline/domain"
)

// spanOf is the span of a request, known by the request's id alone.
func spanOf(request domain.ID, flags trace.TraceFlags) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(request), SpanID: trace.SpanID(request[8:]), TraceFlags: flags, Remote: true,
	})
}

// requestKey is the key of a context under which the id of a request stands whose span is about to begin.
type requestKey struct{}

// ids gives the spans of requests their ids, and all others random ones.
type ids struct{}

// NewIDs implements sdk.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if request, ok := ctx.Value(requestKey{}).(domain.ID); ok {
		return trace.TraceID(request), trace.SpanID(request[8:])
	}
	var id trace.TraceID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()|1)
	return id, trace.SpanID(id[8:])
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) // never zero, which is none
	return id
}

// share samples a share of all traces, which all spans of a trace agree on. It goes by the last 62 bits, which a UUID has
// at random; OpenTelemetry's own goes by 63, of which the first is the same in every UUID.
type share struct{ bound uint64 }

func newShare(of float64) share {
	if of >= 1 {
		return share{math.MaxUint64}
	}
	return share{uint64(max(0, of) * (1 << 62))}
}

func (s share) samples(id trace.TraceID) bool {
	return binary.BigEndian.Uint64(id[8:])&(1<<62-1) < s.bound
}

// ShouldSample implements sdk.Sampler.
func (s share) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if s.samples(p.TraceID) {
		return sdk.SamplingResult{Decision: sdk.RecordAndSample}
	}
	return sdk.SamplingResult{Decision: sdk.Drop}
}

// Description implements sdk.Sampler.
func (s share) Description() string { return "a share of all traces, by the random bits of their ids" }
