package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/pflag"

	"strandline/commands"
	"strandline/projections"
	"strandline/transport/rest"
	"strandline/transport/tracing"
)

// traces holds the flags of tracing, which is off unless there is somewhere to send traces to.
type traces struct {
	endpoint string
	share    float64
}

// standardEndpoint is the variable that OpenTelemetry has for the same.
const standardEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"

func (o *traces) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.endpoint, "otlp-endpoint", "", "collector of OpenTelemetry traces (OTLP/HTTP), such as http://127.0.0.1:4318 (default: $"+standardEndpoint+", else none)")
	flags.Float64Var(&o.share, "otlp-share", 1, "share of requests that are traced, from 0 to 1")
}

// tracer is what the flags ask for, nil for nothing.
func (o *traces) tracer(log *slog.Logger) (*tracing.Tracer, error) {
	endpoint := cmp.Or(o.endpoint, os.Getenv(standardEndpoint))
	if endpoint == "" {
		return nil, nil
	}
	t, err := tracing.New(endpoint, o.share, version(), part(log, "tracing"))
	return t, exitWith(exitUsage, err)
}

// traced is the event store that commands write to.
func (s *storage) traced() commands.EventStore {
	if s.tracer == nil {
		return s.log
	}
	return s.tracer.Store(s.log)
}

// busOptions, pipelineOptions and runnerOptions let the tracer see what each does.
func (s *storage) busOptions(options ...commands.Option) []commands.Option {
	if s.tracer != nil {
		options = append(options, commands.WithObserver(s.tracer.Command))
	}
	return options
}

func (s *storage) pipelineOptions(options ...rest.Option) []rest.Option {
	if s.tracer != nil {
		options = append(options, rest.WithTracer(s.tracer))
	}
	return options
}

func (s *storage) runnerOptions(options ...projections.Option) []projections.Option {
	if s.tracer != nil {
		options = append(options, projections.WithObserver(s.tracer.Applied))
	}
	return options
}

// lastTraces is how long a server that stops waits for the collector.
const lastTraces = 2 * time.Second

// stopTracing sends what has not been sent. A collector that is not there loses it, which is no failure of the server.
func (s *storage) stopTracing() {
	if s.tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastTraces)
	defer cancel()
	_ = s.tracer.Shutdown(ctx)
}
