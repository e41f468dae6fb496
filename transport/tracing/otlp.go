package tracing

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Of OTLP in JSON, no more than our spans have: ids in hexadecimal, times in nanoseconds as strings, enumerations as
// numbers (OTLP 1.x, section "JSON Protobuf Encoding").
type (
	otlpRequest struct {
		ResourceSpans []otlpResource `json:"resourceSpans"`
	}
	otlpResource struct {
		Resource   otlpAttributes `json:"resource"`
		ScopeSpans []otlpScope    `json:"scopeSpans"`
	}
	otlpAttributes struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpScope struct {
		Scope map[string]string `json:"scope"`
		Spans []otlpSpan        `json:"spans"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Parent     string          `json:"parentSpanId,omitempty"`
		Flags      int             `json:"flags"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Links      []otlpLink      `json:"links,omitempty"`
		Status     *otlpStatus     `json:"status,omitempty"`
	}
	otlpLink struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
	}
	otlpStatus struct {
		Code int `json:"code"`
	}
	otlpAttribute struct {
		Key   string            `json:"key"`
		Value map[string]string `json:"value"`
	}
)

// statusError is STATUS_CODE_ERROR.
const statusError = 2

// request is what is sent of spans, which are all of one resource and scope.
func request(spans []sdk.ReadOnlySpan) otlpRequest {
	if len(spans) == 0 {
		return otlpRequest{}
	}
	first := spans[0]
	scope := otlpScope{Scope: map[string]string{"name": first.InstrumentationScope().Name, "version": first.InstrumentationScope().Version}}
	for _, s := range spans {
		scope.Spans = append(scope.Spans, span(s))
	}
	return otlpRequest{[]otlpResource{{otlpAttributes{attributes(first.Resource().Attributes())}, []otlpScope{scope}}}}
}

func span(s sdk.ReadOnlySpan) otlpSpan {
	o := otlpSpan{
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(), Flags: int(s.SpanContext().TraceFlags()),
		Name: s.Name(), Kind: kinds[s.SpanKind()], Start: nanoseconds(s.StartTime()), End: nanoseconds(s.EndTime()),
		Attributes: attributes(s.Attributes()),
	}
	if s.Parent().SpanID().IsValid() {
		o.Parent = s.Parent().SpanID().String()
	}
	for _, l := range s.Links() {
		o.Links = append(o.Links, otlpLink{l.SpanContext.TraceID().String(), l.SpanContext.SpanID().String()})
	}
	if s.Status().Code == codes.Error {
		o.Status = &otlpStatus{statusError}
	}
	return o
}

// kinds are OTLP's numbers of the kinds of spans.
var kinds = map[trace.SpanKind]int{trace.SpanKindInternal: 1, trace.SpanKindServer: 2, trace.SpanKindConsumer: 5}

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// attributes are numbers and texts: we have no others.
func attributes(all []attribute.KeyValue) []otlpAttribute {
	list := make([]otlpAttribute, 0, len(all))
	for _, a := range all {
		kind := "stringValue"
		if a.Value.Type() == attribute.INT64 {
			kind = "intValue" // as a string, too, since it has 64 bits
		}
		list = append(list, otlpAttribute{string(a.Key), map[string]string{kind: a.Value.String()}})
	}
	return list
}
