package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeysAndGrants: a key that was created signs in and sees what was granted to it, until that is withdrawn; revoked, it
// signs in no more.
func TestKeysAndGrants(t *testing.T) {
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 2)
	ask := func(args ...string) string {
		t.Helper()
		out, messages, code := command(t, append(args, "--url", s.url)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d, %s", args, code, messages)
		}
		return out
	}
	var key struct{ ID, Key, Name string }
	text := ask("key", "create", "--name", "export \x1b[31m", "--origin", made.participants[0], "--to", "1d", "--json")
	if err := json.Unmarshal([]byte(text), &key); err != nil || key.ID == "" || key.Key == "" {
		t.Fatalf("%s: %v", text, err)
	}
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	of := func(participant string) int {
		_, _, code := command(t, "series", participant, "--url", s.url, "--credential-file", file)
		return code
	}
	if own, other := of(made.participants[0]), of(made.participants[1]); own != 0 || other != 4 {
		t.Errorf("with a key of the first participant: exit codes %d and %d, want 0 and 4", own, other)
	}
	grant := strings.TrimSpace(ask("grant", "give", "reader", made.participants[1], "--credential", key.ID, "--only", "id"))
	if code := of(made.participants[1]); code != 0 {
		t.Errorf("as a reader of the second: exit code %d", code)
	}
	if list := ask("grant", "list"); !strings.Contains(list, grant) || !strings.Contains(list, "reader") || !strings.Contains(list, made.participants[1]) {
		t.Errorf("grants:\n%s", list)
	}
	if list := ask("key", "list"); !strings.Contains(list, key.ID) || strings.ContainsAny(list, "\x1b") || strings.Contains(list, key.Key) {
		t.Errorf("keys:\n%q", list)
	}
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(ask("key", "list", "--json")), &list); err != nil || len(list) != 1 || list[0].ID != key.ID {
		t.Errorf("keys as JSON: %+v, %v", list, err)
	}
	ask("grant", "withdraw", grant)
	if code := of(made.participants[1]); code != 4 {
		t.Errorf("as a reader no more: exit code %d, want 4", code)
	}
	ask("key", "revoke", key.ID)
	if _, messages, code := command(t, "series", made.participants[0], "--url", s.url, "--credential-file", file); code != 4 || !strings.Contains(messages, "401") {
		t.Errorf("with a revoked key: exit code %d, %s", code, messages)
	}
	for _, wrong := range [][]string{
		{"grant", "give", "raeder", "null", "--credential", key.ID}, {"grant", "give", "reader", "null"}, {"grant", "give", "reader"},
		{"key", "revoke"}, {"key", "create", "--to", "soon"},
	} {
		if _, messages, code := command(t, append(wrong, "--url", s.url)...); code != 2 {
			t.Errorf("%v: exit code %d, %s; want 2", wrong, code, messages)
		}
	}
}

// TestAudit shows who asked what, and what came of it.
func TestAudit(t *testing.T) {
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 1)
	_, _, header, err := s.try(root, "GET", "/participant/"+made.participants[0], "")
	if err != nil {
		t.Fatal(err)
	}
	s.as(t, root, "GET", "/participant/U0000000000", "")
	out, messages, code := command(t, "audit", "--newest", "--limit", "2", "--route", "/participant/{id}", "--url", s.url)
	rows := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(rows) != 3 || !strings.Contains(rows[1], "refused") || !strings.Contains(rows[1], "404") || !strings.Contains(rows[2], "served") ||
		!strings.Contains(rows[2], "GET /participant/{id}") || messages != "" {
		t.Errorf("exit code %d, %s\n%s", code, messages, out)
	}
	one, messages, code := command(t, "audit", "--request", header.Get("Strandline-Request"), "--json", "--url", s.url)
	var record struct{ Object, Outcome string }
	if err := json.Unmarshal([]byte(one), &record); err != nil || code != 0 || record.Object != made.participants[0] || record.Outcome != "served" {
		t.Errorf("exit code %d, %s, %v: %s", code, messages, err, one)
	}
	if _, messages, _ := command(t, "log", "find", "--url", s.url); !strings.Contains(messages, "there are more than 20: --limit 0") {
		t.Errorf("what is left out is not told: %q", messages)
	}
	if _, messages, code := command(t, "audit", "--url", s.url, "--reason", "asked for\nby her"); code != 0 {
		t.Errorf("with a reason: exit code %d, %s", code, messages)
	}
	if why, _, _ := command(t, "audit", "--newest", "--limit", "2", "--only", "reason", "--url", s.url); why != "asked for by her\n" {
		t.Errorf("the reason on the record is %q", why)
	}
	if none, messages, code := command(t, "audit", "--outcome", "refused", "--to", "2020-01-01", "--only", "time", "--url", s.url); code != 0 || none != "" {
		t.Errorf("before there was anything: exit code %d, %s\n%s", code, messages, none)
	}
}
