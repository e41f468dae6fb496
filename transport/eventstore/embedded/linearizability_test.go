package embedded_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/memory"
	"strandline/transport/files/faultfs"
)

// TestLinearizability records what concurrent clients asked and were told, and lets porcupine look for one order of all
// calls, each at some moment between its beginning and its end, in which a store that does one thing at a time would have
// answered the same. Streams, revisions, positions, the head and repetitions are all in the model.
func TestLinearizability(t *testing.T) {
	stores := map[string]func(seed uint64) commands.EventStore{
		"memory":         func(uint64) commands.EventStore { return memory.New() },
		"embedded":       func(seed uint64) commands.EventStore { return open(t, faultfs.New(seed), small()) },
		"embedded, tiny": func(seed uint64) commands.EventStore { return open(t, faultfs.New(seed), tiny()) },
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			operations := 0
			for seed := range uint64(scale(20, 400)) {
				h := &history{began: time.Now()}
				store := open(seed)
				h.run(t.Context(), store, seed, 8, 25)
				operations += len(h.operations)
				h.judge(t)
				if closer, ok := store.(interface{ Close() error }); ok {
					closer.Close()
				}
			}
			t.Logf("%d operations, one order found for all", operations)
		})
	}
}

// TestLinearizabilityOverCrashes takes the power away in the middle. A call whose answer never came happened before the
// recovery or not at all.
func TestLinearizabilityOverCrashes(t *testing.T) {
	operations, crashes := 0, 0
	for seed := range uint64(scale(60, 1500)) {
		h := &history{began: time.Now()}
		sys := faultfs.New(seed)
		for life := range uint64(3) {
			store := open(t, sys, tiny())
			sys.CrashAt(1 + int((seed*7+life*13)%60))
			h.run(t.Context(), store, seed+life<<32, 6, 12)
			sys.Crash()
			store.Close()
			sys = sys.Restart(seed + life)
			recovered := open(t, sys, tiny())
			h.settle()
			if err := recovered.Close(); err != nil {
				t.Fatal(err)
			}
			crashes++
		}
		operations += len(h.operations)
		h.judge(t)
	}
	t.Logf("%d operations, %d crashes, one order found for all", operations, crashes)
}

// history is what clients asked and were told.
type history struct {
	began      time.Time
	mu         sync.Mutex
	operations []porcupine.Operation
	drawn      byte     // ids given out
	appends    []asking // for repeating
}

// asking is a call. Streams and ids are letters.
type asking struct {
	call     string // append, stream, all, head
	stream   byte
	expected domain.Expected
	ids      string
}

// told is its answer.
type told struct {
	lost     bool // it never came
	wrong    bool // the revision was; current says which is right
	current  domain.Expected
	missing  bool // there is no such stream
	repeated bool
	revision uint64
	position uint64
	ids      string
}

// run lets clients make random calls at once. A client ends with the first answer that does not come.
func (h *history) run(ctx context.Context, store commands.EventStore, seed uint64, clients, calls int) {
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(c)))
			for range calls {
				in := h.draw(rng)
				call := int64(time.Since(h.began))
				out := ask(ctx, store, in)
				h.note(porcupine.Operation{ClientId: c, Input: in, Call: call, Output: out, Return: int64(time.Since(h.began))})
				if out.lost {
					return
				}
			}
		})
	}
	group.Wait()
}

func (h *history) note(o porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, o)
}

// draw makes up a call: appends with all kinds of expectation, some of them repeated, and reads.
func (h *history) draw(rng *rand.Rand) asking {
	h.mu.Lock()
	defer h.mu.Unlock()
	in := asking{call: "append", stream: 'a' + byte(rng.IntN(3)), expected: domain.Any}
	switch rng.IntN(10) {
	case 0:
		in.call = "head"
	case 1, 2:
		in.call = "stream"
	case 3:
		in.call = "all"
	case 4, 5:
		in.expected = domain.Expected(rng.IntN(12) - 1)
	case 6:
		in.expected = domain.StreamExists
	case 7:
		if len(h.appends) > 0 {
			return h.appends[rng.IntN(len(h.appends))]
		}
	}
	if in.call != "append" {
		return in
	}
	for range rng.IntN(4) {
		if h.drawn < 250 {
			h.drawn++
			in.ids += string([]byte{h.drawn})
		}
	}
	h.appends = append(h.appends, in)
	return in
}

func ask(ctx context.Context, store commands.EventStore, in asking) told {
	switch in.call {
	case "append":
		return askAppend(ctx, store, in)
	case "head":
		head, err := store.Head(ctx)
		return told{lost: err != nil, position: head.Commit}
	case "all":
		rs, err := collect(store.ReadAll(ctx, domain.Position{}, 0, commands.Forwards))
		return told{lost: err != nil, ids: letters(rs)}
	}
	rs, err := collect(store.ReadStream(ctx, string(in.stream), 0, 0, commands.Forwards))
	if errors.Is(err, domain.ErrNoStream) {
		return told{missing: true}
	}
	return told{lost: err != nil, ids: letters(rs)}
}

func askAppend(ctx context.Context, store commands.EventStore, in asking) told {
	var rs []domain.Record
	for _, id := range []byte(in.ids) {
		rs = append(rs, domain.Record{Envelope: domain.Envelope{ID: domain.ID{id, 15: 1}, Type: "drill.done"}, Data: make([]byte, 400)})
	}
	done, err := store.Append(ctx, string(in.stream), in.expected, rs)
	var wrong *domain.WrongRevisionError
	if errors.As(err, &wrong) {
		return told{wrong: true, current: wrong.Current}
	}
	return told{lost: err != nil, repeated: done.Repeated, revision: done.Revision, position: done.Position.Commit}
}

func letters(rs []domain.Record) string {
	b := make([]byte, len(rs))
	for i, r := range rs {
		b[i] = r.ID[0]
	}
	return string(b)
}

// settle ends, now, the calls whose answers never came: later they can have no effect any more.
func (h *history) settle() {
	now := int64(time.Since(h.began))
	for i, o := range h.operations {
		if o.Output.(told).lost && o.Metadata == nil {
			h.operations[i].Return, h.operations[i].Metadata = now, "settled"
		}
	}
}

// judge fails the test if there is no order.
func (h *history) judge(t *testing.T) {
	t.Helper()
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{log("")} },
		Step: func(state, input, output any) []any { return state.(log).step(input.(asking), output.(told)) },
	}
	switch porcupine.CheckOperationsTimeout(model.ToModel(), h.operations, 30*time.Second) {
	case porcupine.Illegal:
		for _, o := range h.operations {
			t.Logf("%d %d–%d %+v: %+v", o.ClientId, o.Call, o.Return, o.Input, o.Output)
		}
		t.Fatalf("no order of these %d operations explains their answers", len(h.operations))
	case porcupine.Unknown:
		t.Fatalf("found no order of %d operations within 30 s", len(h.operations))
	}
}

// log is the model: a store that does one thing at a time. It is two letters for each record: stream and id.
type log string

// stream is the ids of one stream, and where each stands.
func (l log) stream(stream byte) (ids string, positions []uint64) {
	for i := 0; i < len(l); i += 2 {
		if l[i] == stream {
			ids += string(l[i+1 : i+2])
			positions = append(positions, uint64(i/2+1))
		}
	}
	return ids, positions
}

// step returns what may follow l when in is answered by out; nothing if it cannot be.
func (l log) step(in asking, out told) []any {
	next, want := l.answer(in)
	switch {
	case out.lost && next != l:
		return []any{l, next}
	case out.lost || out == want:
		return []any{next}
	}
	return nil
}

func (l log) answer(in asking) (log, told) {
	ids, _ := l.stream(in.stream)
	switch in.call {
	case "head":
		return l, told{position: uint64(len(l) / 2)}
	case "all":
		var all []byte
		for i := 1; i < len(l); i += 2 {
			all = append(all, l[i])
		}
		return l, told{ids: string(all)}
	case "stream":
		return l, told{ids: ids, missing: ids == ""}
	}
	return l.append(in)
}

func (l log) append(in asking) (log, told) {
	ids, positions := l.stream(in.stream)
	current := domain.Expected(len(ids) - 1)
	if at := l.repeats(in, ids); at >= 0 {
		last := at + len(in.ids) - 1
		return l, told{repeated: true, revision: uint64(last), position: positions[last]}
	}
	partly := !in.expected.IsExact() && shares(ids, in.ids)
	met := in.expected == domain.Any || in.expected == domain.StreamExists && ids != "" || in.expected == current
	if !met || partly {
		return l, told{wrong: true, current: current}
	}
	if in.ids == "" {
		return l, told{revision: uint64(max(current, 0)), position: uint64(len(l) / 2)}
	}
	next := []byte(l)
	for _, id := range []byte(in.ids) {
		next = append(next, in.stream, id)
	}
	return log(next), told{revision: uint64(len(ids) + len(in.ids) - 1), position: uint64(len(next) / 2)}
}

// shares tells whether some id is in both.
func shares(a, b string) bool {
	return slices.ContainsFunc([]byte(b), func(id byte) bool { return strings.IndexByte(a, id) >= 0 })
}

// repeats says at which revision the very same append stands, -1 if it does not.
func (l log) repeats(in asking, ids string) int {
	if in.ids == "" {
		return -1
	}
	at := strings.IndexByte(ids, in.ids[0])
	if in.expected.IsExact() {
		at = int(in.expected.Next())
	}
	if at < 0 || at > len(ids) || !strings.HasPrefix(ids[at:], in.ids) {
		return -1
	}
	return at
}
