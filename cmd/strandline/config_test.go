package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// strandline runs a command in this process.
func strandline(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var all []string
	for name, value := range maps.All(env) {
		all = append(all, name+"="+value)
	}
	var out, messages bytes.Buffer
	code = run(t.Context(), args, environ{environment(env), all}, &out, &messages)
	return out.String(), messages.String(), code
}

func put(t *testing.T, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestSources: the flag wins over the environment, the environment over the file, and the file over the default.
func TestSources(t *testing.T) {
	file := put(t, "s.yaml", "# settings\nlisten: 127.0.0.1:1\nlisten-tls: 127.0.0.1:2\ndata: /file\ndemo: true\nroot-key: k\nroot-secret: hidden\n")
	env := map[string]string{"STRANDLINE_CONFIG": file, "STRANDLINE_LISTEN": "127.0.0.1:3", "STRANDLINE_DATA": "/env"}
	out, messages, code := strandline(t, env, "config", "print", "--json", "--data", "/flag")
	var got struct{ Settings []setting }
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v, %s", code, err, messages)
	}
	found := map[string]setting{}
	for _, s := range got.Settings {
		found[s.Name] = s
	}
	for _, want := range []setting{
		{"data", "/flag", "flag", ""},
		{"listen", "127.0.0.1:3", "environment", "STRANDLINE_LISTEN"},
		{"listen-tls", "127.0.0.1:2", "file", file + ":3"},
		{"demo", "true", "file", file + ":5"},
		{"durability", "disk", "default", ""},
		{"root-secret", "********", "file", file + ":7"},
		{"config", file, "environment", "STRANDLINE_CONFIG"},
	} {
		if found[want.Name] != want {
			t.Errorf("%s is %+v, want %+v", want.Name, found[want.Name], want)
		}
	}
	table, _, _ := strandline(t, env, "config", "print")
	if !strings.Contains(table, "file "+file+":3") || strings.Contains(table+out, "hidden") {
		t.Errorf("the table lacks a source or shows a secret:\n%s", table)
	}
}

// TestWrongSettings are refused with what is wrong, where, and what was meant.
func TestWrongSettings(t *testing.T) {
	for says, content := range map[string]string{
		":2: listen-tsl: there is no such setting: did you mean listen-tls?": "demo: true\nlisten-tsl: 127.0.0.1:1",
		`:1: demo: expected true or false, and there is "yes please"`:        "demo: yes please",
		":1: demo: expected true or false, and there is a list":              "demo: [true]",
		":2: data: expected a text, and there is a mapping":                  "\ndata: {a: b}",
		":1: data: expected a text, and there is nothing":                    "data:",
		":3: data is set in line 1 already":                                  "data: a\ndemo: true\ndata: b",
		":1: a: there is no such setting":                                    "a: &x [1]\nb: *x",
		":2: listen: expected a text, and there is a reference":              "data: &x y\nlisten: *x",
		":2: a second document begins":                                       "data: a\n---\ndata: b",
		":1: expected lines such as":                                         "- a\n- b",
		": this is not YAML":                                                 "data: \"a\n",
		":1: config: there is no such setting":                               "config: other.yaml",
		":1: json: there is no such setting":                                 "json: true",
		":1: <<: there is no such setting":                                   "<<: {data: a}",
		"which no settings need":                                             "data: " + strings.Repeat("a", largestFile),
		":1: data: expected a text, and there is a list":                     "data: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
	} {
		file := put(t, "s.yaml", content)
		_, messages, code := strandline(t, nil, "config", "print", "--config", file)
		if code != exitUsage || !strings.Contains(messages, says) || !strings.Contains(messages, file) {
			t.Errorf("%.40q: exit code %d, %s; want %q", content, code, messages, says)
		}
		if strings.Count(messages, "\n") != 1 {
			t.Errorf("%.40q: more than a sentence: %s", content, messages)
		}
	}
	if _, messages, code := strandline(t, nil, "config", "print", "--config", "/nowhere.yaml"); code != exitUsage || !strings.Contains(messages, "/nowhere.yaml") {
		t.Errorf("a missing file: exit code %d, %s", code, messages)
	}
}

// TestWrongVariables are refused by what serves; those of other commands and of others are left alone.
func TestWrongVariables(t *testing.T) {
	for name, says := range map[string]string{
		"STRANDLINE_LISTEN_TSL":         "did you mean STRANDLINE_LISTEN_TLS?",
		"STRANDLINE_ROOT_SECRT":         "did you mean STRANDLINE_ROOT_SECRET?",
		"STRANDLINE_ENTIRELY_DIFFERENT": "means nothing to Strandline; correct or unset it",
		"STRANDLINE_LISTEN_TLS":         "",
		"STRANDLINE_SECRET_KEY_FILE":    "",
		"STRANDLINE_CREDENTIAL_FILE":    "", // of log tail
		"STRANDLINE_SERVICE_HOST":       "",
		"STRANDLINE_PORT_8080_TCP_ADDR": "",
		"STRANDLINE_DRILL":              "",
		"OTHER_STRANDLINE_THING":        "",
	} {
		_, messages, code := strandline(t, map[string]string{name: "x"}, "config", "print")
		if (code == exitUsage) != (says != "") || !strings.Contains(messages, says) {
			t.Errorf("%s: exit code %d, %s; want %q", name, code, messages, says)
		}
	}
	if _, _, code := strandline(t, map[string]string{"STRANDLINE_LISTEN_TSL": "x"}, "version"); code != 0 {
		t.Errorf("version minds a variable of serve: exit code %d", code)
	}
	if _, messages, code := strandline(t, map[string]string{"STRANDLINE_DEMO": "maybe"}, "config", "print"); code != exitUsage || !strings.Contains(messages, "STRANDLINE_DEMO") {
		t.Errorf("a variable of a wrong type: exit code %d, %s", code, messages)
	}
	if _, messages, code := strandline(t, nil, "serve", "--listen-tsl", "x"); code != exitUsage || !strings.Contains(messages, "did you mean --listen-tls?") {
		t.Errorf("a misspelt flag: exit code %d, %s", code, messages)
	}
}

// TestSecrets come from the environment or a file, not from a command line; the nearer source wins.
func TestSecrets(t *testing.T) {
	if _, messages, code := strandline(t, nil, "config", "print", "--root-secret", "s"); code != exitUsage || !strings.Contains(messages, "--root-secret-file") {
		t.Errorf("a secret on the command line: exit code %d, %s", code, messages)
	}
	file := put(t, "s.yaml", "root-secret: in the file of settings\n")
	inFile := put(t, "secret", "in its own\n")
	for want, env := range map[string]map[string]string{
		"in the file of settings": {},
		"in its own":              {"STRANDLINE_ROOT_SECRET_FILE": inFile},
		"in the environment":      {"STRANDLINE_ROOT_SECRET_FILE": inFile, "STRANDLINE_ROOT_SECRET": "in the environment"},
	} {
		var o serve
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		o.flags(flags)
		env["STRANDLINE_CONFIG"] = file
		if err := fromEnvironment(flags, environment(env)); err != nil {
			t.Fatal(err)
		}
		if err := fromFile(flags); err != nil {
			t.Fatal(err)
		}
		if got, err := environmentSecret(settled(flags), "STRANDLINE_ROOT_SECRET"); got != want || err != nil {
			t.Errorf("%v: %q, %v; want %q", env, got, err, want)
		}
	}
}

// TestEveryKindOfFlag can be given in a file, without anything being done for it.
func TestEveryKindOfFlag(t *testing.T) {
	kinds := func() *pflag.FlagSet {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.Int("int", 0, "")
		flags.Uint64("uint", 0, "")
		flags.Float64("float", 0, "")
		flags.Duration("duration", 0, "")
		flags.StringSlice("list", []string{"default"}, "")
		return flags
	}
	flags := kinds()
	if err := fillSettings(flags, "f", []byte("int: -3\nuint: 7\nfloat: 2\nduration: 1m30s\nlist:\n - a,b\n - c\n")); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(flags.Lookup("int").Value, flags.Lookup("uint").Value, flags.Lookup("float").Value, flags.Lookup("duration").Value, flags.Lookup("list").Value)
	if want := `-3 7 2 1m30s ["a,b",c]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for content, says := range map[string]string{
		"int: 1.5":             "expected a whole number",
		"uint: -1":             "expected a whole number",
		"int: many":            "expected a whole number",
		"float: x":             "expected a number",
		"duration: 30":         "expected a duration such as 1m30s",
		"list: {a: b}":         "expected a list",
		"list: [a, {b: c}]":    "expected a list",
		"duration: [1s]":       "a list",
		"duration: 1 fortnite": "expected a duration",
	} {
		if err := fillSettings(kinds(), "f", []byte(content)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", content, err, says)
		}
	}
}

// FuzzSettings: whatever a file holds, it is settings or an error that names the file.
func FuzzSettings(f *testing.F) {
	f.Add([]byte("data: x\nlisten-tls: \"1\"\n"))
	f.Add([]byte("a: &a [*a]\n<<: *a\n? {b: c}\n: d\n--- !!x y"))
	f.Fuzz(func(t *testing.T, content []byte) {
		var o serve
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		o.flags(flags)
		if err := fillSettings(flags, "file.yaml", content); err != nil && !strings.Contains(err.Error(), "file.yaml") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}

// TestConfigPrintRefusesWhatServeWould, after showing where the value comes from.
func TestConfigPrintRefusesWhatServeWould(t *testing.T) {
	for line, says := range map[string]string{
		"log-level: loud":        "--log-level is debug, info, warn or error",
		"log-format: xml":        "--log-format is json or text",
		"durability: some":       "--durability is disk or none",
		"roles: cook":            "cook",
		"listen: 0.0.0.0:8080":   "would send passwords in the clear",
		"listen: nonsense":       "write it as 127.0.0.1:8080",
		"listen: 127.0.0.1:8081": "",
	} {
		file := put(t, "strandline.yaml", line+"\n")
		want := 0
		if says != "" {
			want = exitUsage
		}
		for _, form := range []string{"--json=false", "--json"} {
			out, messages, code := strandline(t, nil, "config", "print", "--config", file, form)
			if code != want || !strings.Contains(messages, says) || !strings.Contains(out, file+":1") {
				t.Errorf("%s, %s: exit code %d, %q, %s", line, form, code, messages, out)
			}
		}
	}
}
