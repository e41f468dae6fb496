package embedded_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAuditor verifies the folder of version 1 with a program that knows FORMAT.md and none of the store's code.
func TestAuditor(t *testing.T) {
	a, err := audit(os.DirFS(version1).(interface {
		ReadFile(name string) ([]byte, error)
	}).ReadFile, segmentsOf(t, version1))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(version1Records)
	if err != nil {
		t.Fatal(err)
	}
	if lines := uint64(bytes.Count(want, []byte("\n"))); a.next != lines+1 {
		t.Errorf("the auditor found %d records; want %d", a.next-1, lines)
	}
}

// TestAuditorSeesChanges flips bits all over a segment: each must be noticed.
func TestAuditorSeesChanges(t *testing.T) {
	names := segmentsOf(t, version1)
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(version1, name)) }
	used := len(bytes.TrimRight(must(t)(read(names[0])), "\x00"))
	for at := 0; at < used; at += 97 {
		_, err := audit(func(name string) ([]byte, error) {
			b, err := read(name)
			if name == names[0] {
				b[at] ^= 1 << (at % 8)
			}
			return b, err
		}, names)
		if err == nil {
			t.Errorf("a flipped bit in byte %d was not noticed", at)
		}
	}
}

func must(t *testing.T) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func segmentsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "segments"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, "segments/"+e.Name())
	}
	slices.Sort(names)
	return names
}

// auditor is where a verification has come to.
type auditor struct {
	id        []byte
	next      uint64
	chain     []byte
	time      int64
	revisions map[string]uint64
}

func audit(read func(string) ([]byte, error), segments []string) (*auditor, error) {
	text, err := read("store.json")
	if err != nil {
		return nil, err
	}
	var store struct {
		Format int
		ID     string
	}
	if err := json.Unmarshal(text, &store); err != nil || store.Format != 1 {
		return nil, fmt.Errorf("store.json: %v, format %d", err, store.Format)
	}
	id, err := hex.DecodeString(strings.ReplaceAll(store.ID, "-", ""))
	if err != nil {
		return nil, err
	}
	a := &auditor{id: id, next: 1, chain: make([]byte, 32), revisions: map[string]uint64{}}
	for _, name := range segments {
		b, err := read(name)
		if err != nil {
			return nil, err
		}
		if err := a.segment(b); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return a, nil
}

var table = crc32.MakeTable(crc32.Castagnoli)

func (a *auditor) header(b []byte, magic uint32) error {
	sum := crc32.Update(crc32.Checksum(a.id, table), table, b[4:64])
	if sum != binary.LittleEndian.Uint32(b) || binary.LittleEndian.Uint32(b[4:]) != magic {
		return fmt.Errorf("bad header before position %d", a.next)
	}
	return nil
}

func (a *auditor) segment(b []byte) error {
	if err := a.header(b, 0x81534c53); err != nil {
		return err
	}
	if binary.LittleEndian.Uint64(b[16:]) != a.next || !bytes.Equal(b[32:64], a.chain) {
		return fmt.Errorf("it does not go on at position %d", a.next)
	}
	for b = b[64:]; len(b) >= 64 && !bytes.Equal(b[:64], make([]byte, 64)); {
		if err := a.header(b, 0x81474c53); err != nil {
			return err
		}
		length, count := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
		if first, watermark := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]); first != a.next || watermark != a.next-1 {
			return fmt.Errorf("group of %d after %d", first, watermark)
		}
		if err := a.records(b[64:64+length], count); err != nil {
			return err
		}
		if !bytes.Equal(a.chain, b[32:64]) {
			return fmt.Errorf("the chain is broken before position %d", a.next)
		}
		b = b[64+length:]
	}
	if len(bytes.Trim(b, "\x00")) > 0 {
		return fmt.Errorf("there is something after the last group")
	}
	return nil
}

func (a *auditor) records(b []byte, count uint32) error {
	chain, ended := sha256.New(), true
	chain.Write(a.chain)
	for range count {
		if len(b) < 24 {
			return fmt.Errorf("no room for position %d", a.next)
		}
		length, e := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[20:])
		if length < 24 || e > length-24 || int64(length) > int64(len(b)) {
			return fmt.Errorf("bad lengths at position %d", a.next)
		}
		envelope, data := b[24:24+e], b[24+e:length]
		sum := crc32.Update(crc32.Checksum(data, table), table, b[4:24+e])
		if sum != binary.LittleEndian.Uint32(b) || binary.LittleEndian.Uint64(b[8:]) != a.next {
			return fmt.Errorf("bad record at position %d", a.next)
		}
		if err := a.envelope(envelope); err != nil {
			return fmt.Errorf("position %d: %w", a.next, err)
		}
		hash := sha256.Sum256(data)
		leaf := sha256.Sum256(append(bytes.Clone(envelope), hash[:]...))
		chain.Write(leaf[:])
		ended = b[16]&1 != 0
		b = b[length:]
		a.next++
	}
	if len(b) > 0 || !ended {
		return fmt.Errorf("the group does not end with its last append")
	}
	if count > 0 {
		a.chain = chain.Sum(nil)
	}
	return nil
}

func (a *auditor) envelope(b []byte) error {
	var stream string
	var revision uint64
	for last := uint64(0); len(b) > 0; {
		tag, n := binary.Uvarint(b)
		size, m := binary.Uvarint(b[n:])
		value := b[n+m:][:size]
		if tag <= last {
			return fmt.Errorf("field %d after %d", tag, last)
		}
		switch tag {
		case 1:
			revision = binary.LittleEndian.Uint64(value)
		case 2:
			before := a.time
			if a.time = int64(binary.LittleEndian.Uint64(value)); a.time < before {
				return fmt.Errorf("time goes back")
			}
		case 3:
			stream = string(value)
		}
		last, b = tag, b[n+m+int(size):]
	}
	if revision != a.revisions[stream] {
		return fmt.Errorf("revision %d of %s comes after %d others", revision, stream, a.revisions[stream])
	}
	a.revisions[stream]++
	return nil
}
