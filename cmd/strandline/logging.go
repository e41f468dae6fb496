package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"runtime"

	"github.com/spf13/pflag"

	"strandline/transport/rest"
)

// logging holds the flags of what a server logs.
type logging struct {
	level  string
	format string
}

func (o *logging) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.level, "log-level", "info", "least level of what is logged: debug (with a line for each request), info, warn or error")
	flags.StringVar(&o.format, "log-format", "json", "of the log on standard error: json or text")
}

// logger returns the logger that the flags describe. Each of its lines names the component that it comes from, which is
// the server unless log.With("component", …) says otherwise, and none holds a client's words.
func (o *logging) logger(w io.Writer) (*slog.Logger, error) {
	options := &slog.HandlerOptions{ReplaceAttr: discreet}
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[o.level]
	if !ok {
		return nil, exitWith(exitUsage, fmt.Errorf("--log-level is debug, info, warn or error, not %q", o.level))
	}
	options.Level = level
	switch o.format {
	case "json":
		return slog.New(component{slog.NewJSONHandler(w, options), "server"}), nil
	case "text":
		return slog.New(component{slog.NewTextHandler(w, options), "server"}), nil
	}
	return nil, exitWith(exitUsage, fmt.Errorf("--log-format is json or text, not %q", o.format))
}

// part is log for a part of the server.
func part(log *slog.Logger, name string) *slog.Logger { return log.With(componentKey, name) }

const componentKey = "component"

// component is a handler that adds to each line where it comes from.
type component struct {
	slog.Handler
	name string
}

// Handle implements slog.Handler.
func (h component) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.String(componentKey, h.name))
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h component) WithAttrs(attrs []slog.Attr) slog.Handler {
	others := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		if a.Key == componentKey {
			h.name = a.Value.String()
			continue
		}
		others = append(others, a)
	}
	return component{h.Handler.WithAttrs(others), h.name}
}

// WithGroup implements slog.Handler.
func (h component) WithGroup(name string) slog.Handler {
	return component{h.Handler.WithGroup(name), h.name}
}

// ids are those of participants and of other objects, which stand for people.
var ids = regexp.MustCompile(`\bU[0-9]{10}\b|\b[0-9a-hjkmnp-tv-z]{20}\b`)

// discreet keeps out of the log what clients have said, which errors quote, and whom it is about. What a panic was called
// with may be anything, so only the runtime's own errors are told; the stack says where it was.
func discreet(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case "error", "cause":
		a.Value = slog.StringValue(ids.ReplaceAllString(rest.Discreet(a.Value.String()), "…"))
	case "panic":
		text := fmt.Sprintf("%T", a.Value.Any())
		if own, ok := a.Value.Any().(runtime.Error); ok {
			text = own.Error()
		}
		a.Value = slog.StringValue(text)
	}
	return a
}
