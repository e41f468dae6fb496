package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// tracesPath is where a collector takes traces (OTLP 1.x, section "OTLP/HTTP Request").
const tracesPath = "/v1/traces"

// exporter sends spans to a collector. It implements sdk.SpanExporter.
type exporter struct {
	url  string
	http *http.Client
	log  *slog.Logger

	mu      sync.Mutex
	told    time.Time // when the log was told last that spans are lost
	dropped int       // since then
}

// Bounds on a collector that does not do well.
const (
	sendTime  = 5 * time.Second
	attempts  = 3
	tellEvery = time.Minute
)

func newExporter(url string, log *slog.Logger) *exporter {
	return &exporter{url: url, http: &http.Client{Timeout: sendTime}, log: log}
}

// ExportSpans implements sdk.SpanExporter. Spans that cannot be sent are dropped: the log says so, now and then.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	body, err := json.Marshal(request(spans))
	if err != nil {
		return err
	}
	pause := 100 * time.Millisecond
	for n := 1; ; n++ {
		again, err := e.send(ctx, body)
		if err == nil {
			return nil
		}
		if !again || n == attempts || !sleep(ctx, pause) {
			e.lost(len(spans), err)
			return nil
		}
		pause *= 4
	}
}

// send sends a body once, and tells whether it makes sense to send it again.
func (e *exporter) send(ctx context.Context, body []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := e.http.Do(r)
	if err != nil {
		return true, errors.Unwrap(err) // without the address, which may hold a credential
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	switch {
	case answer.StatusCode < 300:
		return false, nil
	case answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode >= 502 && answer.StatusCode <= 504:
		return true, fmt.Errorf("the collector answered %d", answer.StatusCode)
	}
	return false, fmt.Errorf("the collector answered %d", answer.StatusCode)
}

// lost counts spans that are dropped, and tells the log at most once a minute.
func (e *exporter) lost(spans int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dropped += spans
	if time.Since(e.told) < tellEvery {
		return
	}
	e.log.Warn("spans of traces could not be sent, and are dropped", "spans", e.dropped, "error", err)
	e.told, e.dropped = time.Now(), 0
}

// Shutdown implements sdk.SpanExporter.
func (e *exporter) Shutdown(context.Context) error {
	e.http.CloseIdleConnections()
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
