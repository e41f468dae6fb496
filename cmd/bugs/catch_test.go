//go:build bugs

package bugs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestBugs seeds each bug by itself and lets the test run that should catch it. A bug is caught if that test passes
// without it, fails with it, and says what it is about.
func TestBugs(t *testing.T) {
	caught, began := 0, time.Now()
	for _, b := range bugs {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			start := time.Now()
			by, err := b.catch(t.TempDir())
			if err != nil {
				t.Fatalf("NOT caught: %s: %v", b.name, err)
			}
			caught++
			t.Logf("caught: %-66s by %s of %s after %.0f s", b.name, by, b.pkg, time.Since(start).Seconds())
		})
	}
	t.Logf("%d of %d bugs caught in %.0f s", caught, len(bugs), time.Since(began).Seconds())
}

// catch returns the test that has caught the bug.
func (b bug) catch(dir string) (by string, err error) {
	out, err := b.test()
	if err != nil || bytes.Contains(out, []byte("[no tests to run]")) {
		return "", fmt.Errorf("its test is not there, or fails without it: %v:\n%s", err, tail(out))
	}
	overlay, err := b.seed(dir)
	if err != nil {
		return "", err
	}
	out, err = b.test("-overlay", overlay)
	var exit *exec.ExitError
	switch failed := failure.FindSubmatch(out); {
	case err == nil:
		return "", errors.New("all tests pass")
	case !errors.As(err, &exit):
		return "", err
	case failed == nil:
		return "", fmt.Errorf("no test has failed, but:\n%s", tail(out))
	case !strings.Contains(string(out), b.says):
		return "", fmt.Errorf("%s has failed for another reason than %q:\n%s", failed[1], b.says, tail(out))
	default:
		return string(failed[1]), nil
	}
}

// failure is the line of the innermost test that has failed first.
var failure = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// test runs the bug's test.
func (b bug) test(flags ...string) ([]byte, error) {
	args := append([]string{"test", "-run", b.run, "-failfast", "-timeout", "5m"}, flags...)
	run := exec.Command("go", append(args, b.pkg)...)
	run.Dir = root
	return run.CombinedOutput()
}

// seed writes the changed file and the overlay that puts it in the place of the right one.
func (b bug) seed(dir string) (overlay string, err error) {
	content, err := b.changed()
	if err != nil {
		return "", err
	}
	right, err := filepath.Abs(filepath.Join(root, b.file))
	if err != nil {
		return "", err
	}
	wrong := filepath.Join(dir, filepath.Base(b.file))
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {right: wrong}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(os.WriteFile(wrong, content, 0o600), os.WriteFile(overlay, replace, 0o600))
}

// tail is the end of what a test has printed.
func tail(out []byte) []byte {
	lines := bytes.Split(out, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-40):], []byte("\n"))
}
