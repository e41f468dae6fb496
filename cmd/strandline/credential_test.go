package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFirstCredential(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want credential
		code int
	}{
		"given":            {map[string]string{"STRANDLINE_ROOT_KEY": "k", "STRANDLINE_ROOT_SECRET": "s"}, credential{AccessKey: "k", SecretKey: "s"}, 0},
		"secret file":      {map[string]string{"STRANDLINE_ROOT_KEY": "k", "STRANDLINE_ROOT_SECRET_FILE": secret}, credential{AccessKey: "k", SecretKey: "from a file"}, 0},
		"no such file":     {map[string]string{"STRANDLINE_ROOT_KEY": "k", "STRANDLINE_ROOT_SECRET_FILE": dir + "/none"}, credential{}, exitUsage},
		"with a colon":     {map[string]string{"STRANDLINE_ROOT_KEY": "k:l", "STRANDLINE_ROOT_SECRET": "s"}, credential{}, exitUsage},
		"without key":      {map[string]string{"STRANDLINE_ROOT_SECRET": "s"}, credential{}, exitUsage},
		"without a secret": {map[string]string{"STRANDLINE_ROOT_KEY": "k"}, credential{}, exitUsage},
	} {
		got, err := firstCredential(dir, environment(tt.env))
		if got != tt.want || codeOf(err) != tt.code {
			t.Errorf("%s: %+v, %v; want %+v, exit code %d", name, got, err, tt.want, tt.code)
		}
	}
}

// TestRandomCredential is made once, kept, and for its owner's eyes only.
func TestRandomCredential(t *testing.T) {
	dir := t.TempDir()
	first, err := firstCredential(dir, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	again, err := firstCredential(dir, environment(nil))
	if err != nil || again != first || len(first.SecretKey) < 32 {
		t.Errorf("second look: %v, %v; want the same credential of at least 32 characters", again == first, err)
	}
	info, err := os.Stat(filepath.Join(dir, credentialFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// environment is a lookup of the given variables and no others.
func environment(variables map[string]string) lookup {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

// codeOf is the exit code that err leads to.
func codeOf(err error) int {
	if err == nil {
		return exitDone
	}
	return exitCode(err)
}
