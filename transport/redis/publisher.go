package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
)

// Publisher is a Watermill publisher for the topics of one component, which are those that begin with its name and a
// colon. A topic comes into being with its first message.
type Publisher struct {
	client    *goredis.Client
	component string
	limit     time.Duration
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a Publisher. Publishing takes no longer than limit, nor than the contexts of the messages last. The
// client is the caller's, also to close. A name that no component may have is domain.ErrInvalid, that of another
// domain.ErrForbidden.
func NewPublisher(client *goredis.Client, component string, limit time.Duration) (*Publisher, error) {
	if err := checkName(component); err != nil {
		return nil, err
	}
	if component == ours {
		return nil, fmt.Errorf("%w: the topics that begin with %s: are this program's own", domain.ErrForbidden, ours)
	}
	return &Publisher{client, component, limit}, nil
}

// Publish implements message.Publisher: all messages are there then, in their order, or none. After a deadline it is not
// known which. A topic that the component may not have is domain.ErrForbidden or domain.ErrInvalid.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if err := checkTopic(p.component, topic); err != nil {
		return err
	}
	if len(messages) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.limit)
	defer cancel()
	for _, m := range messages {
		defer context.AfterFunc(m.Context(), cancel)()
		if end, ok := m.Context().Deadline(); ok {
			var sooner context.CancelFunc
			ctx, sooner = context.WithDeadline(ctx, end)
			defer sooner()
		}
	}
	_, err := p.client.TxPipelined(ctx, func(all goredis.Pipeliner) error {
		for _, m := range messages {
			values, err := wire.Marshal(topic, m)
			if err != nil {
				return err
			}
			all.XAdd(ctx, &goredis.XAddArgs{Stream: topic, Values: values})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Close implements message.Publisher. The client stays open.
func (p *Publisher) Close() error { return nil }
