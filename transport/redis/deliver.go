package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

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
	ended           // the subscription, first
)

// deliver hands out a message until it is taken or given up. Its error is that of Redis.
func (s *subscription) deliver(ctx context.Context, m goredis.XMessage) error {
	if m.Values == nil { // it was trimmed
		s.done = append(s.done, m.ID)
		return nil
	}
	attempts, err := s.attempts(ctx, m.ID)
	if err != nil {
		return err
	}
	original, err := unmarshalled(m.Values)
	if err != nil {
		return s.bury(ctx, m, nil, CausePoison, attempts)
	}
	if attempts > s.options.attempts {
		return s.bury(ctx, m, original, CauseFatal, attempts-1)
	}
	for ; ; attempts++ {
		switch s.hand(ctx, original) {
		case taken:
			s.done = append(s.done, m.ID)
			return nil
		case ended:
			return s.release([]goredis.XMessage{m})
		case late:
			return s.bury(ctx, m, original, CauseLate, attempts)
		}
		if attempts >= s.options.attempts {
			return s.bury(ctx, m, original, CauseRefused, attempts)
		}
		wait(ctx, s.pause(attempts))
		if err := s.hold(ctx, m.ID); err != nil {
			return err
		}
	}
}

// hand hands out a copy of a message, once, and waits for what is made of it.
func (s *subscription) hand(ctx context.Context, original *message.Message) outcome {
	m := original.Copy()
	limited, cancel := context.WithTimeout(ctx, s.options.limit)
	defer cancel()
	m.SetContext(limited)
	select {
	case s.out <- m:
	case <-limited.Done():
		if ctx.Err() == nil {
			return refused // nobody is there to take it
		}
		return ended
	}
	select {
	case <-m.Acked():
		return taken
	case <-m.Nacked():
		return refused
	case <-limited.Done():
	}
	patience := time.NewTimer(s.options.grace())
	defer patience.Stop()
	select {
	case <-m.Acked():
		return taken
	case <-m.Nacked():
		if ctx.Err() != nil {
			return ended
		}
		return refused
	case <-patience.C:
		return late
	}
}

// pause is how long to wait after so many attempts.
func (s *subscription) pause(attempts int) time.Duration {
	longest := s.options.limit / 2
	if attempts > 20 {
		return longest
	}
	return min(s.options.pause<<(attempts-1), longest)
}

// attempts is how often a message has been delivered, this time included. Most have not been delivered before, which is
// asked only of those that were not read as new ones.
func (s *subscription) attempts(ctx context.Context, id string) (int, error) {
	if s.fresh {
		return 1, nil
	}
	pending, err := s.client.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: s.topic, Group: s.group, Start: id, End: id, Count: 1}).Result()
	if err != nil || len(pending) == 0 {
		return 1, err
	}
	return int(max(1, pending[0].RetryCount)), nil
}

// hold has a message delivered once more to this member, for as long as the first time.
func (s *subscription) hold(ctx context.Context, id string) error {
	return s.client.XClaim(ctx, &goredis.XClaimArgs{Stream: s.topic, Group: s.group, Consumer: s.member, Messages: []string{id}}).Err()
}

// bury puts a message into the dead-letter stream and acknowledges it, both or neither.
func (s *subscription) bury(ctx context.Context, m goredis.XMessage, original *message.Message, cause string, attempts int) error {
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
	maps.Copy(letter.Metadata, message.Metadata{KeyDeadCause: cause, KeyDeadID: m.ID, KeyDeadGroup: s.group, KeyDeadAttempts: strconv.Itoa(attempts)})
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
