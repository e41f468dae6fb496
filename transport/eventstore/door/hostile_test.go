package door_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	headers "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"strandline/domain"
	"strandline/transport/eventstore/door"
)

// raw is a client that says what no well-behaved one would.
type raw struct {
	*world
	streams streams.StreamsClient
	groups  persistent.PersistentSubscriptionsClient
	cut     func() // the connection, without a word
}

// dial makes a raw client with a connection of its own.
func (w *world) dial() *raw {
	w.Helper()
	var mu sync.Mutex
	var conns []net.Conn
	conn, err := grpc.NewClient("passthrough:///"+w.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)),
		grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(1<<20),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, c)
			return c, err
		}))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close() })
	cut := func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
		conn.Close()
	}
	return &raw{w, streams.NewStreamsClient(conn), persistent.NewPersistentSubscriptionsClient(conn), cut}
}

func named(stream string) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte(stream)},
		ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}},
	}}}
}

func proposed(id, typ string, data []byte) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id:       &shared.UUID{Value: &shared.UUID_String_{String_: id}},
		Metadata: map[string]string{"type": typ, "content-type": "application/json"}, Data: data,
	}}}
}

// sends makes an append of messages and returns how it ended.
func (r *raw) sends(messages ...*streams.AppendReq) error {
	ctx, stop := context.WithTimeout(r.Context(), patience)
	defer stop()
	call, err := r.streams.Append(ctx)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := call.Send(m); err != nil {
			break // the answer tells why
		}
	}
	_, err = call.CloseAndRecv()
	return err
}

// reads makes a read, and returns how many messages came within a time, and how it ended.
func (r *raw) reads(o *streams.ReadReq_Options, within time.Duration) (n int, err error) {
	ctx, stop := context.WithTimeout(r.Context(), within)
	defer stop()
	call, err := r.streams.Read(ctx, &streams.ReadReq{Options: o})
	for ; err == nil; n++ {
		_, err = call.Recv()
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n - 1, err
}

func (r *raw) refuses(what string, err error, want ...codes.Code) {
	r.Helper()
	for _, code := range want {
		if status.Code(err) == code {
			return
		}
	}
	r.Errorf("%s: %v, want %v", what, err, want)
}

// alive checks that the server still does its work.
func (w *world) alive() {
	w.Helper()
	stream := fresh()
	w.append(stream, esdb.Any{}, event("a", `{}`))
	w.holds(stream, "a")
}

func TestHostileAppends(t *testing.T) {
	w := onDisk(t).world
	r := w.dial()
	id := uuid.NewString
	empty := make([]*streams.AppendReq, 1, 33_001)
	empty[0] = named("ext-many")
	for range 33_000 {
		empty = append(empty, proposed("", "t", nil))
	}
	for what, messages := range map[string][]*streams.AppendReq{
		"nothing":             {},
		"no options":          {proposed(id(), "t", nil)},
		"empty message":       {{}},
		"no name":             {named(""), proposed(id(), "t", nil)},
		"two options":         {named("ext-s"), named("ext-s")},
		"a bad id":            {named("ext-s"), proposed("not-an-id", "t", nil)},
		"no type":             {named("ext-s"), proposed(id(), "", nil)},
		"a long name":         {named("ext-" + strings.Repeat("x", 2000)), proposed(id(), "t", nil)},
		"a name not UTF-8":    {named("ext-\xff\xfe"), proposed(id(), "t", nil)},
		"a name with a zero":  {named("ext-a\x00b"), proposed(id(), "t", nil)},
		"a long type":         {named("ext-s"), proposed(id(), strings.Repeat("t", 2000), nil)},
		"a megabyte and more": {named("ext-s"), proposed(id(), "t", make([]byte, 1<<20+1))},
		"megabytes in pieces": {named("ext-s"), proposed(id(), "t", make([]byte, 1<<20-1)), proposed(id(), "t", make([]byte, 1<<20)), proposed(id(), "t", make([]byte, 1<<20))},
		"too many events":     empty,
	} {
		r.refuses(what, r.sends(messages...), codes.InvalidArgument)
	}
	r.refuses("a message of 40 MB", r.sends(named("ext-s"), proposed(id(), "t", make([]byte, 40<<20))), codes.ResourceExhausted)
	r.refuses("headers of 1 MB", func() error {
		ctx := headers.AppendToOutgoingContext(t.Context(), "authorization", strings.Repeat("x", 1<<20))
		call, err := r.streams.Append(ctx)
		if err != nil {
			return err
		}
		_, err = call.CloseAndRecv()
		return err
	}(), codes.Internal, codes.Unavailable, codes.ResourceExhausted)
	if err := r.sends(named("ext-s"), proposed(id(), "t", []byte(strings.Repeat("[", 500_000)))); err != nil {
		t.Errorf("deep JSON is data like other: %v", err)
	}
	w.holds("ext-s", "t")
	w.alive()
}

// TestHostileMetadata says of streams what makes no sense.
func TestHostileMetadata(t *testing.T) {
	w := newWorld(t)
	for i, said := range []string{`null`, `[]`, `"x"`, `{`, ``, strings.Repeat(`{"a":`, 100_000), strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "\xff\xfe", `{"$maxCount":1e400}`, `{"$maxCount":-1}`,
		`{"$maxAge":9223372036854775807}`, `{"$maxAge":-9223372036854775808}`, `{"$tb":-9}`, `{"$tb":"x"}`, `{"$maxCount":9223372036854775807,"$tb":0}`, `{"$acl":{"$r":[[[]]]}}`} {
		stream := fmt.Sprint("ext-", i)
		w.fill(stream, "a b")
		w.append("$$"+stream, esdb.Any{}, esdb.EventData{EventID: uuid.New(), EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(said)})
		if got := w.read(stream, esdb.ReadStreamOptions{From: esdb.Start{}}); len(got) != 2 {
			t.Errorf("with metadata %.40q the stream holds %v, want all", said, got)
		}
		w.remove(stream)
		w.holds(stream, missing)
		w.fill(stream, "c")
		w.holds(stream, "c")
		w.bury(stream)
		w.holds(stream, streamDeleted)
	}
	w.alive()
}

func TestHostileReads(t *testing.T) {
	w := onDisk(t).world
	w.fill("ext-s", "a b c")
	r := w.dial()
	of := func(stream string) *streams.ReadReq_Options_Stream {
		return &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
			RevisionOption: &streams.ReadReq_Options_StreamOptions_Revision{Revision: math.MaxUint64}}}
	}
	all := func(commit, prepare uint64) *streams.ReadReq_Options_All {
		return &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Position{
			Position: &streams.ReadReq_Options_Position{CommitPosition: commit, PreparePosition: prepare}}}}
	}
	count := func(n uint64) *streams.ReadReq_Options_Count { return &streams.ReadReq_Options_Count{Count: n} }
	follow := &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	prefixes := func(n, size int) *streams.ReadReq_Options_Filter {
		p := make([]string, n)
		for i := range p {
			p[i] = strings.Repeat("p", size)
		}
		return &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
			StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Prefix: p}}}}
	}
	regex := func(pattern string) *streams.ReadReq_Options_Filter {
		return &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_EventType{
			EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: pattern}},
			Window: &streams.ReadReq_Options_FilterOptions_Max{Max: math.MaxUint32}, CheckpointIntervalMultiplier: math.MaxUint32}}
	}
	for what, o := range map[string]*streams.ReadReq_Options{
		"nothing":           nil,
		"empty":             {},
		"no count":          {StreamOption: of("ext-s")},
		"no name":           {StreamOption: of(""), CountOption: count(1)},
		"a long name":       {StreamOption: of("ext-" + strings.Repeat("x", 1<<20)), CountOption: follow},
		"a name not UTF-8":  {StreamOption: of("ext-\xff"), CountOption: count(1)},
		"long prefixes":     {StreamOption: all(0, 0), CountOption: follow, FilterOption: prefixes(100, 100_000)},
		"many prefixes":     {StreamOption: all(0, 0), CountOption: follow, FilterOption: prefixes(10_000, 1)},
		"a large pattern":   {StreamOption: all(0, 0), CountOption: follow, FilterOption: regex("((a{1000}){1000}){1000}")},
		"a pattern not RE2": {StreamOption: all(0, 0), CountOption: follow, FilterOption: regex("(?!a)")},
	} {
		_, err := r.reads(o, patience)
		r.refuses(what, err, codes.InvalidArgument)
	}
	for what, tt := range map[string]struct {
		options *streams.ReadReq_Options
		want    int
	}{
		"the greatest revision":            {&streams.ReadReq_Options{StreamOption: of("ext-s"), CountOption: count(math.MaxUint64)}, 0},
		"the greatest revision, backwards": {&streams.ReadReq_Options{StreamOption: of("ext-s"), CountOption: count(math.MaxUint64), ReadDirection: streams.ReadReq_Options_Backwards}, 3},
		"an unknown direction":             {&streams.ReadReq_Options{StreamOption: of("ext-s"), CountOption: count(9), ReadDirection: 77}, 0},
		"of links":                         {&streams.ReadReq_Options{StreamOption: of("$ce-ext"), CountOption: count(math.MaxUint64)}, 0},
		"of links, backwards":              {&streams.ReadReq_Options{StreamOption: of("$ce-ext"), CountOption: count(math.MaxUint64), ReadDirection: streams.ReadReq_Options_Backwards}, 3},
		"the greatest position":            {&streams.ReadReq_Options{StreamOption: all(math.MaxUint64, math.MaxUint64), CountOption: count(9)}, 0},
		"the greatest position, backwards": {&streams.ReadReq_Options{StreamOption: all(math.MaxUint64, math.MaxUint64), CountOption: count(9), ReadDirection: streams.ReadReq_Options_Backwards}, 3},
		"no events":                        {&streams.ReadReq_Options{StreamOption: all(0, 0), CountOption: count(0)}, 0},
	} {
		if n, err := r.reads(tt.options, patience); err != nil || n != tt.want {
			t.Errorf("%s: %d messages, %v; want %d", what, n, err, tt.want)
		}
	}
	for what, o := range map[string]*streams.ReadReq_Options{
		"the greatest revision": {StreamOption: of("ext-s"), CountOption: follow},
		"of links":              {StreamOption: of("$ce-ext"), CountOption: follow},
		"the greatest position": {StreamOption: all(math.MaxUint64, math.MaxUint64), CountOption: follow},
		"a large window":        {StreamOption: all(math.MaxUint64, 0), CountOption: follow, FilterOption: regex("x")},
	} {
		n, err := r.reads(o, 300*time.Millisecond)
		if status.Code(err) != codes.DeadlineExceeded || n > 2 {
			t.Errorf("subscribed after %s: %d messages, %v; want a confirmation and to wait", what, n, err)
		}
	}
	w.alive()
}

func TestHostileGroups(t *testing.T) {
	w := newWorld(t)
	r := w.dial()
	make := func(stream, name string, settings *persistent.CreateReq_Settings) error {
		_, err := r.groups.Create(t.Context(), &persistent.CreateReq{Options: &persistent.CreateReq_Options{GroupName: name, Settings: settings,
			StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
				RevisionOption: &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}}}}}})
		return err
	}
	good := &persistent.CreateReq_Settings{ConsumerStrategy: "RoundRobin"}
	for what, err := range map[string]error{
		"nothing":              func() error { _, err := r.groups.Create(t.Context(), &persistent.CreateReq{}); return err }(),
		"no stream":            make("", "g", good),
		"no name":              make("ext-s", "", good),
		"a long name":          make("ext-s", strings.Repeat("g", 1<<20), good),
		"a long stream":        make("ext-"+strings.Repeat("s", 1<<20), "g", good),
		"a stream in no UTF-8": make("ext-\xff", "g", good),
		"no such strategy":     make("ext-s", "g", &persistent.CreateReq_Settings{ConsumerStrategy: "Fastest"}),
		"endless ticks": make("ext-s", "g", &persistent.CreateReq_Settings{ConsumerStrategy: "Pinned",
			MessageTimeout: &persistent.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: math.MaxInt64}}),
		"negative time": make("ext-s", "g", &persistent.CreateReq_Settings{ConsumerStrategy: "Pinned",
			MessageTimeout: &persistent.CreateReq_Settings_MessageTimeoutMs{MessageTimeoutMs: -1}}),
		"a buffer without end": make("ext-s", "g", &persistent.CreateReq_Settings{ConsumerStrategy: "Pinned", LiveBufferSize: math.MaxInt32}),
	} {
		r.refuses(what, err, codes.InvalidArgument)
	}
	if err := make("ext-s", "g", good); err != nil {
		t.Fatal(err)
	}
	join := func(o *persistent.ReadReq_Options, more ...*persistent.ReadReq) error {
		ctx, stop := context.WithTimeout(t.Context(), patience)
		defer stop()
		call, err := r.groups.Read(ctx)
		if err != nil {
			return err
		}
		for _, m := range append([]*persistent.ReadReq{{Content: &persistent.ReadReq_Options_{Options: o}}}, more...) {
			if err := call.Send(m); err != nil {
				break
			}
		}
		for {
			if _, err := call.Recv(); err != nil {
				return err
			}
		}
	}
	of := &persistent.ReadReq_Options{GroupName: "g", BufferSize: math.MaxInt32, StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("ext-s")}}}
	bad := []*shared.UUID{{Value: &shared.UUID_String_{String_: "no-id"}}}
	r.refuses("no options", join(nil), codes.InvalidArgument)
	r.refuses("empty options", join(&persistent.ReadReq_Options{}), codes.InvalidArgument, codes.NotFound)
	r.refuses("a bad id acknowledged", join(of, &persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{Ids: bad}}}), codes.InvalidArgument)
	r.refuses("a bad id refused", join(of, &persistent.ReadReq{Content: &persistent.ReadReq_Nack_{Nack: &persistent.ReadReq_Nack{Ids: bad}}}), codes.InvalidArgument)
	r.refuses("options twice", join(of, &persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: of}}), codes.InvalidArgument)
	unknown := []*shared.UUID{{Value: &shared.UUID_String_{String_: uuid.NewString()}}, {}, nil}
	nack := &persistent.ReadReq_Nack{Ids: unknown, Action: persistent.ReadReq_Nack_Stop, Reason: strings.Repeat("x", 1<<20)}
	if err := join(of, &persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{Ids: unknown}}}, &persistent.ReadReq{Content: &persistent.ReadReq_Nack_{Nack: nack}}); !errors.Is(err, io.EOF) {
		t.Errorf("ids that nobody has: %v", err)
	}
	w.fill("ext-s", "a")
	c := w.consume("ext-s", "g", 1)
	e := c.next()
	for range 3 { // acknowledging more than once, and refusing what is done, changes nothing
		if err := errors.Join(c.Ack(e.Event), c.Nack(strings.Repeat("x", 1<<20), esdb.NackActionPark, e.Event)); err != nil {
			t.Fatal(err)
		}
	}
	w.fill("ext-s", "b")
	if e = c.next(); e.Event.Event.EventType != "b" {
		t.Fatalf("came %s, want b", e.Event.Event.EventType)
	}
	if err := c.Nack(strings.Repeat("long ", 300_000), esdb.NackActionPark, e.Event); err != nil { // a reason larger than an append may be
		t.Fatal(err)
	}
	w.parked("ext-s", "g", 1)
	w.alive()
}

// TestBatchesOfHostileClients begins appends and never ends them, names none, and repeats ids.
func TestHostileBatches(t *testing.T) {
	w := newWorld(t)
	r := w.dial()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	message := func(id, stream string, final bool, data []byte) *streams.BatchAppendReq {
		m := &streams.BatchAppendReq{CorrelationId: &shared.UUID{Value: &shared.UUID_String_{String_: id}}, IsFinal: final,
			Options: &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}}}
		if data != nil {
			m.ProposedMessages = []*streams.BatchAppendReq_ProposedMessage{{Id: &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}, Metadata: map[string]string{"type": "t"}, Data: data}}
		}
		return m
	}
	ends := func(what string, messages func(i int) *streams.BatchAppendReq) {
		call, err := r.streams.BatchAppend(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; err == nil && i < 10_000; i++ {
			err = call.Send(messages(i))
		}
		for err = nil; err == nil; {
			_, err = call.Recv()
		}
		r.refuses(what, err, codes.InvalidArgument)
	}
	ends("appends without end", func(int) *streams.BatchAppendReq { return message(uuid.NewString(), "ext-s", false, []byte("x")) })
	ends("a bad id", func(int) *streams.BatchAppendReq { return message("x", "ext-s", true, nil) })

	call, err := r.streams.BatchAppend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string]*streams.BatchAppendReq{
		"no name":          message(uuid.NewString(), "", true, []byte("x")),
		"a long name":      message(uuid.NewString(), "ext-"+strings.Repeat("x", 5000), true, []byte("x")),
		"a name not UTF-8": message(uuid.NewString(), "ext-\xff", true, []byte("x")),
		"a virtual stream": message(uuid.NewString(), "$ce-x", true, []byte("x")),
		"nothing":          {CorrelationId: &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}, IsFinal: true},
		"too large":        message(uuid.NewString(), "ext-s", true, make([]byte, 2<<20)),
	} {
		if err := call.Send(m); err != nil {
			t.Fatal(err)
		}
		if got, err := call.Recv(); err != nil || got.GetError() == nil {
			t.Errorf("%s: %v, %v; want an error in the answer", what, got, err)
		}
	}
	if err := call.Send(message(uuid.NewString(), "ext-s", true, []byte("x"))); err != nil {
		t.Fatal(err)
	}
	if got, err := call.Recv(); err != nil || got.GetSuccess() == nil {
		t.Errorf("after all that: %v, %v", got, err)
	}
	w.alive()
}

// refusing is a gate for somebody who may look, and not append.
type refusing struct{ open }

func (refusing) Enter(context.Context, string, string) (door.Caller, error) { return refusing{}, nil }
func (refusing) MayAppend(string) error                                     { return domain.ErrForbidden }

// TestNobodyIsListenedToInVain lets somebody send who may not append: nothing of it is kept, and both kinds of append say
// why when all has been sent, as clients that are still sending do not hear it.
func TestNobodyIsListenedToInVain(t *testing.T) {
	w := worldFor(t, refusing{})
	many := make([]esdb.EventData, 200)
	for i := range many {
		many[i] = event("t", `{"x":"`+strings.Repeat("x", 4<<10)+`"}`)
	}
	for range 20 {
		w.refused(esdb.ErrorCodeAccessDenied, "ext-s", esdb.Any{}, many...)
	}
	w = newWorld(t)
	many = append(append(many, many...), many...)
	for range 5 {
		_, err := w.client.AppendToStream(t.Context(), "ext-s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, many...)
		if err == nil || !strings.Contains(err.Error(), "larger") {
			t.Errorf("an append that is too large: %v", err)
		}
	}
}

// panics is a gate with a defect.
type panics struct{ open }

func (panics) Enter(context.Context, string, string) (door.Caller, error) { panic("a defect") }

// TestOneCallAlone lets a call that hits a defect fail, and no other.
func TestOneCallAlone(t *testing.T) {
	w := worldFor(t, panics{})
	r := w.dial()
	for range 2 {
		r.refuses("a call that panics", r.sends(named("ext-s")), codes.Internal)
		_, err := r.groups.GetInfo(t.Context(), &persistent.GetInfoReq{})
		r.refuses("a call that panics", err, codes.Internal)
	}
}

// TestManySubscriptions has a thousand that all hear of each event, and whose places are free again when their clients have
// vanished without a word.
func TestManySubscriptions(t *testing.T) {
	w := newWorld(t)
	const clients, each = 4, 250
	for round := range 2 {
		before := runtime.NumGoroutine()
		var heard, begun sync.WaitGroup
		var dialled []*raw
		for range clients {
			r := w.dial()
			dialled = append(dialled, r)
			for i := range each {
				begun.Add(1)
				heard.Add(1)
				go func() {
					o := &streams.ReadReq_Options{CountOption: &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
						StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_End{End: &shared.Empty{}}}}}
					if i%2 == 0 {
						o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("ext-s")},
							RevisionOption: &streams.ReadReq_Options_StreamOptions_End{End: &shared.Empty{}}}}
					}
					call, err := r.streams.Read(w.Context(), &streams.ReadReq{Options: o})
					started, done := sync.OnceFunc(begun.Done), sync.OnceFunc(heard.Done)
					defer started()
					defer done()
					for err == nil {
						var m *streams.ReadResp
						if m, err = call.Recv(); err == nil && m.GetConfirmation() != nil {
							started()
						}
						if m.GetEvent() != nil {
							done()
						}
					}
				}()
			}
		}
		begun.Wait()
		if round == 0 {
			r := w.dial()
			for range 100 { // as many as there is room for, and no more
				if _, err := r.reads(&streams.ReadReq_Options{StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{}}, CountOption: &streams.ReadReq_Options_Count{Count: 1}}, patience); err != nil {
					t.Errorf("a read beside them: %v", err)
				}
			}
		}
		began := time.Now()
		w.append("ext-s", esdb.Any{}, event("a", `{}`))
		heard.Wait()
		t.Logf("%d subscriptions heard of an event within %s; %d goroutines on both sides", clients*each, time.Since(began).Round(time.Millisecond), runtime.NumGoroutine()-before)
		for _, r := range dialled {
			r.cut()
		}
		w.until("all have gone", func() bool { return runtime.NumGoroutine() < before+50 })
	}
	w.alive()
}

// TestSlowSubscribersAreBounded has some that never take what they asked for: others get theirs, and memory does not grow
// with what they have not taken.
func TestSlowSubscribersAreBounded(t *testing.T) {
	w := onDisk(t).world
	r := w.dial()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range 50 {
		if _, err := r.streams.Read(ctx, &streams.ReadReq{Options: &streams.ReadReq_Options{
			CountOption:  &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
			StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}}}}); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc >> 20)
	}
	before := heap()
	other := w.subscribe("ext-s", esdb.Start{})
	const n = 100
	data := `{"x":"` + strings.Repeat("x", 500<<10) + `"}`
	for i := range n {
		w.append("ext-s", esdb.Any{}, event(fmt.Sprint(i), data))
	}
	if got := types(t, other, n); got[n-1] != fmt.Sprint(n-1) {
		t.Errorf("the one that listens got %s last", got[n-1])
	}
	grown := heap() - before
	t.Logf("50 subscribers that take nothing, %d MB waiting for each: %d MB more of memory on both sides", n*500/1024, grown)
	if grown > 400 {
		t.Errorf("%d MB more, want 8 a subscriber at most", grown)
	}
}
