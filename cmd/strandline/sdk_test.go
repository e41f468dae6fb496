package main_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSDK lives a study's life with the unmodified lamp-core: over HTTPS, through kill -9, and without the read models.
func TestSDK(t *testing.T) {
	sdk := installSDK(t)
	data, state := t.TempDir(), filepath.Join(t.TempDir(), "state.json")
	s := startNode(t, data)
	drive(t, sdk, s, "live", state)

	s.kill()
	s = startNode(t, data)
	drive(t, sdk, s, "look", state)
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0\n%s", code, s.log)
	}

	before := dumps(t, data)
	if err := os.RemoveAll(filepath.Join(data, "readmodels")); err != nil {
		t.Fatal(err)
	}
	s = startNode(t, data)
	s.stop(t)
	for name, dump := range dumps(t, data) {
		if dump != before[name] {
			t.Errorf("%s: %d bytes before the read models were deleted, %d after, and not the same", name, len(before[name]), len(dump))
		}
	}
	s = startNode(t, data)
	drive(t, sdk, s, "look", state)
}

// installSDK is the folder of the packages of testdata/lamp-core.
func installSDK(t *testing.T) string {
	t.Helper()
	return installPackages(t, "lamp-core", "lamp-core")
}

// installPackages installs the packages of a folder of testdata in a cache folder, once for each lock file, and returns
// that. The test is skipped where they cannot be had. The last package is what the others are for.
func installPackages(t *testing.T, folder, last string) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: %s runs on it", tool, last)
		}
	}
	source := filepath.Join("testdata", folder)
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "strandline", folder+"-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "node_modules", filepath.FromSlash(last), "package.json")); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		copyFile(t, filepath.Join(source, name), filepath.Join(dir, name))
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	install.WaitDelay = time.Second
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm package %s is missing and npm cannot fetch it: %v\n%s", last, err, out)
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// drive runs a phase of life.mjs.
func drive(t *testing.T, sdk string, s *server, phase, state string) {
	t.Helper()
	// The script is put beside node_modules, where its imports are looked for.
	script := filepath.Join(sdk, "life.mjs")
	copyFile(t, filepath.Join("testdata", "lamp-core", "life.mjs"), script)
	node := exec.Command("node", script, phase, state)
	node.Env = append(os.Environ(), "SERVER="+strings.TrimPrefix(s.tls, "https://"), "ACCESS_KEY="+rootKey, "SECRET_KEY="+rootSecret,
		"NODE_EXTRA_CA_CERTS="+filepath.Join(s.data, "tls", "ca.pem"))
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", phase, err, out, s.log)
	}
	t.Logf("%s", out)
}

// dumps returns what every projection of a stopped node holds.
func dumps(t *testing.T, data string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{"directory", "documents", "series", "audit"} {
		out, messages, code := command(t, "projection", "dump", name, "--data", data)
		if code != 0 || out == "" {
			t.Fatalf("dump %s: exit code %d\n%s", name, code, messages)
		}
		all[name] = out
	}
	return all
}
