package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"strandline/transport/files"
)

// TestTurn has one process at a time fill a read model, and says what is the matter where nobody can.
func TestTurn(t *testing.T) {
	dir := t.TempDir()
	keys, err := files.NewDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	one, other := &turn{keys: keys, name: "fills-series"}, &turn{keys: keys, name: "fills-series"}
	for i, step := range []struct {
		of   *turn
		want bool
	}{{one, true}, {one, true}, {other, false}} {
		if mine, err := step.of.Take(); mine != step.want || err != nil {
			t.Errorf("step %d: %v, %v; want %v", i, mine, err, step.want)
		}
	}
	if err := one.GiveBack(); err != nil {
		t.Fatal(err)
	}
	if mine, err := other.Take(); !mine || err != nil {
		t.Errorf("after it was given back: %v, %v", mine, err)
	}
	if err := other.GiveBack(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "fills-documents"), 0o700); err != nil {
		t.Fatal(err)
	}
	stuck := &turn{keys: keys, name: "fills-documents"}
	if mine, err := stuck.Take(); mine || err == nil || !strings.Contains(err.Error(), "fills-documents in the folder of keys") {
		t.Errorf("a folder in the place of the file: %v, %v", mine, err)
	}
}
