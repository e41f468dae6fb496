package files_test

import (
	"bytes"
	"errors"
	"testing"

	"strandline/transport/files"
)

// TestZero: zeros written past the page cache are what is read, and so is what is written over them.
func TestZero(t *testing.T) {
	disk, err := files.NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := disk.Open("file", true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 64 << 10
	if _, err := f.WriteAt(bytes.Repeat([]byte{1}, size), 0); err != nil {
		t.Fatal(err)
	}
	err = f.(interface{ Zero(from, to int64) error }).Zero(4096, size)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this file system cannot")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("abc"), 10_000); err != nil {
		t.Fatal(err)
	}
	want := append(bytes.Repeat([]byte{1}, 4096), make([]byte, size-4096)...)
	copy(want[10_000:], "abc")
	got := make([]byte, size)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file is not what was written: %v", err)
	}
}
