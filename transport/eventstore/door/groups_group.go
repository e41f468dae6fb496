package door

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"

	"strandline/domain"
)

// group is a subscription that its consumers share: each event goes to one of them, and comes again until one of them has
// acknowledged it. It reads its stream only while it has consumers.
type group struct {
	server *Server
	config config
	filter *filter
	turns  sync.Mutex // held while the group starts, stops and ends, so that these do not overlap

	mu        sync.Mutex
	ended     bool
	consumers []*consumer
	next      int // whose turn it is
	order     uint64

	main   window
	queue  []*message // read, and with nobody yet
	retry  []*message // to be given again, before the queue
	held   int        // bytes of the messages that are not done
	places chan struct{}
	pins   map[uint32]*pin

	parked      window
	parkedFrom  uint64 // revisions of the parked stream: the first that is still parked,
	parkedEnd   uint64 // the one after the last,
	parkedRead  uint64 // the next to replay
	parkedUntil uint64 // and the one to stop before

	saved   place
	savedAt time.Time
	settled int // since the last checkpoint
	skipped int // since the last checkpoint

	known    place // the last event seen
	total    int64
	measured int64 // total when it was last asked for
	asked    time.Time

	stop    context.CancelFunc // of what runs while there are consumers
	running sync.WaitGroup
}

// message is an event on its way to being done.
type message struct {
	event, link *domain.Record // a link alone, if what it stands for is gone
	behind      *domain.Record // what a link of a virtual stream stands for
	entry       *entry
	order       uint64
	retries     int32
	size        int
	deadline    time.Time // by when it has to be done by whom it is with
	owner       *consumer
}

// original is what the consumer acknowledges.
func (m *message) original() *domain.Record {
	if m.link != nil {
		return m.link
	}
	return m.event
}

// pin keeps the events of one bucket with one consumer as long as it has any of them.
type pin struct {
	owner *consumer
	with  int
}

// consumer is one of those that share a group.
type consumer struct {
	caller  Caller
	address string
	ctx     context.Context // of its call; the call is what the consumer is
	number  uint64
	slots   int
	texts   bool
	has     map[domain.ID]*message
	out     chan sending
	dropped chan error
	total   int64
}

// sending is a message on its way to a consumer.
type sending struct {
	message *message
	order   uint64 // which giving of the message it is
	answer  *persistent.ReadResp
}

var (
	errGroupDropped = errors.New("the group has been changed, removed or restarted")
	errGroupFull    = errors.Join(domain.ErrRejected, errors.New("the group has as many consumers as it may have"))
)

// join takes a consumer in.
func (g *group) join(c *consumer) error {
	g.turns.Lock()
	defer g.turns.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	most := int(g.config.Settings.MaxSubscribers)
	switch {
	case g.ended:
		return errGroupDropped
	case most > 0 && len(g.consumers) >= most:
		return errGroupFull
	}
	g.order++
	c.number = g.order
	g.consumers = append(g.consumers, c)
	if len(g.consumers) == 1 {
		g.start()
	}
	g.pump()
	return nil
}

// leave lets a consumer go. What it has goes to others, without having been tried in vain.
func (g *group) leave(c *consumer) {
	g.turns.Lock()
	defer g.turns.Unlock()
	g.mu.Lock()
	if g.ended || !slices.Contains(g.consumers, c) {
		g.mu.Unlock()
		return
	}
	g.consumers = slices.DeleteFunc(g.consumers, func(o *consumer) bool { return o == c })
	var back []*message
	for _, m := range c.has {
		back = append(back, m)
	}
	for _, m := range back {
		g.take(c, m)
	}
	g.retry = append(back, g.retry...)
	slices.SortStableFunc(g.retry, func(a, b *message) int { return cmp.Compare(a.order, b.order) })
	g.pump()
	last := len(g.consumers) == 0
	g.mu.Unlock()
	if last {
		g.halt()
	}
}

// start runs what a group with consumers needs.
func (g *group) start() {
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	after := g.main.cut()
	g.running.Go(func() { g.read(ctx, after) })
	g.running.Go(func() { g.tend(ctx) })
}

// halt ends that, and forgets the last events, which nobody has had: they are read again.
func (g *group) halt() {
	g.mu.Lock()
	stop := g.stop
	g.mu.Unlock()
	if stop != nil {
		stop()
	}
	g.running.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.main.cut()
	g.parkedRead = min(g.parkedRead, uint64(g.parked.cut().Revision+1))
	forgotten := func(m *message) bool {
		if m.entry.cut {
			g.held -= m.size
		}
		return m.entry.cut
	}
	g.queue, g.retry = slices.DeleteFunc(g.queue, forgotten), slices.DeleteFunc(g.retry, forgotten)
	g.checkpoint(true)
}

// end drops all consumers, for a reason.
func (g *group) end(reason error) {
	g.turns.Lock()
	defer g.turns.Unlock()
	g.mu.Lock()
	g.ended = true
	for _, c := range g.consumers {
		c.drop(reason)
	}
	g.mu.Unlock()
	g.halt()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.consumers, g.retry, g.held = nil, nil, 0
}

// drop ends a consumer's call.
func (c *consumer) drop(reason error) {
	select {
	case c.dropped <- reason:
	default:
	}
}

// tend looks after what time brings: messages that nobody acknowledges, and checkpoints.
func (g *group) tend(ctx context.Context) {
	s := g.config.Settings
	every := s.CheckpointAfter / 2
	if s.Timeout > 0 {
		every = min(every, s.Timeout/4)
	}
	ticker := time.NewTicker(min(max(every, 10*time.Millisecond), time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.mu.Lock()
			g.expire(time.Now())
			g.pump()
			g.checkpoint(false)
			g.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// expire takes back what has been with a consumer for too long.
func (g *group) expire(now time.Time) {
	if g.config.Settings.Timeout == 0 {
		return
	}
	for _, c := range g.consumers {
		for _, m := range c.late(now) {
			g.take(c, m)
			g.again(m, "it was not acknowledged in time")
		}
	}
}

// late is what has been with a consumer for too long, in the order in which it was given.
func (c *consumer) late(now time.Time) (late []*message) {
	for _, m := range c.has {
		if m.deadline.Before(now) {
			late = append(late, m)
		}
	}
	slices.SortFunc(late, func(a, b *message) int { return cmp.Compare(a.order, b.order) })
	return late
}

// take takes a message from a consumer.
func (g *group) take(c *consumer, m *message) {
	delete(c.has, m.original().ID)
	m.owner = nil
	if p := g.pins[g.bucket(m)]; p != nil {
		if p.with--; p.with == 0 {
			delete(g.pins, g.bucket(m))
		}
	}
}

// again has a message given once more, or parks it if that has been done often enough.
func (g *group) again(m *message, reason string) {
	if m.retries >= g.config.Settings.MaxRetries {
		g.park(m, reason)
		return
	}
	m.retries++
	g.retry = append(g.retry, m)
}

// finish is done with a message.
func (g *group) finish(m *message) {
	m.entry.done = true
	g.held -= m.size
	g.settled += g.main.settle()
	g.parked.settle()
	select {
	case g.places <- struct{}{}:
	default:
	}
}

// answered takes in what a consumer says of messages that it has. What it does not have any more is not its affair.
func (g *group) answered(c *consumer, ids []domain.ID, answer func(*message)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return
	}
	for _, id := range ids {
		if m := c.has[id]; m != nil {
			g.take(c, m)
			answer(m)
		}
	}
	g.pump()
	if g.settled >= int(g.config.Settings.MaxCheckpoint) {
		g.checkpoint(false)
	}
}

// pump hands on what there is to those who have a place for it.
func (g *group) pump() {
	g.replay()
	g.retry = g.give(g.retry)
	g.queue = g.give(g.queue)
	select {
	case g.places <- struct{}{}:
	default:
	}
}

// give hands messages on, and returns those that nobody has a place for.
func (g *group) give(messages []*message) []*message {
	kept := messages[:0]
	for i, m := range messages {
		if !slices.ContainsFunc(g.consumers, (*consumer).free) {
			kept = append(kept, messages[i:]...)
			break
		}
		if !g.offer(m) {
			kept = append(kept, m)
		}
	}
	clear(messages[len(kept):])
	return kept
}

// offer gives a message to the consumer whose it is, and tells whether there was one with a place. A consumer that may not
// see it is passed over; if none of them all may, it is done.
func (g *group) offer(m *message) bool {
	blind := 0
	for _, c := range g.candidates(m) {
		if !c.free() || c.has[m.original().ID] != nil {
			if g.pins != nil {
				return false
			}
			continue
		}
		event, ok := g.shown(c, m)
		if c.ctx.Err() != nil {
			return false // it is leaving, and what it may see cannot be told
		}
		if !ok {
			blind++
			continue
		}
		g.hand(c, m, event)
		return true
	}
	if blind < len(g.consumers) || blind == 0 {
		return false
	}
	g.finish(m)
	return true
}

func (c *consumer) free() bool { return len(c.has) < c.slots && len(c.out) < cap(c.out) }

// hand gives a message to a consumer.
func (g *group) hand(c *consumer, m *message, event *persistent.ReadResp_ReadEvent) {
	g.order++
	m.order, m.owner, m.entry.given = g.order, c, true
	m.deadline = time.Now().Add(g.config.Settings.Timeout)
	c.has[m.original().ID] = m
	c.total++
	g.total++
	if g.pins != nil {
		p := g.pins[g.bucket(m)]
		if p == nil {
			p = &pin{owner: c}
			g.pins[g.bucket(m)] = p
		}
		p.owner = c
		p.with++
	}
	c.out <- sending{m, m.order, &persistent.ReadResp{Content: &persistent.ReadResp_Event{Event: event}}}
}

// candidates are the consumers in the order in which a message is offered to them.
func (g *group) candidates(m *message) []*consumer {
	n := len(g.consumers)
	turn := func(first int) []*consumer {
		return append(slices.Clone(g.consumers[first%n:]), g.consumers[:first%n]...)
	}
	switch g.config.Settings.Strategy {
	case dispatchToSingle:
		return g.consumers
	case pinned, pinnedByCorrelation:
		return turn(g.pinnedTo(g.bucket(m)))
	}
	g.next++
	return turn(g.next)
}

// pinnedTo is which consumer a bucket's events go to: the one that has some of them, else the one that a hash of bucket
// and consumer picks, so that one consumer more or less moves few buckets.
func (g *group) pinnedTo(bucket uint32) (best int) {
	if p := g.pins[bucket]; p != nil {
		if i := slices.Index(g.consumers, p.owner); i >= 0 {
			return i
		}
	}
	highest := uint64(0)
	for i, c := range g.consumers {
		if weight := mixed(uint64(bucket)<<32 ^ c.number); weight > highest {
			best, highest = i, weight
		}
	}
	return best
}

// mixed spreads a number's bits (the finalizer of SplitMix64).
func mixed(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// buckets is into how many parts pinned groups cut their events.
const buckets = 1024

// bucket is the part that a message belongs to: by its stream, or by its correlation id.
func (g *group) bucket(m *message) uint32 {
	r := cmp.Or(m.behind, m.event, m.link)
	key := r.Stream
	if g.config.Settings.Strategy == pinnedByCorrelation {
		if id := correlationOf(*r); id != "" {
			key = id
		}
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	return h.Sum32() % buckets
}
