package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	log, err := (&logging{"info", "json"}).logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	overrun := func() (v any) {
		defer func() { v = recover() }()
		return []int{}[len(out.String())]
	}()
	for _, tt := range []struct {
		say  func(*slog.Logger)
		want map[string]string
	}{
		{func(l *slog.Logger) { l.Info("hello") }, map[string]string{"level": "INFO", "msg": "hello", "component": "server"}},
		{func(l *slog.Logger) { part(l, "log").With("n", "1").Warn("well") }, map[string]string{"level": "WARN", "component": "log", "n": "1"}},
		{func(l *slog.Logger) { part(part(l, "log"), "http").Error("oh") }, map[string]string{"component": "http"}},
		{func(l *slog.Logger) {
			l.Info("x", "error", fmt.Errorf("append to observation-U0123456789-lamp.sensor: %q", "secret"))
		},
			map[string]string{"error": `append to observation-…-lamp.sensor: "…"`}},
		{func(l *slog.Logger) { l.Info("x", "cause", "below 0123456789abcdefghjk") }, map[string]string{"cause": "below …"}},
		{func(l *slog.Logger) { l.Info("x", "panic", errors.New("secret")) }, map[string]string{"panic": "*errors.errorString"}},
		{func(l *slog.Logger) { l.Info("x", "panic", "secret") }, map[string]string{"panic": "string"}},
		{func(l *slog.Logger) { l.Info("x", "panic", overrun) }, map[string]string{"panic": "runtime error: index out of range [0] with length 0"}},
	} {
		out.Reset()
		tt.say(log)
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["time"] == nil || strings.Contains(out.String(), "secret") || strings.Count(out.String(), "component") != 1 {
			t.Errorf("%v: %s", err, out.String())
		}
		for name, want := range tt.want {
			if line[name] != want {
				t.Errorf("%s is %q, want %q, in %s", name, line[name], want, out.String())
			}
		}
	}
	out.Reset()
	if log.Debug("quiet"); out.Len() != 0 {
		t.Errorf("at level info: %s", out.String())
	}
	if text, err := (&logging{"debug", "text"}).logger(&out); err != nil {
		t.Error(err)
	} else if text.Debug("loud"); !strings.Contains(out.String(), "level=DEBUG msg=loud component=server") {
		t.Errorf("as text: %s", out.String())
	}
	for _, o := range []logging{{"loud", "json"}, {"info", "xml"}, {"", ""}} {
		if _, err := o.logger(&out); exitCode(err) != exitUsage {
			t.Errorf("%+v: %v, want wrong use", o, err)
		}
	}
}

// TestComplaintsAreModerated has one message many times in a second, and others beside it.
func TestComplaintsAreModerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log, err := (&logging{"debug", "text"}).logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 1000 {
			part(log, "http").Error("the disk is full", "n", n)
			log.Debug("a request was answered")
		}
		log.Error("something else")
		time.Sleep(time.Second)
		log.Error("the disk is full")
		log.Error("the disk is full")
		for text, want := range map[string]int{
			"the disk is full": mostComplaints + 2, "a request was answered": 1000, "something else": 1,
			"omitted=": 1, fmt.Sprintf("omitted=%d ", 1000-mostComplaints): 1,
		} {
			if got := strings.Count(out.String(), text); got != want {
				t.Errorf("%q is in the log %d times, want %d", text, got, want)
			}
		}
	})
}
