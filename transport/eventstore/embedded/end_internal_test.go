package embedded

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/transport/files/faultfs"
)

// TestAppendWithoutItsEnd: an append whose last record does not say that it ends there is none, however sound its bytes are.
func TestAppendWithoutItsEnd(t *testing.T) {
	sys := faultfs.New(1)
	store, err := Open(sys, Options{SegmentSize: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), "thing-1", domain.NoStream, []domain.Record{
		{Envelope: domain.Envelope{ID: domain.ID{15: 1}}}, {Envelope: domain.Envelope{ID: domain.ID{15: 2}}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	takeEnd(t, sys)
	if _, err := store.Verify(t.Context()); !errors.Is(err, domain.ErrDamaged) || !strings.Contains(err.Error(), "has no end") {
		t.Errorf("verify an append without its end: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(sys, Options{SegmentSize: 32 << 10})
	if err == nil {
		again.Close()
	}
	if !errors.Is(err, domain.ErrDamaged) || !strings.Contains(err.Error(), "has no end") {
		t.Errorf("open a log that holds an append without its end, and a watermark after it: %v", err)
	}
}

// takeEnd clears the mark of the last record of the first group, and mends its checksum.
func takeEnd(t *testing.T, sys *faultfs.FS) {
	t.Helper()
	const name = segmentFolder + "/00000000000000000001.segment"
	content, err := sys.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := segmentHeader + groupHeader
	first, err := cutRecord(content[at:], 1)
	if err != nil {
		t.Fatal(err)
	}
	at += len(first)
	last, err := cutRecord(content[at:], 2)
	if err != nil || first.ends() || !last.ends() {
		t.Fatalf("the append ends with its first record (%v), with its last (%v): %v", first.ends(), last.ends(), err)
	}
	binary.LittleEndian.PutUint32(last[16:], 0)
	binary.LittleEndian.PutUint32(last, recordChecksum(crc32.Checksum(last.data(), castagnoli), last[:last.dataAt()]))
	f, err := sys.Open(name, false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(last, int64(at))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
