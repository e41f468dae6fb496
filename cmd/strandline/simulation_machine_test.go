package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"strandline/transport/eventstore/embedded"
	"strandline/transport/files/faultfs"
)

// simMachine is a computer on which a node runs: a disk for log and keys whose power can go and whose calls can fail, a
// folder for the read models, a clock that can be set, and a network of pipes.
type simMachine struct {
	t      testing.TB
	chance *rand.Rand // of what befalls it
	sys    *faultfs.FS
	dir    string
	skew   atomic.Int64 // by how much its clock is wrong, in nanoseconds
	log    bytes.Buffer // of the node, since it was started
	boots  int

	syncs struct {
		sync.Mutex
		chance  *rand.Rand
		slowest time.Duration
	}

	node   *node
	wire   *simWire
	server *http.Server
}

// Credentials of root on every machine.
const simRootKey, simRootSecret = "root@machine", "the secret: of root"

func newSimMachine(t testing.TB, seed uint64, dir string) *simMachine {
	m := &simMachine{t: t, chance: rand.New(rand.NewPCG(seed, 11)), sys: faultfs.New(seed), dir: dir}
	m.syncs.chance, m.syncs.slowest = rand.New(rand.NewPCG(seed, 12)), time.Millisecond
	m.sys.HoldSync(m.hold)
	return m
}

// hold makes syncs of the log take their time, so that requests meet at the committer. Keys are synced under a lock, and
// in a bubble of synctest nobody may sleep while others wait for a lock.
func (m *simMachine) hold(name string) {
	if !strings.HasPrefix(name, "segments/") {
		return
	}
	m.syncs.Lock()
	took := time.Duration(1 + m.syncs.chance.Int64N(int64(m.syncs.slowest)))
	m.syncs.Unlock()
	time.Sleep(took)
}

func (m *simMachine) now() time.Time { return time.Now().Add(time.Duration(m.skew.Load())) }

func (m *simMachine) models() string { return filepath.Join(m.dir, "readmodels") }

// storage opens what the machine holds, with the read models in a folder.
func (m *simMachine) storage(dir string, log *slog.Logger) (*storage, error) {
	return openStorageOn(truth{log: m.sys, keys: m.sys, options: embedded.Options{
		SegmentSize: 128 << 10, Clock: m.now, Logger: log,
	}}, dir, log)
}

// boot starts the node. It fails only for what befell the machine.
func (m *simMachine) boot() error {
	m.boots++
	m.log.Reset()
	log := slog.New(slog.NewTextHandler(&m.log, nil))
	s, err := m.storage(m.dir, log)
	if err != nil {
		return err
	}
	env := map[string]string{"STRANDLINE_ROOT_KEY": simRootKey, "STRANDLINE_ROOT_SECRET": simRootSecret}
	n, err := startNode(m.t.Context(), s, m.dir, func(name string) (string, bool) { v, ok := env[name]; return v, ok }, log)
	if err != nil {
		return err
	}
	m.node, m.wire = n, newSimWire()
	m.server = &http.Server{Handler: n.http, ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime,
		IdleTimeout: idleTime, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go m.server.Serve(m.wire)
	return nil
}

// abandon ends what is left of a node after a test has failed.
func (m *simMachine) abandon() {
	if m.node != nil {
		m.server.Close()
		_ = m.stop()
	}
}

// stop ends the node as SIGTERM does, and tells whether all of that went well.
func (m *simMachine) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	m.node.native.Stop()
	err := errors.Join(m.server.Shutdown(ctx), m.node.close())
	m.node = nil
	return err
}

// cut lets the power go, and ends what is left of the node. The read models stay as they are at that moment.
func (m *simMachine) cut() {
	m.sys.Crash()
	m.server.Close()
	synctest.Wait()
	kept := filepath.Join(m.dir, "cut")
	m.copyModels(m.models(), kept)
	_ = m.stop() // of a machine without power: nothing that it does now can be seen
	m.copyModels(kept, m.models())
	m.sys = m.sys.Restart(m.chance.Uint64())
	m.sys.HoldSync(m.hold)
}

// failed tells whether the store has stopped for good, as it does when a write or a sync fails.
func (m *simMachine) failed() bool { return m.node.log.Err() != nil }

// copyModels puts the read models of one folder in the place of those in another. What SQLite shares between connections
// is made anew from the rest.
func (m *simMachine) copyModels(from, to string) {
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		m.t.Fatal(err)
	}
	shared, err := filepath.Glob(filepath.Join(to, "*-shm"))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, name := range shared {
		if err := os.Remove(name); err != nil {
			m.t.Fatal(err)
		}
	}
}

// simFaults are those that a disk can have. All but the first two stop the store, which has to be started again.
var simFaults = []struct {
	name  string
	fault faultfs.Fault
}{
	{"no space for files", faultfs.Fault{Ops: []faultfs.Op{faultfs.Create, faultfs.Allocate, faultfs.MkdirAll, faultfs.Link}, Err: syscall.ENOSPC, Stays: true}},
	{"no space for the index", faultfs.Fault{Ops: []faultfs.Op{faultfs.Create, faultfs.WriteAt}, Name: "index/", Err: syscall.ENOSPC, Stays: true}},
	{"no space", faultfs.Fault{Ops: []faultfs.Op{faultfs.Create, faultfs.Allocate, faultfs.WriteAt}, Err: syscall.ENOSPC, Stays: true}},
	{"a write fails", faultfs.Fault{Ops: []faultfs.Op{faultfs.WriteAt}, Err: syscall.EIO}},
	{"a sync fails", faultfs.Fault{Ops: []faultfs.Op{faultfs.Sync}, Err: syscall.EIO}},
	{"a change of names fails", faultfs.Fault{Ops: []faultfs.Op{faultfs.SyncDir, faultfs.Rename, faultfs.Remove}, Err: syscall.EIO}},
}

// simWire is a network of pipes: a net.Listener without sockets, which a bubble of synctest could not wait for.
type simWire struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newSimWire() *simWire { return &simWire{conns: make(chan net.Conn), closed: make(chan struct{})} }

// dial connects from an address.
func (w *simWire) dial(address string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case w.conns <- simConn{server, address}:
		return client, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (w *simWire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *simWire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

// Addr implements net.Listener.
func (w *simWire) Addr() net.Addr { return simAddress("machine") }

// simConn is a connection that came from an address.
type simConn struct {
	net.Conn
	address string
}

func (c simConn) RemoteAddr() net.Addr { return simAddress(c.address) }

type simAddress string

func (a simAddress) Network() string { return "pipe" }
func (a simAddress) String() string  { return string(a) }
