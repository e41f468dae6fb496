package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"runtime"
	"sync"

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
		return slog.New(component{slog.NewJSONHandler(w, options), "server", &moderation{}}), nil
	case "text":
		return slog.New(component{slog.NewTextHandler(w, options), "server", &moderation{}}), nil
	}
	return nil, exitWith(exitUsage, fmt.Errorf("--log-format is json or text, not %q", o.format))
}

// part is log for a part of the server.
func part(log *slog.Logger, name string) *slog.Logger { return log.With(componentKey, name) }

const componentKey = "component"

// component is a handler that adds to each line where it comes from, and leaves out what is said too often.
type component struct {
	slog.Handler
	name   string
	filter *moderation
}

// Handle implements slog.Handler.
func (h component) Handle(ctx context.Context, r slog.Record) error {
	omitted, pass := h.filter.pass(r)
	if !pass {
		return nil
	}
	if omitted > 0 {
		r.AddAttrs(slog.Int("omitted", omitted))
	}
	r.AddAttrs(slog.String(componentKey, h.name))
	return h.Handler.Handle(ctx, r)
}

// moderation keeps complaints from filling a disk: of those with one message, which are all of one place in the code, so
// many a second pass, and the next one to pass says how many were left out before it.
type moderation struct {
	mu      sync.Mutex
	second  int64
	passed  map[string]int // in this second, by message
	omitted map[string]int // since the last one that passed
}

// mostComplaints with one message pass in a second.
const mostComplaints = 20

func (m *moderation) pass(r slog.Record) (omitted int, pass bool) {
	if r.Level < slog.LevelWarn {
		return 0, true // who asks for these lines wants them all
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := r.Time.Unix(); now != m.second || m.passed == nil {
		m.second, m.passed = now, map[string]int{}
	}
	if m.omitted == nil {
		m.omitted = map[string]int{}
	}
	if m.passed[r.Message]++; m.passed[r.Message] > mostComplaints {
		m.omitted[r.Message]++
		return 0, false
	}
	omitted = m.omitted[r.Message]
	delete(m.omitted, r.Message)
	return omitted, true
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
	return component{h.Handler.WithAttrs(others), h.name, h.filter}
}

// WithGroup implements slog.Handler.
func (h component) WithGroup(name string) slog.Handler {
	return component{h.Handler.WithGroup(name), h.name, h.filter}
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
