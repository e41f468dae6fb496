package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"strandline/domain"
	"strandline/transport/files"
)

// linker is a System that can give its files second names in another one, on the same disk.
type linker interface {
	LinkTo(dest files.System, from, to string) error
}

// Copy says what a backup of a log holds.
type Copy struct {
	Log      domain.ID       `json:"log"`      // whose it is
	Position domain.Position `json:"position"` // of the last record
	Events   uint64          `json:"events"`
	Chain    string          `json:"chain"` // after the last record, in hexadecimal
	Segments []CopiedFile    `json:"segments"`
	Written  int64           `json:"-"` // bytes that had to be copied; the others were there, or are links
}

// CopiedFile is a file of a backup: its name, how much of it belongs to the backup, and the SHA-256 of that in hexadecimal.
type CopiedFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Backup makes dest a copy of the log up to what is durable now, while appending goes on. Files of an earlier backup of
// this log, which was before, are kept, so that only what is new is copied; on the same disk full segments are linked.
// What is new is read again and checked: checksums, positions and the hash chain. The copy has no index and gets another
// generation when it is opened: both as Open does it. Unless it is nil, progress is told how many bytes are done of how many.
func (s *Store) Backup(ctx context.Context, dest files.System, before Copy, progress func(done, total int64)) (Copy, error) {
	if err := s.usable(ctx); err != nil {
		return Copy{}, err
	}
	b := backup{Store: s, dest: dest, upTo: s.watermark(), known: map[string]CopiedFile{}, progress: progress}
	for _, f := range before.Segments {
		b.known[f.Name] = f
	}
	if err := s.prepareBackup(dest); err != nil {
		return Copy{}, fmt.Errorf("back up the log: %w", err)
	}
	if err := b.run(ctx); err != nil {
		return Copy{}, fmt.Errorf("back up the log: %w", err)
	}
	m := s.manifest
	m.Unsafe = false
	return b.made, finishCopy(dest, m)
}

// prepareBackup makes the folders of a copy, or refuses a place that holds something else.
func (s *Store) prepareBackup(dest files.System) error {
	m, err := readManifest(dest)
	if err == nil && (m.ID != s.manifest.ID || !m.Copy) {
		return fmt.Errorf("%w: the destination holds another log, or a copy that has been opened", domain.ErrRejected)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return makeFolders(dest)
}

// makeFolders makes the folders of a store, durably: store.json must not outlive them.
func makeFolders(sys files.System) error {
	return errors.Join(sys.MkdirAll(segmentFolder), sys.MkdirAll(indexFolder), sys.SyncDir("."))
}

// finishCopy writes the copy's store.json, last of all: without it a copy cannot be opened.
func finishCopy(dest files.System, m manifest) error {
	if err := dest.SyncDir(segmentFolder); err != nil {
		return err
	}
	m.Copy = true
	return m.write(dest)
}

// backup is one on its way.
type backup struct {
	*Store
	dest        files.System
	upTo        uint64
	known       map[string]CopiedFile // what an earlier backup has checked
	made        Copy
	done, total int64
	progress    func(done, total int64)
}

// piece is a segment as far as it belongs to a backup.
type piece struct {
	*segment
	size int64
	last bool // it is never linked, since it will grow
}

func (b *backup) run(ctx context.Context) error {
	pieces, err := b.pieces()
	if err != nil {
		return err
	}
	b.made = Copy{Log: b.manifest.ID, Position: positionOf(b.upTo), Events: b.upTo, Chain: hex.EncodeToString(make([]byte, sha256.Size))}
	for _, p := range pieces {
		if err := b.bring(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name(), err)
		}
	}
	return nil
}

// pieces lists what belongs to the backup.
func (b *backup) pieces() (pieces []piece, err error) {
	list := b.segments.all()
	for n, g := range list {
		if g.first > b.upTo {
			break
		}
		p := piece{segment: g, last: n == len(list)-1 || list[n+1].first > b.upTo}
		if p.size, err = b.sizeOf(g); err != nil {
			return nil, err
		}
		b.total += p.size
		pieces = append(pieces, p)
	}
	return pieces, nil
}

// sizeOf is where a segment's last record of the backup ends.
func (b *backup) sizeOf(g *segment) (int64, error) {
	last := b.upTo
	if full := g.last.Load(); full > 0 {
		last = min(last, full)
	}
	offsets, err := b.offsetsOf(g)
	if err != nil {
		return 0, err
	}
	from, _, _, err := offsets.span(last, last, 0)
	if err != nil {
		return 0, err
	}
	f, err := b.segments.acquire(g)
	if err != nil {
		return 0, err
	}
	defer b.segments.release(g)
	var header [recordHeader]byte // the span goes on over the header of a group that may have come since
	if _, err := f.ReadAt(header[:], from); err != nil {
		return 0, err
	}
	return from + int64(binary.LittleEndian.Uint32(header[4:])), nil
}

// bring brings one segment to dest, unless it is there.
func (b *backup) bring(ctx context.Context, p piece) error {
	there, err := hasAtLeast(b.dest, p.name(), p.size)
	if err != nil {
		return err
	}
	known := b.known[p.name()]
	if there && known.Size == p.size && !p.last {
		b.advance(p.size)
		b.made.Segments = append(b.made.Segments, known)
		return nil
	}
	sum, done, err := b.extend(ctx, p, known.Size)
	if err == nil && !done {
		sum, err = b.copy(ctx, p, there && !p.last)
	}
	if err != nil {
		return err
	}
	b.made.Segments = append(b.made.Segments, CopiedFile{p.name(), p.size, sum})
	return b.check(p)
}

// extend adds to a segment in dest what has been written since an earlier backup, which had its first size bytes, and
// returns the checksum of the whole; false if what is there is not the beginning of the segment. The bytes of the earlier
// backup are not touched. What has grown since was no link: those are full.
func (b *backup) extend(ctx context.Context, p piece, size int64) (sum string, done bool, err error) {
	if there, err := hasAtLeast(b.dest, p.name(), size); size == 0 || size > p.size || !there || err != nil {
		return "", false, err
	}
	f, err := b.segments.acquire(p.segment)
	if err != nil {
		return "", false, err
	}
	defer b.segments.release(p.segment)
	to, err := b.dest.Open(p.name(), false)
	if err != nil {
		return "", false, err
	}
	defer to.Close()
	err = pieceByPiece(ctx, f, size, p.size, func(at int64, bytes []byte) error {
		_, err := to.WriteAt(bytes, at)
		return err
	})
	if err == nil && p.size > size {
		err = to.Sync()
	}
	if err != nil {
		return "", false, err
	}
	if sum, err = sumOf(ctx, f, p.size); err != nil {
		return "", false, err
	}
	if same, err := b.holds(ctx, p, sum); !same || err != nil {
		return "", false, err
	}
	b.made.Written += p.size - size
	b.advance(p.size)
	return sum, true, nil
}

// copy copies or links a segment, unless what is there already turns out to be the same, and returns its checksum.
func (b *backup) copy(ctx context.Context, p piece, there bool) (sum string, err error) {
	f, err := b.segments.acquire(p.segment)
	if err != nil {
		return "", err
	}
	defer b.segments.release(p.segment)
	if there || b.link(p) {
		if sum, err = sumOf(ctx, f, p.size); err != nil {
			return "", err
		}
		if same, err := b.holds(ctx, p, sum); same || err != nil {
			b.advance(p.size)
			return sum, err
		}
	}
	b.made.Written += p.size
	return copyTo(ctx, f, p.size, b.dest, p.name(), b.advance)
}

// link gives a full segment a second name in dest, if that is on the same disk.
func (b *backup) link(p piece) bool {
	l, ok := b.sys.(linker)
	return ok && !p.last && l.LinkTo(b.dest, p.name(), p.name()) == nil
}

// holds tells whether the segment in dest has a checksum.
func (b *backup) holds(ctx context.Context, p piece, sum string) (bool, error) {
	f, err := b.dest.Open(p.name(), false)
	if err != nil {
		return false, err
	}
	defer f.Close()
	there, err := sumOf(ctx, f, p.size)
	return there == sum, err
}

// check goes through the copy of a segment, group by group.
func (b *backup) check(p piece) error {
	f, err := b.dest.Open(p.name(), false)
	if err != nil {
		return err
	}
	defer f.Close()
	w := &walker{window: window{file: f, limit: p.size}, id: b.manifest.ID, next: p.first}
	if _, _, bad := w.all(p.segment, func(visited) {}); !errors.Is(bad, errEnd) {
		return damaged(p.segment, w.next, b.upTo, w.offset, fmt.Errorf("the copy is not good: %w", bad))
	}
	b.made.Chain = hex.EncodeToString(w.chain[:])
	return nil
}

func (b *backup) advance(bytes int64) {
	b.done += bytes
	if b.progress != nil {
		b.progress(b.done, b.total)
	}
}

// hasAtLeast tells whether a file of at least size bytes is there.
func hasAtLeast(sys files.System, name string, size int64) (bool, error) {
	f, err := sys.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	has, err := f.Size()
	return err == nil && has >= size, err
}

// sumOf is the checksum of the first size bytes of a file.
func sumOf(ctx context.Context, f files.File, size int64) (string, error) {
	h := sha256.New()
	err := pieceByPiece(ctx, f, 0, size, func(_ int64, b []byte) error { h.Write(b); return nil })
	return hex.EncodeToString(h.Sum(nil)), err
}

// pieceByPiece reads the bytes of a file from one offset to another.
func pieceByPiece(ctx context.Context, f files.File, from, size int64, visit func(at int64, b []byte) error) error {
	buf := make([]byte, min(windowSize, size-from))
	for at := from; at < size; at += windowSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(windowSize, size-at)]
		if _, err := f.ReadAt(b, at); err != nil {
			return err
		}
		if err := visit(at, b); err != nil {
			return err
		}
	}
	return nil
}

// syncEvery is how much is copied before it is synced, so that the log's own syncs never wait for much.
const syncEvery = 4 * windowSize

// copyTo makes a durable copy of the first size bytes of a file, and returns their checksum.
func copyTo(ctx context.Context, from files.File, size int64, dest files.System, name string, done func(bytes int64)) (string, error) {
	to, err := remake(dest, name+newSuffix)
	if err != nil {
		return "", err
	}
	defer to.Close()
	h := sha256.New()
	err = pieceByPiece(ctx, from, 0, size, func(at int64, b []byte) error {
		h.Write(b)
		if _, err := to.WriteAt(b, at); err != nil {
			return err
		}
		done(int64(len(b)))
		if next := at + int64(len(b)); next%syncEvery == 0 && next < size {
			return to.Sync()
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if err := to.Sync(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), dest.Rename(name+newSuffix, name)
}

// Restore makes an empty folder a log from a backup, if every byte of that is as it was copied. When it is opened it gets
// another generation, so that all who have followed the old one notice that time went back. Unless it is nil, progress is
// told how many bytes are done of how many.
func Restore(ctx context.Context, from files.System, c Copy, dest files.System, progress func(done, total int64)) error {
	if err := restore(ctx, from, c, dest, progress); err != nil {
		return fmt.Errorf("restore the log: %w", err)
	}
	return nil
}

func restore(ctx context.Context, from files.System, c Copy, dest files.System, progress func(done, total int64)) error {
	m, err := readManifest(from)
	if err != nil {
		return err
	}
	if m.ID != c.Log {
		return fmt.Errorf("%w: %s is that of another log", domain.ErrDamaged, manifestName)
	}
	names, err := dest.List(".")
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: a log is restored into an empty folder only", domain.ErrRejected)
	}
	if err := makeFolders(dest); err != nil {
		return err
	}
	var done, total int64
	for _, f := range c.Segments {
		total += f.Size
	}
	advance := func(bytes int64) {
		if done += bytes; progress != nil {
			progress(done, total)
		}
	}
	for _, f := range c.Segments {
		if err := restoreFile(ctx, from, f, dest, advance); err != nil {
			return err
		}
	}
	return finishCopy(dest, m)
}

func restoreFile(ctx context.Context, from files.System, c CopiedFile, dest files.System, done func(bytes int64)) error {
	if path.Dir(c.Name) != segmentFolder || !strings.HasSuffix(c.Name, segmentSuffix) {
		return fmt.Errorf("%w: %q is no segment", domain.ErrDamaged, c.Name)
	}
	if there, err := hasAtLeast(from, c.Name, c.Size); err != nil || !there {
		return errors.Join(err, fmt.Errorf("%w: %s is missing in the backup, or too short", domain.ErrDamaged, c.Name))
	}
	f, err := from.Open(c.Name, false)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := copyTo(ctx, f, c.Size, dest, c.Name, done)
	if err == nil && sum != c.SHA256 {
		err = fmt.Errorf("%w: %s is not as it was copied to the backup", domain.ErrDamaged, c.Name)
	}
	return err
}
