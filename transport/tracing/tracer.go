package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/rest"
)

// Tracer makes spans. It is a rest.Tracer, and safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	share    share
}

// sendEvery is how long a span waits for others to leave with.
const sendEvery = time.Second

// New returns a Tracer that sends a share (from 0 to 1) of all traces to the OTLP/HTTP collector at endpoint, such as
// http://127.0.0.1:4318. Shut it down to send what it still has.
func New(endpoint string, of float64, version string, log *slog.Logger) (*Tracer, error) {
	to, err := url.Parse(endpoint)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return nil, fmt.Errorf("%w: the endpoint of a collector is written as http://127.0.0.1:4318", domain.ErrInvalid)
	}
	if !(of >= 0 && of <= 1) {
		return nil, fmt.Errorf("%w: the share of traces is from 0 to 1", domain.ErrInvalid)
	}
	if !strings.HasSuffix(to.Path, tracesPath) {
		to = to.JoinPath(tracesPath)
	}
	// What the SDK has to say goes to standard error otherwise, in lines of its own kind.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("OpenTelemetry complains", "error", err) }))
	t := &Tracer{share: newShare(of)}
	t.provider = sdk.NewTracerProvider(
		sdk.WithSampler(t.share), sdk.WithIDGenerator(ids{}),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "strandline"), attribute.String("service.version", version))),
		sdk.WithBatcher(newExporter(to.String(), log), sdk.WithBatchTimeout(sendEvery), sdk.WithMaxQueueSize(8192)),
	)
	t.tracer = t.provider.Tracer("strandline", trace.WithInstrumentationVersion(version))
	return t, nil
}

// Shutdown sends what has not been sent, until ctx ends.
func (t *Tracer) Shutdown(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Request implements rest.Tracer.
func (t *Tracer) Request(ctx context.Context, h http.Header, came time.Time, s rest.Seen) (context.Context, string, func(rest.Seen)) {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(came), trace.WithNewRoot()}
	theirs := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(h)))
	if theirs.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: theirs.WithTraceState(trace.TraceState{})}))
	}
	ctx, span := t.tracer.Start(context.WithValue(ctx, requestKey{}, s.Request), s.Method, options...)
	ours := span.SpanContext()
	response := fmt.Sprintf("00-%s-%s-%s", ours.TraceID(), ours.SpanID(), ours.TraceFlags())
	request := s.Request
	return ctx, response, func(s rest.Seen) {
		span.SetName(strings.TrimSpace(s.Method + " " + s.Route))
		span.SetAttributes(attribute.String("http.request.method", s.Method), attribute.String("http.route", s.Route),
			attribute.Int("http.response.status_code", s.Status), attribute.String("strandline.dialect", s.Dialect),
			attribute.String("strandline.request", request.String()))
		if s.Status >= 500 {
			span.SetStatus(codes.Error, "")
		}
		span.End(trace.WithTimestamp(came.Add(s.Took)))
	}
}

// Step implements rest.Tracer.
func (t *Tracer) Step(ctx context.Context, name string) (context.Context, func()) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, func() {}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, func() { span.End() }
}

// Command is a commands.Observer.
func (t *Tracer) Command(ctx context.Context, name string) (context.Context, func(error)) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, "command "+name)
	return ctx, func(err error) { ended(span, err) }
}

// ended ends a span. What went wrong is told in full on the record and in the log, so here it is only told that it did.
func ended(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// store is an event store whose appends are traced.
type store struct {
	commands.EventStore
	t *Tracer
}

// Store returns s with its appends traced.
func (t *Tracer) Store(s commands.EventStore) commands.EventStore { return store{s, t} }

// Append implements commands.EventStore.
func (s store) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return s.EventStore.Append(ctx, stream, expected, records)
	}
	ctx, span := s.t.tracer.Start(ctx, "append", trace.WithAttributes(attribute.Int("strandline.events", len(records))))
	appended, err := s.EventStore.Append(ctx, stream, expected, records)
	span.SetAttributes(attribute.String("strandline.position", appended.Position.String()))
	ended(span, err)
	return appended, err
}

// Bounds on the spans of projections: what is older has been applied before, or by a projection that is catching up.
const (
	oldest       = time.Minute
	mostRequests = 256 // of one batch
)

// Applied is a projections.Observer.
func (t *Tracer) Applied(projection string, began time.Time, events []domain.Recorded) {
	ended := time.Now()
	seen := map[domain.ID]int{}
	for i := range events {
		request := events[i].Correlation
		if request.IsZero() || !t.share.samples(trace.TraceID(request)) || ended.Sub(events[i].Time) > oldest {
			continue
		}
		if seen[request]++; len(seen) == mostRequests {
			break
		}
	}
	for request, count := range seen {
		ctx := trace.ContextWithRemoteSpanContext(context.Background(), spanOf(request, trace.FlagsSampled))
		_, span := t.tracer.Start(ctx, "project "+projection, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began),
			trace.WithAttributes(attribute.String("strandline.projection", projection), attribute.String("strandline.request", request.String()),
				attribute.Int("strandline.events", count), attribute.Int("strandline.batch", len(events))))
		span.End(trace.WithTimestamp(ended))
	}
}
