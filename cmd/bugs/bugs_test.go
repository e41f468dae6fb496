package bugs_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the folder of the module.
const root = "../.."

// bug is a mistake that somebody could make, in one place of the code.
type bug struct {
	name string
	file string // from the root of the module
	old  string // stands in it once
	new  string

	pkg  string // whose test
	run  string // is this one
	says string // and fails with this among its words
}

var bugs = []bug{
	{
		name: "events are answered for that are not synced",
		file: "transport/eventstore/embedded/flight.go",
		old:  "if err := s.syncGroup(f.file); err != nil {",
		new:  "if err := error(nil); err != nil {",
		pkg:  "./transport/eventstore/embedded", run: "TestCrashPoints$", says: "acknowledged",
	},
	{
		name: "the watermark moves before the sync",
		file: "transport/eventstore/embedded/flight.go",
		old:  "	began := time.Now()\n	s.writing",
		new:  "	if f.records > 0 {\n		s.durable.Store(&durable{position: f.first + uint64(f.records) - 1})\n		s.grown.happened()\n	}\n	began := time.Now()\n	s.writing",
		pkg:  "./cmd/strandline", run: "TestSimulation$", says: "seed",
	},
	{
		name: "the store goes on after a sync that failed",
		file: "transport/eventstore/embedded/flight.go",
		old:  "			err = s.fail(err)\n",
		new:  "			err = fmt.Errorf(\"not written: %w\", err)\n",
		pkg:  "./transport/eventstore/embedded", run: "TestFailedSyncIsNotTriedAgain$", says: "want that the store has stopped",
	},
	{
		name: "an append without its end counts",
		file: "transport/eventstore/embedded/walk.go",
		old:  "	case !ends:\n",
		new:  "	case !ends && len(found) == 0:\n",
		pkg:  "./transport/eventstore/embedded", run: "TestAppendWithoutItsEnd$", says: "without its end",
	},
	{
		name: "checksums are not looked at when records are read",
		file: "transport/eventstore/embedded/record.go",
		old:  "if recordChecksum(crc32.Checksum(r.data(), castagnoli), r[:r.dataAt()]) != binary.LittleEndian.Uint32(r) {",
		new:  "if false {",
		pkg:  "./transport/eventstore/embedded", run: "TestFlippedBits$", says: "flip",
	},
	{
		name: "time goes back with the clock",
		file: "transport/eventstore/embedded/committer.go",
		old:  "c.ticks = max(c.ticks, ticksOf(c.opt.Clock()))",
		new:  "c.ticks = ticksOf(c.opt.Clock())",
		pkg:  "./cmd/strandline", run: "TestSimulation$", says: "goes back",
	},
	{
		name: "a wrong revision is as good as the right one",
		file: "transport/eventstore/embedded/decide.go",
		old:  "	if !meets {\n",
		new:  "	if !meets && current == domain.NoStream {\n",
		pkg:  "./transport/eventstore/embedded", run: "TestConformance$", says: "revision",
	},
	{
		name: "a key is used before it is on disk",
		file: "transport/keys/book.go",
		old:  "	if err := p.file.Sync(); err != nil {\n		return lostError{err}\n	}\n",
		new:  "",
		pkg:  "./transport/keys", run: "TestDrill", says: "key",
	},
	{
		name: "sealed data can be moved to another event",
		file: "transport/keys/seal.go",
		old:  "	return aead.Seal(dst, dst[start:start+nonceSize], plain, ad), nil",
		new:  "	return aead.Seal(dst, dst[start:start+nonceSize], plain, nil), nil",
		pkg:  "./transport/keys", run: "TestSealsAndOpens", says: "open",
	},
	{
		name: "idempotency keys are not looked up",
		file: "commands/repeat.go",
		old:  "func (b *Bus) first(ctx context.Context, j *job) (domain.Recorded, bool, error) {\n	if j.key == \"\" {",
		new:  "func (b *Bus) first(ctx context.Context, j *job) (domain.Recorded, bool, error) {\n	if true {",
		pkg:  "./cmd/strandline", run: "TestSimulation$", says: "seed",
	},
	{
		name: "the steps of a plan are seen before it is done",
		file: "commands/plan.go",
		old:  "		add.Plan = id\n",
		new:  "",
		pkg:  "./commands", run: "Plan", says: "plan",
	},
	{
		name: "plans that a crash left open stay so",
		file: "cmd/strandline/node.go",
		old:  "if err := n.bus.Resume(ctx); err != nil {",
		new:  "if err := error(nil); err != nil {",
		pkg:  "./cmd/strandline", run: "TestSimulation$", says: "plans are open",
	},
	{
		name: "a refusal leaves no record",
		file: "transport/rest/pipeline.go",
		old:  "	if c.recorded {\n		return a\n	}\n	c.Meta.Details.Status",
		new:  "	if c.recorded || a.Status == 403 {\n		return a\n	}\n	c.Meta.Details.Status",
		pkg:  "./cmd/strandline", run: "TestSimulation$", says: "not on the record",
	},
	{
		name: "participants write to each other's sensors",
		file: "commands/policy/lamp.cedar",
		old:  "    Action::\"tag.list\", Action::\"tag.view\"\n",
		new:  "    Action::\"tag.list\", Action::\"tag.view\", Action::\"tag.set\"\n",
		pkg:  "./transport/rest/lamp", run: "TestAuthorisationMatrix$", says: "403",
	},
	{
		name: "a grant counts after its time",
		file: "domain/grant/events.go",
		old:  "	return ms >= g.From && (g.To == 0 || ms < g.To)\n",
		new:  "	return ms >= g.From\n",
		pkg:  "./commands/policy", run: "TestRoles$", says: "grant",
	},
	{
		name: "a changed secret still signs in as long as it is remembered",
		file: "transport/rest/signin/remember.go",
		old:  "	if v.bond != b {\n",
		new:  "	if v.bond.credential != b.credential {\n",
		pkg:  "./cmd/strandline", run: "TestSimulation$", says: "403",
	},
	{
		name: "the checkpoint is committed before the data",
		file: "readmodels/file.go",
		old:  "	if err := write(tx); err != nil {\n		return err\n	}\n",
		new:  "	if err := errors.Join(tx.Exec(\"UPDATE checkpoint SET position = ?\", checkpoint.String()), tx.Exec(\"COMMIT\")); err != nil {\n		return err\n	}\n	tx.begin = \"BEGIN IMMEDIATE\"\n	if err := write(tx); err != nil {\n		return err\n	}\n",
		pkg:  "./projections", run: "TestKilledProjectionsComeBackTheSame$", says: "that were left alone",
	},
	{
		name: "a gap in the feed goes unnoticed",
		file: "projections/consumer.go",
		old:  "if checkpoint.Before(b.prev) {",
		new:  "if checkpoint.Before(b.prev) && len(b.events) == 0 {",
		pkg:  "./projections", run: "TestContiguity$", says: "a gap",
	},
	{
		name: "an event that cannot be applied blocks those after it",
		file: "projections/table.go",
		old:  "	return t.update(ctx, batches, t.carefully)\n",
		new:  "	return err\n",
		pkg:  "./projections", run: "TestPoisonIsParked", says: "wait for",
	},
	{
		name: "events of equal times come in any order",
		file: "readmodels/series/sample.go",
		old:  "	if c := a.position.Compare(b.position); c != 0 {\n		return c\n	}\n	return cmp.Compare(a.index, b.index)",
		new:  "	return cmp.Compare(a.index, b.index)",
		pkg:  "./cmd/strandline", run: "TestSimulation$", says: "the answer is not",
	},
}

// changed is the bug's file with the bug in it.
func (b bug) changed() ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(content), b.old); n != 1 {
		return nil, fmt.Errorf("%s: what it changes stands %d times in %s, not once: the code has moved on, so let the bug follow", b.name, n, b.file)
	}
	return []byte(strings.Replace(string(content), b.old, b.new, 1)), nil
}

// TestBugsCanBeSeeded fails where the code has moved on under a bug.
func TestBugsCanBeSeeded(t *testing.T) {
	if len(bugs) != 20 {
		t.Errorf("there are %d bugs", len(bugs))
	}
	for _, b := range bugs {
		content, err := b.changed()
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.HasSuffix(b.file, ".go") {
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), b.file, content, 0); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}
