package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/plan"
	"strandline/projections"
	"strandline/readmodels/audit"
)

// simLife is one life of a node: what it is asked for, what befalls it, and what must be so all the while.
type simLife struct {
	*simMachine
	t               testing.TB
	seed            uint64
	draw            *rand.Rand // of what it is asked for
	world           *simWorld
	rounds, counted int // of the present round, of the censuses

	asking   sync.Mutex // guards the next four
	requests []*simRequest
	asked    []*simRequest // since they were judged
	byName   map[string]*simRequest
	deeds    []*simDeed

	trace []string

	stored  []simEvent // the log as far as it has been read
	byID    map[domain.ID]*simRequest
	trouble bool // since the node was started, the disk has failed a call, so that keys may not be written any more
	lasting bool // the disk would fail so
}

// simEvent is what is remembered of an event in the log.
type simEvent struct {
	id   domain.ID
	time time.Time
}

func newSimLife(t testing.TB, seed uint64, dir string) *simLife {
	return &simLife{
		simMachine: newSimMachine(t, seed, dir), t: t, seed: seed, draw: rand.New(rand.NewPCG(seed, 10)), world: newSimWorld(),
		byName: map[string]*simRequest{}, byID: map[domain.ID]*simRequest{},
	}
}

// live lives the life.
func (l *simLife) live(rounds int) {
	l.start()
	for l.rounds = range rounds {
		l.round()
		l.after()
	}
	l.restart()
	l.end()
}

// note adds a line to the trace.
func (l *simLife) note(format string, args ...any) {
	l.trace = append(l.trace, strings.ReplaceAll(fmt.Sprintf(format, args...), l.dir, "DIR"))
}

// fail ends the life.
func (l *simLife) fail(format string, args ...any) {
	l.t.Helper()
	l.t.Fatalf("seed %d: %s\n\nTo see it again:\n\tgo test ./cmd/strandline -run 'TestSimulation$' -seed %d\n\nWhat happened:\n%s\n\nWhat the node logged since it was started:\n%s",
		l.seed, fmt.Sprintf(format, args...), l.seed, strings.Join(l.trace, "\n"), l.log.String())
}

// start starts the node, however often it takes, and looks at all that it has.
func (l *simLife) start() {
	for range 20 {
		if l.chance.IntN(8) == 0 {
			l.sys.CrashAt(1 + l.chance.IntN(40))
		}
		err := l.boot()
		l.sys.CrashAt(simNever)
		if err == nil && !l.sys.Crashed() {
			l.begin()
			return
		}
		if err == nil {
			l.cut()
			continue
		}
		l.note("%v could not start: %v", time.Since(simBegin), err)
		switch {
		case l.sys.Crashed():
			l.sys = l.sys.Restart(l.chance.Uint64())
			l.sys.HoldSync(l.hold)
		case l.sys.Met() == 0:
			l.fail("the node does not start: %v", err)
		}
		l.sys.Heal()
	}
	l.fail("the node does not start")
}

// simNever is a number of calls that no life makes.
const simNever = 1 << 40

// begin takes stock of a node that has just been started.
func (l *simLife) begin() {
	l.trouble = false
	l.note("%v the node is started", time.Since(simBegin))
	l.again()
	l.settle()
	if l.world.made != 0 {
		l.fail("%d plans are open", l.world.made)
	}
	l.census()
}

// round lets some clients ask for something at about the same time, while something may befall the node.
func (l *simLife) round() {
	l.syncs.slowest = time.Duration(100+l.chance.IntN(20_000)) * time.Microsecond
	l.befall()
	var running sync.WaitGroup
	held := map[string]int{} // -1: by one who changes it, else by so many who read it
	for n := range 1 + l.draw.IntN(6) {
		a := l.act(fmt.Sprintf("%d.%d", l.rounds, n))
		if a == nil || !a.take(held) {
			continue
		}
		later := time.Duration(l.draw.IntN(8000)) * time.Microsecond
		running.Go(func() {
			time.Sleep(later)
			a.do()
		})
	}
	running.Wait()
	time.Sleep(50 * time.Millisecond) // until what befalls it has befallen it
	synctest.Wait()
	l.sys.CrashAt(simNever)
}

// befall draws what befalls the node in this round.
func (l *simLife) befall() {
	switch n := l.chance.IntN(100); {
	case n < 15:
		calls := 1 + l.chance.IntN(60)
		l.note("the power will go at call %d", calls)
		l.sys.CrashAt(calls)
	case n < 22:
		later := time.Duration(l.chance.IntN(30_000)) * time.Microsecond
		l.note("the power will go in %v", later)
		sys := l.sys
		time.AfterFunc(later, sys.Crash)
	case n < 40:
		f := simFaults[l.chance.IntN(len(simFaults))]
		f.fault.At = 1 + l.chance.IntN(8)
		l.note("%s, from call %d on", f.name, f.fault.At)
		l.lasting = errors.Is(f.fault.Err, syscall.EIO)
		l.sys.Inject(f.fault)
	case n < 47:
		by := time.Duration(l.chance.Int64N(int64(48*time.Hour))) - 24*time.Hour
		l.note("the clock jumps by %v", by)
		l.skew.Add(int64(by))
	}
}

// after takes stock after a round, and starts the node again where it has to be.
func (l *simLife) after() {
	trouble := l.sys.Met() > 0 || l.failed() || l.sys.Crashed()
	l.judge(trouble)
	switch n := l.chance.IntN(100); {
	case l.sys.Crashed():
		l.note("%v the power is gone", time.Since(simBegin))
		l.cut()
		l.afflict()
		l.start()
	case l.failed() || trouble && n < 50:
		l.note("%v the node is started again: %v", time.Since(simBegin), l.node.log.Err())
		l.sys.Heal()
		_ = l.stop() // of a store that has failed; what it says is known
		l.afflict()
		l.start()
	case n < 10:
		l.restart()
	default:
		l.heal()
		l.settle()
		if n < 30 {
			l.census()
		}
	}
}

// heal mends the disk, and lets the node find out.
func (l *simLife) heal() {
	l.trouble = l.trouble || l.lasting && l.sys.Met() > 0
	l.sys.Heal()
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

// restart stops the node as it should be stopped, and starts it.
func (l *simLife) restart() {
	l.note("%v the node is stopped", time.Since(simBegin))
	l.heal()
	if l.chance.IntN(6) == 0 {
		l.sys.CrashAt(1 + l.chance.IntN(4))
	}
	if err := l.stop(); err != nil && !l.trouble && !l.sys.Crashed() {
		l.fail("stopping the node: %v", err)
	}
	if l.sys.Crashed() {
		l.sys = l.sys.Restart(l.chance.Uint64())
		l.sys.HoldSync(l.hold)
	}
	l.afflict()
	l.start()
}

// afflict does to the read models of a stopped node what may be done to them: they are as they were, as they were some
// time ago, gone, or gone in part.
func (l *simLife) afflict() {
	old := filepath.Join(l.dir, "old")
	switch n := l.chance.IntN(10); {
	case n < 2:
		l.note("the read models are deleted")
		l.remove(l.models())
	case n < 3:
		names, err := filepath.Glob(filepath.Join(l.models(), "*"))
		if err != nil || len(names) == 0 {
			return
		}
		name := names[l.chance.IntN(len(names))]
		l.note("%s is deleted", filepath.Base(name))
		l.remove(name)
	case n < 5:
		if _, err := os.Stat(old); err == nil {
			l.note("the read models are as they were some time ago")
			l.copyModels(old, l.models())
		}
	case n < 7:
		l.copyModels(l.models(), old)
	}
}

func (l *simLife) remove(name string) {
	if err := os.RemoveAll(name); err != nil {
		l.t.Fatal(err)
	}
}

// ask sends a request, and remembers it. It tells whether it was served.
func (l *simLife) ask(r *simRequest) bool {
	l.asking.Lock()
	l.requests, l.asked, l.byName[r.name] = append(l.requests, r), append(l.asked, r), r
	if d := r.deed; d != nil {
		if len(d.attempts) == 0 {
			l.deeds = append(l.deeds, d)
		}
		d.attempts = append(d.attempts, r)
	}
	l.asking.Unlock()
	return l.send(r)
}

// judge looks at the answers since the last time.
func (l *simLife) judge(trouble bool) {
	slices.SortFunc(l.asked, func(a, b *simRequest) int { return strings.Compare(a.name, b.name) })
	for _, r := range l.asked {
		l.note("%s", r)
	}
	for _, r := range l.asked {
		if err := r.judge(trouble || l.trouble); err != nil {
			l.fail("%s: %v", r, err)
		}
	}
	l.asked = nil
}

// follow reads what is new in the log, and tells the world.
func (l *simLife) follow() {
	from := domain.Position{Commit: uint64(len(l.stored)) + 1, Prepare: uint64(len(l.stored)) + 1}
	for record, err := range l.node.log.ReadAll(context.Background(), from, 0, commands.Forwards) {
		if err != nil {
			l.fail("read the log after %d events: %v", len(l.stored), err)
		}
		r, err := l.node.decode(context.Background(), record)
		if err != nil || r.Sealed || r.Unknown {
			l.fail("event %s cannot be opened: %v", record.Position, err)
		}
		l.enter(r)
	}
}

// enter takes in one event of the log.
func (l *simLife) enter(r domain.Recorded) {
	if r.Position.Commit != uint64(len(l.stored))+1 {
		l.fail("after %d events comes position %s", len(l.stored), r.Position)
	}
	if n := len(l.stored); n > 0 && r.Time.Before(l.stored[n-1].time) {
		l.fail("the time of %s goes back, from %v to %v", r.Position, l.stored[n-1].time, r.Time)
	}
	l.stored = append(l.stored, simEvent{r.ID, r.Time})
	if r.ContentType == domain.Part {
		return // means nothing without the event that closes it
	}
	from := l.attribute(r)
	secret := ""
	if from != nil && from.deed != nil {
		secret = from.deed.secret
	}
	if err := l.world.apply(r, secret); err != nil {
		l.fail("event %s: %v", r.Position, err)
	}
}

// attribute finds the request that an event came of, nil if it is the system's own.
func (l *simLife) attribute(r domain.Recorded) *simRequest {
	from := l.byID[r.Correlation]
	if from == nil && r.Request != nil && r.Actor != "system" {
		if from = l.byName[r.Request.Reason]; from == nil {
			l.fail("event %s, %s, came of no request: %+v", r.Position, r.Type, r.Request)
		}
		l.byID[r.Correlation] = from
		from.different = append(from.different, r.Correlation)
	}
	if from == nil {
		if r.Actor != "system" {
			l.fail("event %s, %s, came of no request", r.Position, r.Type)
		}
		return nil
	}
	switch r.Event.(type) {
	case access.Served, access.Refused:
		from.records = append(from.records, r)
	case access.Ended:
	default:
		from.events = append(from.events, r)
	}
	return from
}

// settle compares what has come of everything with what clients were told.
func (l *simLife) settle() {
	synctest.Wait()
	l.follow()
	for _, r := range l.requests {
		if err := r.account(); err != nil {
			l.fail("%s: %v", r, err)
		}
	}
	for _, d := range l.deeds {
		if simOpen(d) {
			continue
		}
		if err := d.account(); err != nil {
			l.fail("%s: %v", d.attempts[0], err)
		}
	}
}

// simOpen tells whether a deed is a plan that has not been finished, as happens where the disk is full.
func simOpen(d *simDeed) bool {
	open := false
	for _, r := range d.attempts {
		for _, e := range r.events {
			switch e.Event.(type) {
			case plan.Made:
				open = true
			case plan.Done:
				open = false
			}
		}
	}
	return open
}

// again reads the log from its start: whatever has once been read stays.
func (l *simLife) again() {
	n := 0
	for record, err := range l.node.log.ReadAll(context.Background(), domain.Position{}, 0, commands.Forwards) {
		if err != nil {
			l.fail("read the log again: %v", err)
		}
		if n == len(l.stored) {
			break
		}
		if want := l.stored[n]; record.ID != want.id || !record.Time.Equal(want.time) {
			l.fail("event %s was %s of %v, and is %s of %v", record.Position, want.id, want.time, record.ID, record.Time)
		}
		n++
	}
	if n < len(l.stored) {
		l.fail("the log has had %d events, and has %d", len(l.stored), n)
	}
	own, _ := l.node.ownLog()
	if _, err := own.Verify(context.Background()); err != nil {
		l.fail("the log does not verify: %v", err)
	}
}

// end looks at everything once more, and at the read models, which must be those that come of the log from its start.
func (l *simLife) end() {
	l.settle()
	if l.world.made != 0 {
		l.fail("%d plans are open", l.world.made)
	}
	l.audit()
	if err := l.stop(); err != nil {
		l.fail("stop: %v", err)
	}
	kept, anew := l.dumps(l.dir), l.dumps(filepath.Join(l.dir, "anew"))
	for name := range anew {
		if !bytes.Equal(kept[name], anew[name]) {
			l.fail("read model %s differs from what the log gives:\n%s\n---\n%s", name, kept[name], anew[name])
		}
	}
}

// audit compares the audit records with the answers: one for each request.
func (l *simLife) audit() {
	head, err := l.node.log.Head(context.Background())
	if err != nil {
		l.fail("head: %v", err)
	}
	records := audit.New(l.node.audit)
	if err := records.Wait(context.Background(), head); err != nil {
		l.fail("the audit records do not come: %v", err)
	}
	all, err := records.Page(context.Background(), audit.Query{Limit: 1 << 20}, func(audit.Record) bool { return true })
	if err != nil || !all.End {
		l.fail("audit records: the end is %v, %v", all.End, err)
	}
	for _, a := range all.Records {
		r := l.byID[a.Request]
		if r == nil {
			if a.Actor != "system" {
				l.fail("the audit record %+v is of no request", a)
			}
			continue
		}
		if r.answered && r.status < 500 && (a.Status != r.status || a.Reason != r.name) {
			l.fail("%s: its audit record says %+v", r, a)
		}
		delete(l.byID, a.Request)
	}
	for id, r := range l.byID {
		l.fail("%s: %s is missing in the audit records", r, id)
	}
}

// dumps are the dumps of all read models in a folder, brought to the end of the log.
func (l *simLife) dumps(dir string) map[string][]byte {
	s, err := l.storage(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		l.fail("open the storage to dump it: %v", err)
	}
	head, err := s.log.Head(context.Background())
	if err != nil {
		l.fail("head: %v", err)
	}
	all := map[string][]byte{}
	for _, m := range s.models {
		var b bytes.Buffer
		if dir == l.dir && m.Checkpoint() != head {
			l.fail("read model %s was stopped at %s, and the log ends at %s", m.Name(), m.Checkpoint(), head)
		}
		if err := projections.Dump(context.Background(), s.log, s.decode, m, head, &b); err != nil {
			l.fail("dump %s: %v", m.Name(), err)
		}
		all[m.Name()] = b.Bytes()
	}
	if err := errors.Join(s.closeModels(), s.close()); err != nil {
		l.fail("close: %v", err)
	}
	return all
}
