package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// asked is the environment of a command that asks a server.
func asked(url string) map[string]string {
	return map[string]string{"STRANDLINE_URL": url, "STRANDLINE_ACCESS_KEY": "k", "STRANDLINE_SECRET_KEY": "s"}
}

// serving answers everything with the same text.
func serving(t *testing.T, status int, body string, headers ...string) string {
	t.Helper()
	return servingFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

func servingFunc(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

const oneEvent = `{"position":"1f","stream":"s-1","revision":0,"id":"i","type":"study.added","version":1,"time":"2026-01-02T03:04:05Z","actor":"root","correlation":"c","data":{"a":1},"sentence":"root added study X"}` + "\n"

// reading are the commands that read, with what an answer means to them.
var reading = [][]string{
	{"log", "tail"}, {"log", "find"}, {"log", "stats"}, {"log", "show", "1f"},
	{"series", "U1"}, {"series", "U1", "--window", "1h"}, {"series", "latest", "U1"}, {"projection", "list"},
	{"projection", "parked", "series"}, {"audit"}, {"key", "list"}, {"grant", "list"}, {"services"},
}

// TestGarbage: whatever a server answers, a command ends, fails with a sentence, and is quiet on standard output.
func TestGarbage(t *testing.T) {
	for name, body := range map[string]string{
		"text":       "hello\n",
		"HTML":       "<html><body>\x1b[31mIt works!</body></html>",
		"no JSON":    "{\"events\":[}\n",
		"a number":   "17\n",
		"a list":     "[1,2]\n",
		"bytes":      "\x00\xff\xfe\x1b]0;title\x07\n",
		"wrong type": `{"position":5,"time":"noon","start":"x","channel":7,"events":"none","projections":7}` + "\n",
	} {
		url := serving(t, 200, body)
		for _, args := range reading {
			out, messages, code := strandline(t, asked(url), args...)
			if code != exitFailed || !strings.Contains(messages, "does not understand") || strings.ContainsAny(out+messages, "\x1b\x07\x00") {
				t.Errorf("%s to %v: exit code %d, %q, %q", name, args, code, out, messages)
			}
		}
	}
}

// TestBrokenOff: what came before the end is shown, and that there would have been more is an error.
func TestBrokenOff(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"in a line": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, oneEvent+oneEvent[:50]) },
		"in the protocol": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, oneEvent)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"with a reason": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, oneEvent+`{"error":"It took too long. Ask again later."}`+"\n")
		},
	} {
		url := servingFunc(t, answer)
		out, messages, code := strandline(t, asked(url), "log", "tail")
		if code == 0 || !strings.Contains(out, "root added study X") || !strings.Contains(messages, "again") {
			t.Errorf("%s: exit code %d, %q, %q", name, code, out, messages)
		}
		if _, messages, code := strandline(t, asked(url), "log", "stats"); code == 0 || !strings.Contains(messages, "again") {
			t.Errorf("stats, %s: exit code %d, %q; a part of the counts must not pass for all", name, code, messages)
		}
	}
}

// TestNothingReachesTheTerminal: sequences that move cursors, set titles or turn the direction of writing are shown
// harmless to people, and as JSON with the same meaning.
func TestNothingReachesTheTerminal(t *testing.T) {
	evil := `\u001b[2J\u001b]0;owned\u0007\u009b31m\u202eGOOD` + "\u009b\u202e\u2066\u200f"
	line := strings.NewReplacer("root added study X", evil, "study.added", evil, `"s-1"`, `"`+evil+`"`, `"a":1`, `"a":"`+evil+`"`, `"c"`, `"`+evil+`"`).Replace(oneEvent)
	page := `{"events":[` + strings.TrimSpace(line) + `]}`
	sample := `{"time":1,"channel":"` + evil + `","name":"` + evil + `","value":{"a":"` + evil + `"},"position":"` + evil + `"}` + "\n"
	window := `{"start":1,"end":2,"channel":"` + evil + `","name":"` + evil + `","count":1,"mean":2,"last":"` + evil + `"}` + "\n"
	projections := `{"projections":[{"name":"` + evil + `","stalled":"` + evil + `"}]}`
	things := `{"id":"` + evil + `","name":"` + evil + `","origin":"` + evil + `","object":"` + evil + `","role":"` + evil + `","access_key":"` + evil +
		`","by":"` + evil + `","version":"` + evil + `","roles":["` + evil + `"],"addresses":["` + evil + `"],"position":"` + evil + `","error":"` + evil + `","stream":"` + evil + `"}`
	lists := `{"keys":[` + things + `],"grants":[` + things + `],"services":[` + things + `],"parked":[` + things + `]}`
	record := `{"time":"2026-01-02T03:04:05Z","actor":"` + evil + `","method":"` + evil + `","route":"` + evil + `","object":"` + evil + `","subject":"` + evil + `","outcome":"` + evil + `","address":"` + evil + `"}` + "\n"
	refusal := `{"title":"` + evil + `","remedy":"` + evil + `"}`
	for _, tt := range []struct {
		status int
		body   string
		args   []string
	}{
		{200, line, []string{"log", "tail"}}, {200, line, []string{"log", "find"}}, {200, line, []string{"log", "stats"}},
		{200, page, []string{"log", "show", "1f"}}, {200, sample, []string{"series", "U1"}},
		{200, window, []string{"series", "U1", "--window", "1h"}}, {200, projections, []string{"projection", "list"}},
		{200, lists, []string{"key", "list"}}, {200, lists, []string{"grant", "list"}}, {200, lists, []string{"services"}},
		{200, lists, []string{"projection", "parked", "series"}}, {200, record, []string{"audit"}}, {200, things, []string{"key", "create"}},
		{200, things, []string{"grant", "give", "reader", "null", "--credential", "c"}},
		{409, refusal, []string{"log", "tail"}}, {200, refusal, []string{"log", "tail"}}, {200, `{"error":"` + evil + `"}` + "\n", []string{"log", "tail"}},
	} {
		url := serving(t, tt.status, tt.body)
		for _, more := range [][]string{nil, {"--json"}, {"--only", "sentence"}, {"--only", "data"}, {"--only", "value"}, {"--only", "name"}} {
			out, messages, code := strandline(t, asked(url), append(tt.args, more...)...)
			if tt.status == 200 && code != 0 && tt.body[:9] != refusal[:9] && tt.body[:9] != `{"error":` {
				t.Errorf("%v %v: exit code %d, %q", tt.args, more, code, messages)
			}
			if found := strings.IndexFunc(out+messages, dangerous); found >= 0 {
				t.Errorf("%v %v shows %q", tt.args, more, out+messages)
			}
		}
	}
}

func dangerous(r rune) bool {
	return r != '\n' && unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control)
}

// TestBusyServers are asked again, politely and not for ever, for what changes nothing.
func TestBusyServers(t *testing.T) {
	var asks atomic.Int32
	busy := func(times int32, retry string) string {
		asks.Store(0)
		return servingFunc(t, func(w http.ResponseWriter, _ *http.Request) {
			if asks.Add(1) <= times {
				w.Header().Set("Retry-After", retry)
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			fmt.Fprint(w, oneEvent)
		})
	}
	if out, messages, code := strandline(t, asked(busy(2, "0")), "log", "tail"); code != 0 || out == "" || !strings.Contains(messages, "busy") {
		t.Errorf("busy twice: exit code %d, %q", code, messages)
	}
	if _, messages, code := strandline(t, asked(busy(1000, "0")), "log", "tail"); code != exitRefused || asks.Load() != mostAgain+1 {
		t.Errorf("busy for ever: exit code %d after %d asks, %q", code, asks.Load(), messages)
	}
	begin := time.Now()
	if _, messages, code := strandline(t, asked(busy(1000, "3600")), "log", "tail"); code != exitRefused || !strings.Contains(messages, "ask again in 1h0m0s") || time.Since(begin) > 5*time.Second {
		t.Errorf("busy for an hour: exit code %d, %q", code, messages)
	}
	if _, _, code := strandline(t, asked(busy(1000, "0")), "projection", "rebuild", "series"); code != exitRefused || asks.Load() != 1 {
		t.Errorf("what changes something was asked %d times, exit code %d", asks.Load(), code)
	}
}

// TestSecretsStay: a redirection is shown and not followed.
func TestSecretsStay(t *testing.T) {
	var told atomic.Bool
	elsewhere := servingFunc(t, func(http.ResponseWriter, *http.Request) { told.Store(true) })
	_, messages, code := strandline(t, asked(serving(t, 307, "", "Location", elsewhere)), "log", "tail")
	if code != exitRefused || told.Load() || !strings.Contains(messages, elsewhere) {
		t.Errorf("redirected: exit code %d, followed %v, %q", code, told.Load(), messages)
	}
}

// TestRemedies: every failure to be answered says what helps.
func TestRemedies(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = nil
	plain := serving(t, 200, "")
	for _, tt := range []struct {
		url  string
		code int
		says string
	}{
		{"http://127.0.0.1:1", exitFailed, "is the server running there?"},
		{secure.URL, exitFailed, "--ca DIR/tls/ca.pem"},
		{strings.Replace(secure.URL, "https", "http", 1), exitRefused, "write https://"},
		{strings.Replace(plain, "http", "https", 1), exitFailed, "write http://"},
		{"http://strandline.invalid", exitFailed, "check the name in --url"},
		{"127.0.0.1:8080", exitUsage, "write it as http://"},
		{serving(t, 401, `{"title":"The access key is unknown or its secret is wrong."}`), exitRefused, "--credential-file"},
		{serving(t, 403, `{"title":"No.","remedy":"Ask root for the role."}`), exitRefused, "Ask root for the role"},
		{serving(t, 412, `{"title":"The position asked for has not been reached.","remedy":"Ask again."}`), exitRefused, "Ask again"},
		{serving(t, 503, `{}`, "Retry-After", "60"), exitRefused, "ask again in 1m0s"},
		{serving(t, 429, `{}`, "Retry-After", "60"), exitRefused, "ask again in 1m0s"},
	} {
		if _, messages, code := strandline(t, asked(tt.url), "log", "tail"); code != tt.code || !strings.Contains(messages, tt.says) {
			t.Errorf("%s: exit code %d, %q; want %d and %q", tt.url, code, messages, tt.code, tt.says)
		}
	}
	if _, messages, code := strandline(t, nil, "log", "tail"); code != exitUsage || !strings.Contains(messages, "no credential: give --credential-file") {
		t.Errorf("without a credential: exit code %d, %q", code, messages)
	}
}

// TestAPIKeysSignIn as Bearer, out of a file or the environment.
func TestAPIKeysSignIn(t *testing.T) {
	var who atomic.Value
	url := servingFunc(t, func(w http.ResponseWriter, r *http.Request) { who.Store(r.Header.Get("Authorization")) })
	file := put(t, "key.json", `{"id":"1","key":"sl_1_x"}`)
	for _, env := range []map[string]string{
		{"STRANDLINE_URL": url, "STRANDLINE_API_KEY": "sl_1_x"},
		{"STRANDLINE_URL": url, "STRANDLINE_API_KEY_FILE": put(t, "key", "sl_1_x\n")},
		{"STRANDLINE_URL": url, "STRANDLINE_CREDENTIAL_FILE": file},
	} {
		if _, messages, code := strandline(t, env, "log", "tail"); code != 0 || who.Load() != "Bearer sl_1_x" {
			t.Errorf("%v: exit code %d, %q, signed in with %v", env, code, messages, who.Load())
		}
	}
}

// TestInterrupted ends at once with the code of the help; following ends so in peace.
func TestInterrupted(t *testing.T) {
	url := servingFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			fmt.Fprint(w, oneEvent)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"log", "tail"}, exitInterrupted}, {[]string{"log", "stats"}, exitInterrupted}, {[]string{"series", "U1"}, exitInterrupted},
		{[]string{"projection", "list"}, exitInterrupted}, {[]string{"log", "tail", "--follow"}, exitDone},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		interrupted, stop := context.WithCancel(t.Context())
		context.AfterFunc(ctx, stop)
		var out, messages strings.Builder
		code := run(interrupted, tt.args, environ{environment(asked(url)), nil}, &out, &messages)
		cancel()
		if code != tt.code {
			t.Errorf("%v interrupted: exit code %d, %q; want %d", tt.args, code, messages.String(), tt.code)
		}
	}
}

// TestFollowingGoesOn after a server that went away, without skipping or repeating an event, and not for ever.
func TestFollowingGoesOn(t *testing.T) {
	asks := make(chan string, 10)
	url := servingFunc(t, func(w http.ResponseWriter, r *http.Request) {
		asks <- r.URL.Query().Get("after")
		switch len(asks) {
		case 1:
			fmt.Fprint(w, oneEvent+strings.ReplaceAll(oneEvent, `"1f"`, `"20"`)+oneEvent[:30]) // breaks off in a line
		case 2: // ends at once
		default:
			fmt.Fprint(w, strings.ReplaceAll(oneEvent, `"1f"`, `"21"`))
		}
	})
	out, messages, code := strandline(t, asked(url), "log", "tail", "--follow", "--limit", "3", "--only", "position", "--after", "1e")
	close(asks)
	var after []string
	for a := range asks {
		after = append(after, a)
	}
	if code != 0 || out != "1f\n20\n21\n" || fmt.Sprint(after) != "[1e 20 20]" {
		t.Errorf("exit code %d, %q, asked after %v, %q", code, out, after, messages)
	}
	begin := time.Now()
	if _, _, code := strandline(t, asked("http://127.0.0.1:1"), "log", "tail", "--follow"); code != exitFailed || time.Since(begin) > 5*time.Second {
		t.Errorf("following a server that never was: exit code %d after %s", code, time.Since(begin))
	}
}

// TestSuggestions for commands and flags.
func TestSuggestions(t *testing.T) {
	for _, tt := range []struct {
		says string
		args []string
	}{
		{"did you mean tail?", []string{"log", "trail"}},
		{"did you mean projection?", []string{"projetcion"}},
		{"did you mean --follow?", []string{"log", "tail", "--folow"}},
		{"did you mean --credential-file?", []string{"log", "show", "1", "--credentials-file", "x"}},
		{"see 'strandline log tail --help'", []string{"log", "tail", "more"}},
		{"write it as", []string{"log", "tail", "--from", "yesterday"}},
		{"is no position", []string{"log", "show", "here"}},
		{"--newest needs a --limit", []string{"log", "find", "--newest", "--limit", "0"}},
		{`"-1" for "--limit" flag: it is a whole number from 0; see`, []string{"log", "tail", "--limit", "-1"}},
		{`"x" for "--limit" flag: it is a whole number from 0; see`, []string{"audit", "--limit", "x"}},
		{"it is a whole number from 0", []string{"series", "U1", "--limit", "1.5"}},
		{"it is a whole number from 0", []string{"log", "find", "--limit", "-2"}},
	} {
		if _, messages, code := strandline(t, asked("http://127.0.0.1:1"), tt.args...); code != exitUsage || !strings.Contains(messages, tt.says) {
			t.Errorf("%v: exit code %d, %q; want %d and %q", tt.args, code, messages, exitUsage, tt.says)
		}
	}
}

// TestWrongVariablesOfClients are errors where they would have been of use: a server asked by mistake answers, too.
func TestWrongVariablesOfClients(t *testing.T) {
	wrong := asked("http://127.0.0.1:1")
	wrong["STRANDLINE_URI"] = "http://127.0.0.1:2"
	for _, args := range [][]string{{"log", "tail"}, {"audit"}, {"key", "list"}, {"backup", "--to", "a", "--keys-to", "b"}} {
		_, messages, code := strandline(t, wrong, args...)
		if code != exitUsage || !strings.Contains(messages, "STRANDLINE_URI means nothing to Strandline: did you mean STRANDLINE_URL?") {
			t.Errorf("%v: exit code %d, %q", args, code, messages)
		}
	}
	if _, messages, code := strandline(t, wrong, "version"); code != 0 {
		t.Errorf("version: exit code %d, %q", code, messages)
	}
}

// TestEverythingIsToBeHadAsJSON: whatever is printed can be printed for programs.
func TestEverythingIsToBeHadAsJSON(t *testing.T) {
	for _, c := range leaves(newRoot(environ{environment(nil), nil}, streams{io.Discard, io.Discard})) {
		switch c.CommandPath() {
		case "strandline serve", "strandline demo", "strandline help": // for people
		case "strandline projection dump": // JSON in any case
		case "strandline completion bash", "strandline completion zsh", "strandline completion fish", "strandline completion powershell":
		default:
			if c.Flags().Lookup("json") == nil {
				t.Errorf("%s has no --json", c.CommandPath())
			}
		}
	}
}

// leaves are the commands that have none below them, or do something themselves.
func leaves(c *cobra.Command) (all []*cobra.Command) {
	for _, below := range c.Commands() {
		all = append(all, leaves(below)...)
	}
	if len(c.Commands()) == 0 || c.Name() == "series" {
		all = append(all, c)
	}
	return all
}

// TestExitCodesAreDocumented in the help of the program.
func TestExitCodesAreDocumented(t *testing.T) {
	out, _, _ := strandline(t, nil, "--help")
	for _, code := range []int{exitDone, exitFailed, exitUsage, exitData, exitRefused, exitStore, exitInterrupted, exitUnread} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), fmt.Sprintf("%d ", code)) {
			t.Errorf("the help of the program does not name exit code %d", code)
		}
	}
}
