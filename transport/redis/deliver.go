package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"
)

// DeadTopic is where the messages of a topic go that could not be handled. They keep their name, payload and metadata, and
// what became of them stands in the keys below. Of what was no message, the payload is what there was, as JSON.
func DeadTopic(topic string) string { return topic + deadSuffix }

const deadSuffix = ":dead"

// Keys of the metadata of dead letters.
const (
	KeyDeadCause    = "dead_cause"    // one of the causes below
	KeyDeadID       = "dead_id"       // in the topic
	KeyDeadGroup    = "dead_group"    // whose members could not handle it
	KeyDeadAttempts = "dead_attempts" // how often it was delivered
)

// Causes of death.
const (
	CausePoison  = "poison"  // it is no message
	CauseRefused = "refused" // each time
	CauseLate    = "late"    // its handler has not answered, and may be at it still
	CauseFatal   = "fatal"   // its members have died, each time
)

// outcome is what a handler made of a message.
type outcome int

const (
	taken   outcome = iota
	refused         // or late, but answered
	late            // not answered at all
	unasked         // nobody was there to take it
	ended           // the subscription, before it was answered
)

// deliver hands out a message until it is taken or given up, and keeps the rest in hand meanwhile. It tells whether to go
// on with the rest. Its error is that of Redis.
func (s *subscription) deliver(ctx context.Context, m inHand, rest []inHand) (more bool, err error) {
	if m.Values == nil { // it was trimmed
		s.done = append(s.done, m.ID)
		return true, nil
	}
	original, err := unmarshalled(m.Values)
	if err != nil {
		return true, s.bury(ctx, m, nil, CausePoison)
	}
	if m.before > s.options.attempts {
		return true, s.bury(ctx, m, original, CauseFatal)
	}
	for {
		m.before++
		switch s.hand(ctx, original) {
		case taken:
			s.done = append(s.done, m.ID)
			return true, nil
		case late:
			return true, s.bury(ctx, m, original, CauseLate)
		case unasked:
			m.before--
			return false, s.release(append([]inHand{m}, rest...))
		case ended:
			return false, s.release(rest)
		}
		if ctx.Err() == nil && m.before >= s.options.attempts {
			return true, s.bury(ctx, m, original, CauseRefused)
		}
		if ours, err := s.wait(ctx, m, rest); err != nil || !ours {
			return false, err
		}
	}
}

// wait waits until a message that was refused may be handed out again, and tells whether it still is this member's.
func (s *subscription) wait(ctx context.Context, m inHand, rest []inHand) (ours bool, err error) {
	if err := s.acknowledge(ctx); err != nil && ctx.Err() == nil {
		return false, err
	}
	wait(ctx, s.pause(m.before))
	if ctx.Err() != nil {
		return false, s.release(append([]inHand{m}, rest...))
	}
	if ours, err := s.takeTurn(ctx); err != nil || !ours {
		return false, err
	}
	m.before++ // it is about to be
	held := []inHand{m}
	for _, r := range rest {
		r.before = max(r.before, 1) // as Redis has counted it
		held = append(held, r)
	}
	kept, err := s.keep(ctx, 0, held)
	ours = len(kept) == len(held)
	s.again = s.again || !ours // some of them may still be
	return ours, err
}

// hand hands out a copy of a message, once, and waits for what is made of it.
func (s *subscription) hand(ctx context.Context, original *message.Message) outcome {
	m := original.Copy()
	handling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.SetContext(handling)
	patience := time.NewTimer(s.options.limit / 2)
	defer patience.Stop()
	select {
	case s.out <- m:
	case <-ctx.Done():
		return unasked
	case <-patience.C:
		return unasked
	}
	limit := time.AfterFunc(s.options.limit, func() { cancel(context.DeadlineExceeded) })
	defer limit.Stop()
	select {
	case <-m.Acked():
		return taken
	case <-m.Nacked():
		return refused
	case <-handling.Done():
	}
	patience.Reset(s.options.grace())
	select {
	case <-m.Acked():
		return taken
	case <-m.Nacked():
		return refused
	case <-patience.C:
	}
	if ctx.Err() != nil {
		return ended
	}
	return late
}

// pause is how long to wait after so many attempts.
func (s *subscription) pause(attempts int) time.Duration {
	longest := s.options.limit / 2
	if attempts > 20 {
		return longest
	}
	return min(s.options.pause<<(attempts-1), longest)
}

// bury puts a message into the dead-letter stream and acknowledges it, both or neither.
func (s *subscription) bury(ctx context.Context, m inHand, original *message.Message, cause string) error {
	if original == nil {
		content, err := json.Marshal(m.Values)
		if err != nil {
			return fmt.Errorf("write entry %s down: %w", m.ID, err)
		}
		original = message.NewMessage(s.topic+" "+m.ID, content)
	}
	letter := message.NewMessage(original.UUID, original.Payload)
	letter.Metadata = maps.Clone(original.Metadata)
	if letter.Metadata == nil {
		letter.Metadata = message.Metadata{}
	}
	maps.Copy(letter.Metadata, message.Metadata{KeyDeadCause: cause, KeyDeadID: m.ID, KeyDeadGroup: s.group, KeyDeadAttempts: strconv.Itoa(m.before)})
	delete(letter.Metadata, redisstream.UUIDHeaderKey) // which cannot be written
	values, err := wire.Marshal(DeadTopic(s.topic), letter)
	if err != nil {
		return err
	}
	_, err = s.client.TxPipelined(ctx, func(both goredis.Pipeliner) error {
		both.XAdd(ctx, &goredis.XAddArgs{Stream: DeadTopic(s.topic), Values: values})
		both.XAck(ctx, s.topic, s.group, m.ID)
		return nil
	})
	if err == nil {
		s.log.Warn("a message could not be handled: it is kept apart", "topic", s.topic, "group", s.group, "entry", m.ID, "why", cause)
	}
	return err
}
