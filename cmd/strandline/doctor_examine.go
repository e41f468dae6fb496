package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"strandline/domain"
	"strandline/readmodels"
	"strandline/readmodels/directory"
	"strandline/readmodels/documents/couch"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/keys"
)

// examinee is a data folder as it is examined.
type examinee struct {
	report
	dir   string
	keys  string // the folder of the keys
	inUse bool
	log   embedded.Examination
}

// examine looks at everything.
func (o *doctor) examine(ctx context.Context, env lookup, io streams) (report, error) {
	x := &examinee{dir: o.data, keys: o.settings.Lookup("keys").Value.String()}
	if x.keys == "" {
		x.keys = filepath.Join(o.data, "keys")
	}
	logDisk, err := files.ReadDisk(filepath.Join(o.data, "log"))
	if err != nil {
		return x.report, exitWith(exitData, fmt.Errorf("%s is no data folder of Strandline: %w", o.data, err))
	}
	release, err := x.hold(logDisk)
	if err != nil {
		return x.report, exitWith(exitData, err)
	}
	defer release()
	if x.inUse && o.repair {
		return x.report, exitWith(exitData, fmt.Errorf("%s is in use by a server: stop it before --repair", o.data))
	}
	x.settings(o.settings)
	x.permissions(o)
	x.fileSystem()
	watch := newProgress(io.err, "read the log")
	defer watch.stop()
	if err := x.readLog(ctx, logDisk, watch); err != nil {
		return x.report, err
	}
	watch.done()
	x.readKeys()
	if err := x.readModels(); err != nil {
		return x.report, err
	}
	if err := x.samples(ctx, o); err != nil {
		return x.report, err
	}
	x.couch(ctx, &o.engines, settled(o.settings))
	x.clock(time.Now())
	x.room(time.Now())
	if asked := originOf(o.settings.Lookup("url")); o.url != "" && (asked == byFlag || x.inUse) {
		x.server(ctx, &o.connection, env)
	}
	return x.report, nil
}

// hold keeps servers from starting on the folder meanwhile, or notes that one has it open.
func (x *examinee) hold(log *files.Disk) (release func(), err error) {
	lock, err := log.Open("lock", false)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	err = lock.Lock()
	if x.inUse = errors.Is(err, unix.EWOULDBLOCK); x.inUse {
		err = nil
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return func() { lock.Close() }, nil
}

// fewLetters is how short a secret is that can be guessed.
const fewLetters = 12

// settings looks at what serve would be set to.
func (x *examinee) settings(flags *pflag.FlagSet) {
	value := func(name string) string { return flags.Lookup(name).Value.String() }
	where := func(name string) string { return fmt.Sprintf("--%s, from %s", name, originOf(flags.Lookup(name))) }
	if value("durability") != durabilityDisk {
		x.add(finding{Severity: severityWarning, What: "what is answered is not on disk: a crash loses it", Where: where("durability"),
			Remedy: "leave the setting out"})
	}
	if host, _, err := net.SplitHostPort(value("listen")); err == nil && !net.ParseIP(host).IsLoopback() && host != "localhost" {
		x.add(finding{Severity: severityWarning, What: "passwords would be sent in the clear over a network; serve refuses that", Where: where("listen"),
			Remedy: "listen on 127.0.0.1, and with --listen-tls for other machines"})
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !isSecret(f) || f.Value.String() == "" {
			return
		}
		if from := originOf(f); from.kind == "file" {
			x.private(strings.TrimRight(strings.TrimRight(from.where, "0123456789"), ":"), "the settings hold a secret")
		}
		if len(f.Value.String()) < fewLetters {
			x.add(finding{Severity: severityWarning, What: fmt.Sprintf("the secret has fewer than %d characters and can be guessed", fewLetters),
				Where: where(f.Name), Remedy: "draw a long one at random; after the first start, change the credential's secret"})
		}
	})
	x.checked("the settings of serve, as flags, environment and --config give them here")
}

// permissions looks at who can read what is secret.
func (x *examinee) permissions(o *doctor) {
	for _, name := range []string{"log", "readmodels"} {
		x.private(filepath.Join(x.dir, name), "the folder "+name)
	}
	x.private(x.keys, "the folder keys")
	secrets, _ := filepath.Glob(filepath.Join(x.keys, "*")) // the pattern is good
	more, _ := filepath.Glob(filepath.Join(x.dir, "tls", "*key*"))
	secrets = append(append(secrets, more...), filepath.Join(x.dir, credentialFile), o.keyFile,
		o.settings.Lookup("root-secret-file").Value.String(), o.settings.Lookup(influxToken+"-file").Value.String(),
		o.settings.Lookup("couchdb-password-file").Value.String())
	for _, name := range secrets {
		if name != "" {
			x.private(name, "a secret")
		}
	}
	if name := filepath.Join(x.dir, credentialFile); exists(name) {
		x.add(finding{Severity: severityNote, What: "the first credential lies beside the data", Where: name,
			Remedy: "keep it in a safe place and remove the file: the server does not need it"})
	}
	x.checked("who can read the data, the keys and other secrets")
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// private finds fault with what others than its owner can read or change.
func (x *examinee) private(name, what string) {
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return // what is missing is told elsewhere
	}
	mode := info.Mode().Perm() &^ 0o077
	x.add(finding{Severity: severityWarning, What: fmt.Sprintf("%s can be read by other users of this machine (mode %04o)", what, info.Mode().Perm()),
		Where: name, Remedy: fmt.Sprintf("chmod %04o %s", mode, name),
		does: fmt.Sprintf("chmod %04o %s", mode, name), cost: "nothing",
		mend: func(context.Context) error { return os.Chmod(name, mode) }})
}

// fileSystems are those that do not keep what they are given as a disk does, by the numbers that the kernel has for them.
var fileSystems = map[int64][2]string{
	unix.TMPFS_MAGIC:           {"tmpfs, which is memory: everything is gone when the machine stops", "put the data on a disk"},
	unix.RAMFS_MAGIC:           {"ramfs, which is memory: everything is gone when the machine stops", "put the data on a disk"},
	unix.OVERLAYFS_SUPER_MAGIC: {"a layer of a container, which is gone with that", "mount a volume there"},
	unix.NFS_SUPER_MAGIC:       {"NFS: neither its locks nor its syncs are to be relied on", "put the data on a disk of this machine"},
	unix.SMB_SUPER_MAGIC:       {"SMB: neither its locks nor its syncs are to be relied on", "put the data on a disk of this machine"},
	unix.SMB2_SUPER_MAGIC:      {"SMB: neither its locks nor its syncs are to be relied on", "put the data on a disk of this machine"},
	unix.CIFS_SUPER_MAGIC:      {"CIFS: neither its locks nor its syncs are to be relied on", "put the data on a disk of this machine"},
	unix.V9FS_MAGIC:            {"9P: neither its locks nor its syncs are to be relied on", "put the data on a disk of this machine"},
}

// fileSystem looks at what the data lies on.
func (x *examinee) fileSystem() {
	var stat unix.Statfs_t
	if err := unix.Statfs(x.dir, &stat); err != nil {
		x.not("what the data lies on: %v", err)
		return
	}
	if found, ok := fileSystems[int64(stat.Type)]; ok {
		x.add(finding{Severity: severityWarning, What: "the data lies on " + found[0], Where: x.dir, Remedy: found[1]})
	}
	x.checked("the file system that the data lies on")
}

// readLog reads the whole log.
func (x *examinee) readLog(ctx context.Context, disk *files.Disk, watch *progress) error {
	dir := filepath.Join(x.dir, "log")
	found, err := embedded.Examine(ctx, disk, x.inUse, func(done, total int64) { watch.reached(float64(done) / float64(total)) })
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, domain.ErrDamaged) {
		x.add(finding{Severity: severityDamage, What: "the log has no store.json that can be read", Where: dir, Remedy: "take store.json from a backup, or restore the whole"})
		return nil
	}
	if err != nil {
		return exitWith(exitData, err)
	}
	x.log = found
	for i, d := range found.Damage {
		x.damage(dir, d, i == 0)
	}
	if d := found.Torn; d != nil {
		x.add(finding{Severity: severityNote, What: fmt.Sprintf("the last %d bytes of the log were never acknowledged: a crash has torn them", d.Bytes),
			Where: fmt.Sprintf("%s, at byte %d", filepath.Join(dir, d.Segment), d.Byte), Remedy: "none is needed: serve cuts them off when it starts",
			does: fmt.Sprintf("cut %d torn bytes off the log, and keep them in quarantine", d.Bytes), cost: "nothing that was acknowledged",
			mend: func(ctx context.Context) error { return x.cut(ctx, *d, true) }})
	}
	for _, f := range found.Index {
		x.add(finding{Severity: severityWarning, What: "the index of the log is damaged: " + f.Cause.Error(), Where: filepath.Join(dir, f.Name),
			Remedy: "--repair removes the file; it is made again from the log",
			does:   "remove " + filepath.Join(dir, f.Name), cost: "nothing: it is made again from the log",
			mend: func(context.Context) error {
				return x.onLog(func(s files.System) error { return embedded.RemoveIndex(s, f) })
			}})
	}
	if found.Unsafe && !x.inUse {
		x.add(finding{Severity: severityWarning, What: "a server with --durability none was killed: events that it had answered may be missing", Where: filepath.Join(dir, "store.json"),
			Remedy: "leave --durability out; the next start gives the log a new generation"})
	}
	x.checked("the log: %d events to position %s, %s in %d segments, every checksum and the hash chain", found.Head.Commit, upTo(found.Head), inUnits(found.Bytes), found.Segments)
	if x.inUse {
		x.not("the end of the log, which the running server is writing")
	}
	return nil
}

// damage tells of one damaged place. Only the first can be cut off, and all that follows goes with it.
func (x *examinee) damage(dir string, d embedded.Damage, first bool) {
	f := finding{Severity: severityDamage, What: "the log is damaged: " + d.String(), Where: filepath.Join(dir, d.Segment),
		Remedy: "restore the data folder from a backup"}
	if first {
		f.keep = upTo(d.Keep())
		f.Remedy += fmt.Sprintf("; without one, --repair --lose-after %s gives up everything after position %[1]s", f.keep)
		f.does = fmt.Sprintf("cut everything after position %s off the log, and keep it in quarantine", f.keep)
		f.cost = fmt.Sprintf("every event after position %s, whether damaged or not", f.keep)
		f.mend = func(ctx context.Context) error { return x.cut(ctx, d, false) }
	}
	x.add(f)
}

func (x *examinee) cut(ctx context.Context, d embedded.Damage, torn bool) error {
	return x.onLog(func(s files.System) error {
		_, err := embedded.Cut(ctx, s, d, torn, time.Now())
		return err
	})
}

func (x *examinee) onLog(do func(files.System) error) error {
	disk, err := files.NewDisk(filepath.Join(x.dir, "log"))
	if err != nil {
		return err
	}
	return do(disk)
}

// readKeys checks the files of keys.
func (x *examinee) readKeys() {
	disk, err := files.ReadDisk(x.keys)
	var found keys.Examination
	if err == nil {
		found, err = keys.Examine(disk)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && x.log.Head.IsZero():
		return // serve makes them
	case err != nil:
		x.add(finding{Severity: severityDamage, What: "the keys that open the log cannot be used: " + err.Error(), Where: x.keys,
			Remedy: "restore keys/ from its backup; without them nothing that clients said can be read"})
		return
	case found.Torn > 0 && !x.inUse:
		x.add(finding{Severity: severityNote, What: fmt.Sprintf("the last %d bytes of the keys were never acknowledged: a crash has torn them", found.Torn),
			Where: filepath.Join(x.keys, "subjects"), Remedy: "none is needed: serve cuts them off when it starts"})
	}
	x.checked("%d keys, each opened with root.key; %d have been destroyed", found.Keys, found.Destroyed)
}

// readModels checks the files of the read models, and that they know of nothing that the log has lost.
func (x *examinee) readModels() error {
	dir := filepath.Join(x.dir, "readmodels")
	names, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil {
		return err
	}
	for _, name := range names {
		found, err := readmodels.Examine(name, x.inUse)
		if err != nil && !exists(name) {
			continue // a running server has dropped it meanwhile
		}
		if err != nil {
			found.Problem = err.Error()
		}
		x.readModel(name, found.Problem, found.Checkpoint, found.Generation, func(context.Context) error { return readmodels.Drop(name) })
	}
	snapshots, err := filepath.Glob(filepath.Join(dir, directory.Name+"-*.snapshot"))
	if err != nil {
		return err
	}
	if at, generation, err := directory.Examine(dir); !errors.Is(err, fs.ErrNotExist) {
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		x.readModel(filepath.Join(dir, directory.Name), problem, at, generation, func(context.Context) error { return directory.Drop(dir) })
	}
	x.checked("%d files of read models", len(names)+len(snapshots))
	return nil
}

// couch looks at the documents in CouchDB, if they are there.
func (x *examinee) couch(ctx context.Context, places *enginePlaces, env lookup) {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	where := places.couchdb.shown()
	config, err := places.couch(env)
	if err == nil && config.URL == "" {
		return
	}
	var found couch.Examination
	if err == nil {
		found, err = couch.Examine(ctx, config)
	}
	if err != nil {
		x.add(finding{Severity: severityWarning, What: "documents cannot be kept: " + err.Error(), Where: where,
			Remedy: "mend what it names; the server goes on by itself, with all that has happened meanwhile"})
		return
	}
	if found.Generation == x.log.Generation.String() && !x.inUse && len(x.log.Damage) == 0 && x.log.Head.Before(found.Checkpoint) {
		x.add(finding{Severity: severityDamage, What: fmt.Sprintf("the log ends at position %s, and CouchDB has seen %s: events are missing", upTo(x.log.Head), found.Checkpoint),
			Where: where, Remedy: "restore log/ from its backup, or 'strandline projection rebuild documents' to go on without them"})
	}
	x.checked("documents in CouchDB, up to position %s", upTo(found.Checkpoint))
}

// readModel tells what is wrong with one file.
func (x *examinee) readModel(name, problem string, at domain.Position, generation string, drop func(context.Context) error) {
	if problem != "" {
		x.add(finding{Severity: severityWarning, What: "a read model is damaged: " + problem, Where: name,
			Remedy: "--repair removes it; it is made again from the log at the next start",
			does:   "remove " + name, cost: "nothing: it is made again from the log", mend: drop})
		return
	}
	if x.log.ID.IsZero() || len(x.log.Damage) > 0 || x.inUse || x.log.Renewed || generation != x.log.Generation.String() {
		return // what it knows cannot be compared
	}
	if x.log.Head.Before(at) {
		x.add(finding{Severity: severityDamage, What: fmt.Sprintf("the log ends at position %s, and a read model has seen %s: events are missing", upTo(x.log.Head), at),
			Where: name, Remedy: "restore log/ from its backup, or delete readmodels/ to go on without them"})
	}
}

// ahead is how far the log's times may lie before the clock.
const ahead = time.Minute

// clock compares the machine's with the log's.
func (x *examinee) clock(now time.Time) {
	if d := x.log.Ended.Sub(now); !x.log.Ended.IsZero() && d > ahead {
		x.add(finding{Severity: severityWarning, What: fmt.Sprintf("the last event was recorded %s from now: the clock is wrong, or was when it was recorded", d.Round(time.Second)),
			Where: "the clock of this machine: " + now.UTC().Format(time.RFC3339), Remedy: "set the clock; until it has caught up, all events get the time of the last one"})
	}
	x.checked("the clock, against the times of the log; not against that of others")
}

// How much room a disk should have.
const (
	smallRoom = 512 << 20
	fewDays   = 30
)

// room reckons for how long the disk will do.
func (x *examinee) room(now time.Time) {
	var stat unix.Statfs_t
	if err := unix.Statfs(x.dir, &stat); err != nil {
		x.not("the room on the disk: %v", err)
		return
	}
	free := int64(stat.Bavail) * int64(stat.Bsize)
	days := x.days(now, free)
	text := fmt.Sprintf("%s are free", inUnits(free))
	if !math.IsInf(days, 1) {
		text += fmt.Sprintf(", which at the rate of the log's own times will do for %.0f days", math.Floor(days))
	}
	if free < smallRoom || days < fewDays {
		x.add(finding{Severity: severityWarning, What: "the disk will be full soon: " + text, Where: x.dir, Remedy: "make room, or move the data to a larger disk; when it is full, requests are refused"})
	}
	x.checked("the room on the disk: %s", text)
}

// days is for how long there is room, infinite where there is no telling. Read models grow with the log.
func (x *examinee) days(now time.Time, free int64) float64 {
	const least = time.Hour // what has grown in less tells nothing
	taken := now.Sub(x.log.Begun)
	if x.log.Begun.IsZero() || taken < least || x.log.Growth <= 0 || x.log.Bytes <= 0 {
		return math.Inf(1)
	}
	more := 1 + float64(size(filepath.Join(x.dir, "readmodels")))/float64(x.log.Bytes)
	return float64(free) / (float64(x.log.Growth) * more) * taken.Hours() / 24
}

// server asks the running server how it is, and with a credential how its projections are.
func (x *examinee) server(ctx context.Context, o *connection, env lookup) {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	c, err := o.open(env)
	if err != nil {
		x.not("what the server at %s says: %v", o.url, err)
		return
	}
	begun := time.Now()
	answer, err := c.send(ctx, http.MethodGet, "/readyz", nil, "application/json")
	if err != nil {
		x.add(finding{Severity: severityWarning, What: "the server does not answer: " + err.Error(), Where: o.url, Remedy: "look at its log, and start it"})
		return
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		x.add(finding{Severity: severityWarning, What: "the server is not ready: " + answer.Status, Where: o.url + "/readyz", Remedy: "its answer names the part that is not, and why"})
	}
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil && at.Sub(begun).Abs() > ahead {
		x.add(finding{Severity: severityWarning, What: fmt.Sprintf("the clocks of the server and of this machine are %s apart", at.Sub(begun).Abs().Round(time.Second)),
			Where: o.url, Remedy: "set both by the same time server"})
	}
	x.projections(ctx, c)
	x.checked("the server at %s", o.url)
}

func (x *examinee) projections(ctx context.Context, c *client) {
	list, err := c.projections(ctx)
	if err != nil {
		x.not("the projections of the server: %v", err)
		return
	}
	for _, p := range list {
		if p.Stalled != "" {
			x.add(finding{Severity: severityWarning, What: "a projection has stalled: " + p.Stalled, Where: p.Name, Remedy: "mend what it names; it goes on by itself"})
		}
		if p.Parked > 0 {
			x.add(finding{Severity: severityWarning, What: fmt.Sprintf("%d events could not be applied to a projection", p.Parked), Where: p.Name,
				Remedy: "see 'strandline projection --help' for those that are parked"})
		}
	}
}
