package main_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// help is what `--help` of a command says: the commands below it, and its examples.
type help struct {
	words    string // of the command, strandline included
	below    []string
	examples []string
}

// allHelp walks over all commands, as somebody would who reads one help after the other.
func allHelp(t *testing.T, words ...string) (all []help) {
	t.Helper()
	text, messages, code := command(t, append(words, "--help")...)
	if code != 0 {
		t.Fatalf("%v --help: exit code %d, %s", words, code, messages)
	}
	h := help{words: strings.Join(append([]string{"strandline"}, words...), " ")}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasSuffix(line, ":") && !strings.HasPrefix(line, " "):
			section = line
		case section == "Available Commands:" && line != "":
			h.below = append(h.below, strings.Fields(line)[0])
		case section == "Examples:" && line != "":
			h.examples = append(h.examples, strings.TrimSpace(line))
		}
	}
	all = []help{h}
	for _, name := range h.below {
		all = append(all, allHelp(t, append(words, name)...)...)
	}
	return all
}

// TestExamples runs every example of every help, as it stands there: in a folder with the demonstration's server beside
// it, or where the example is of a stopped one, with that one's data. A command without an example fails.
func TestExamples(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash to run the examples with")
	}
	running := exampleFolder(t)
	stopped := exampleFolder(t)
	stopped.server.stop(t)
	n := 0
	all := allHelp(t)
	if len(all) < 30 {
		t.Fatalf("found only %d commands: the help is not read as it is written", len(all))
	}
	for _, h := range all {
		if len(h.examples) == 0 {
			t.Errorf("%s --help has no example", h.words)
		}
		if len(h.examples) > 0 && !strings.Contains(h.examples[0], h.words) {
			t.Errorf("the first example of %s is %s", h.words, h.examples[0])
		}
		for _, line := range h.examples {
			n++
			where := running
			if ofStopped.MatchString(line) {
				where = stopped
			}
			where.try(t, line)
		}
	}
	t.Logf("%d examples", n)
}

// ofStopped finds examples that work on the data of a stopped server.
var ofStopped = regexp.MustCompile(`--data (\./)?data\b`)

// exampleSite is a folder in which examples are run, with the server of the demonstration in ./data.
type exampleSite struct {
	dir    string
	server *server
}

func exampleFolder(t *testing.T) exampleSite {
	t.Helper()
	e := exampleSite{dir: t.TempDir()}
	e.server = startNode(t, filepath.Join(e.dir, "data"), withEnv("STRANDLINE_ROOT_KEY=", "STRANDLINE_ROOT_SECRET="))
	file := filepath.Join(e.dir, "data", "root-credential.json")
	if _, messages, code := command(t, "demo", "--url", e.server.url, "--credential-file", file); code != 0 {
		t.Fatalf("demo: exit code %d, %s", code, messages)
	}
	// What examples find in their folder: settings, and a certificate, which that of the authority can stand for.
	e.write(t, "strandline.yaml", []byte("listen: 127.0.0.1:8080\n"))
	for name, from := range map[string]string{"cert.pem": "data/tls/ca.pem", "key.pem": "data/tls/ca-key.pem"} {
		content, err := os.ReadFile(filepath.Join(e.dir, from))
		if err != nil {
			t.Fatal(err)
		}
		e.write(t, name, content)
	}
	return e
}

func (e exampleSite) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// try runs a line in a shell. What would go on for ever is interrupted.
func (e exampleSite) try(t *testing.T, line string) {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(
		"http://127.0.0.1:8080", e.server.url, "https://127.0.0.1:8443", e.server.tls, // of the server that runs
		"--listen 127.0.0.1:8080", "--listen 127.0.0.1:0", "0.0.0.0:8443", "127.0.0.1:0", // of one that is started
		"/srv/", filepath.Join(e.dir, "srv")+"/",
	).Replace(line)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", text)
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(name)+":"+os.Getenv("PATH"), "HOME="+e.dir, "STRANDLINE_URL="+e.server.url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(line, "strandline") && (strings.Contains(line, "--follow") || strings.Contains(line, "strandline serve")) {
		time.AfterFunc(time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }) // it may have failed
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s\n%v: %s", line, err, said.String())
	}
}

// TestWalks types what the README has newcomers type.
func TestWalks(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash to type the commands in")
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Three walks\n")
	section, _, _ = strings.Cut(section, "\n## ")
	script := "set -eux\n"
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		script += block[1]
	}
	if !found || strings.Count(script, "\nstrandline ") < 15 {
		t.Fatalf("the README has no walks:\n%s", script)
	}
	// Following is interrupted, and the program under test is not below the folder.
	script = regexp.MustCompile(`(?m)^.*--follow$`).ReplaceAllString(script, "timeout --preserve-status -s INT 1 $0")
	script = strings.ReplaceAll(script, "export PATH=$PWD/bin:$PATH ", "export ")
	exampleFolder(t).try(t, script)
}
