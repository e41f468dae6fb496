package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAcquaintancesAreKept: a stopped server leaves from where logins have been used, for its owner only and without
// addresses; a broken file does not keep the next start from working.
func TestAcquaintancesAreKept(t *testing.T) {
	data := t.TempDir()
	s := startNode(t, data)
	if status, _ := s.as(t, root, "GET", "/researcher", ""); status != 200 {
		t.Fatalf("status %d", status)
	}
	s.stop(t)
	file := filepath.Join(data, "sign-ins")
	kept, err := os.ReadFile(file)
	if err != nil || strings.Count(string(kept), "\n") != 1 || strings.Contains(string(kept), "127.0.0") {
		t.Errorf("kept %q, %v; want one line, without an address", kept, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info, err)
	}
	if err := os.WriteFile(file, []byte("no acquaintances"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = startNode(t, data)
	if status, _ := s.as(t, root, "GET", "/researcher", ""); status != 200 {
		t.Errorf("status %d after a start with a broken file", status)
	}
	if !strings.Contains(s.log.String(), "learnt anew") {
		t.Error("the log does not say that the file is broken")
	}
}
