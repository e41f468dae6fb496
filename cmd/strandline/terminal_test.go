package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal opens a new terminal: what a program shows on the second file is read from the first.
func openTerminal(t *testing.T) (shown, side *os.File) {
	t.Helper()
	shown, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { shown.Close() })
	if err := unix.IoctlSetPointerInt(int(shown.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(shown.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	side, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return shown, side
}

// asking is a command that asks a server, with an environment of its own.
func asking(t *testing.T, url string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "STRANDLINE_URL=" + url, "STRANDLINE_ACCESS_KEY=k", "STRANDLINE_SECRET_KEY=s"}, env...)
	return cmd
}

// onTerminal runs a command whose output or messages go to a terminal, and returns what that shows.
func onTerminal(t *testing.T, cmd *exec.Cmd, messages bool) string {
	t.Helper()
	shown, side := openTerminal(t)
	cmd.Stdout = side
	if messages {
		cmd.Stdout, cmd.Stderr = nil, side
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	side.Close()
	text, _ := io.ReadAll(shown) // ends with EIO once the command has closed its side
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %v", cmd.Args, err)
	}
	return string(text)
}

// logLine is a line of the log at a position.
func logLine(position int, at time.Time) string {
	return fmt.Sprintf(`{"position":"%x","stream":"s","revision":%d,"type":"access.refused","time":%q,"actor":"a","sentence":"no"}`+"\n",
		position, position-1, at.UTC().Format(time.RFC3339))
}

// TestColours are for terminals only, and not with NO_COLOR.
func TestColours(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, logLine(1, time.Now())) }))
	defer server.Close()
	for _, args := range [][]string{{"log", "tail"}, {"log", "find"}, {"log", "stats"}} {
		if text := onTerminal(t, asking(t, server.URL, []string{"TERM=xterm"}, args...), false); !strings.Contains(text, "\x1b[") {
			t.Errorf("%v shows no colours on a terminal: %q", args, text)
		}
		for _, env := range [][]string{{"TERM=xterm", "NO_COLOR=1"}, {"TERM=dumb"}, nil} {
			if text := onTerminal(t, asking(t, server.URL, env, args...), false); strings.Contains(text, "\x1b") || text == "" {
				t.Errorf("%v with %v shows %q", args, env, text)
			}
		}
		if text, err := asking(t, server.URL, []string{"TERM=xterm"}, args...).Output(); err != nil || bytes.Contains(text, []byte("\x1b")) {
			t.Errorf("%v into a pipe: %q, %v", args, text, err)
		}
		if text := onTerminal(t, asking(t, server.URL, []string{"TERM=xterm"}, append(args, "--json")...), false); strings.Contains(text, "\x1b") {
			t.Errorf("%v --json shows %q", args, text)
		}
	}
}

// TestProgressOfReading tells on standard error, after two seconds, how far reading is and how long it will take; quick
// commands tell nothing.
func TestProgressOfReading(t *testing.T) {
	const events = 30
	pause := 100 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("actor") != "blind" { // there the server does not say how far there is to go
			w.Header().Set("Strandline-Position", fmt.Sprintf("%x", events))
		}
		begin := time.Now()
		for n := 1; n <= events; n++ {
			fmt.Fprint(w, logLine(n, begin.Add(time.Duration(n-events)*time.Minute)))
			_ = http.NewResponseController(w).Flush()
			if r.URL.Query().Get("actor") != "quick" {
				time.Sleep(pause)
			}
		}
	}))
	defer server.Close()
	for _, actor := range []string{"anybody", "blind"} {
		cmd := asking(t, server.URL, nil, "log", "stats", "--json", "--actor", actor)
		var out, messages bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &messages
		if err := cmd.Run(); err != nil || !strings.HasPrefix(out.String(), `{"events":30,"streams":1,`) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: %v, %q", actor, err, out.String())
		}
		if text := messages.String(); !strings.Contains(text, " %, ") || !strings.Contains(text, "s to go\n") || !strings.Contains(text, "done in ") || strings.ContainsAny(text, "\r\x1b") {
			t.Errorf("%s: progress as lines is %q", actor, text)
		}
	}
	text := onTerminal(t, asking(t, server.URL, nil, "log", "stats"), true)
	if strings.Count(text, "\r") < 2 || strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") {
		t.Errorf("progress on a terminal is %q; want one line that is written over", text)
	}
	if text, err := asking(t, server.URL, nil, "log", "stats", "--actor", "quick").CombinedOutput(); err != nil || bytes.Contains(text, []byte("%")) {
		t.Errorf("progress of what is quick: %s", text)
	}
}

// TestReaderGoesAway: what is read by head ends quietly.
func TestReaderGoesAway(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for n := 1; r.Context().Err() == nil; n++ {
			fmt.Fprint(w, logLine(n, time.Now()))
		}
	}))
	defer server.Close()
	for _, ignoring := range []bool{false, true} { // some shells and supervisors have SIGPIPE ignored
		for _, args := range [][]string{{"log", "tail"}, {"log", "tail", "--json"}, {"log", "find", "--limit", "0"}, {"log", "tail", "--only", "position"}} {
			cmd := asking(t, server.URL, nil, args...)
			if ignoring {
				script := append([]string{"-c", `trap "" PIPE; exec "$0" "$@"`}, cmd.Args...)
				cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh"}, script...)
			}
			var messages bytes.Buffer
			cmd.Stderr = &messages
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			out.Close()
			_ = cmd.Wait() // how it ended is in its state
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			quiet := status.Signaled() && status.Signal() == syscall.SIGPIPE || status.ExitStatus() == 128+int(syscall.SIGPIPE)
			if !quiet || messages.Len() > 0 {
				t.Errorf("%v, SIGPIPE ignored %v: %v, %q", args, ignoring, cmd.ProcessState, messages.String())
			}
		}
	}
}
