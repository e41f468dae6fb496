package door

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/peer"

	"strandline/domain"
)

// defaultSlots is how many events a consumer has at a time if it does not say.
const defaultSlots = 10

// Read implements the service: a consumer names its group first, and then says of each event that it gets what became of
// it.
func (gs *groups) Read(call persistent.PersistentSubscriptions_ReadServer) error {
	ctx := call.Context()
	caller, err := gs.server.enter(ctx)
	if err != nil {
		return failure(ctx, "", err)
	}
	first, err := call.Recv()
	o := first.GetOptions()
	if err != nil || o == nil {
		return failure(ctx, "", gs.server.left(ctx, caller, "consume", "", 0, fmt.Errorf("%w: a consumer names its group first", domain.ErrInvalid)))
	}
	stream := streamOf(o.GetStreamIdentifier(), o.GetAll() != nil)
	c := &consumer{caller: caller, ctx: ctx, has: map[domain.ID]*message{}, dropped: make(chan error, 1)}
	if c.slots = int(min(o.GetBufferSize(), mostSlots)); c.slots <= 0 {
		c.slots = defaultSlots
	}
	c.out, c.texts = make(chan sending, c.slots), o.GetUuidOption().GetString_() != nil
	if p, ok := peer.FromContext(ctx); ok {
		c.address = p.Addr.String()
	}
	if err := cmp.Or(nameable("stream", stream), nameable("group", o.GetGroupName())); err != nil {
		return failure(ctx, "", gs.server.left(ctx, caller, "consume", "", 0, err))
	}
	rows, err := gs.consume(ctx, call, c, stream, o.GetGroupName())
	return failure(ctx, stream, gs.server.left(ctx, caller, "consume", stream, rows, ofGroup(o.GetGroupName(), err)))
}

// consume lets a consumer have its part of a group until one of them ends.
func (gs *groups) consume(ctx context.Context, call persistent.PersistentSubscriptions_ReadServer, c *consumer, stream, name string) (rows int, err error) {
	if err := c.caller.MayManage(); err != nil {
		return 0, err
	}
	leave, err := gs.server.place()
	if err != nil {
		return 0, err
	}
	defer leave()
	g, err := gs.find(ctx, stream, name)
	if err != nil {
		return 0, err
	}
	if err := c.caller.Opened(ctx, "consume", stream); err != nil {
		return 0, errors.Join(domain.ErrUnavailable, err)
	}
	if err := g.join(c); err != nil {
		return 0, err
	}
	defer g.leave(c)
	if err := call.Send(&persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: subscriptionID()},
	}}); err != nil {
		return 0, err
	}
	go g.listen(call, c) // ends with the call
	return g.talk(ctx, call, c)
}

// talk sends a consumer what it is given.
func (g *group) talk(ctx context.Context, call persistent.PersistentSubscriptions_ReadServer, c *consumer) (rows int, err error) {
	for {
		select {
		case s := <-c.out:
			if !g.isWith(c, s) {
				continue // it has been taken back meanwhile
			}
			if err := call.Send(s.answer); err != nil {
				return rows, err
			}
			rows++
		case err := <-c.dropped:
			return rows, err
		case <-ctx.Done():
			return rows, ctx.Err()
		}
	}
}

// isWith tells whether a message that was given to a consumer still is its affair.
func (g *group) isWith(c *consumer, s sending) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return s.message.owner == c && s.message.order == s.order
}

// listen takes in what a consumer says, until it says no more.
func (g *group) listen(call persistent.PersistentSubscriptions_ReadServer, c *consumer) {
	for {
		said, err := call.Recv()
		if err != nil {
			c.drop(nil)
			return
		}
		ack, nack := said.GetAck(), said.GetNack()
		ids, err := idsOf(append(ack.GetIds(), nack.GetIds()...))
		switch {
		case err != nil || ack == nil && nack == nil:
			c.drop(fmt.Errorf("%w: a consumer says which events it has handled, and which not", domain.ErrInvalid))
			return
		case ack != nil:
			g.answered(c, ids, g.finish)
		default:
			g.refused(c, ids, nack)
		}
	}
}

// refused takes in that a consumer could not handle events.
func (g *group) refused(c *consumer, ids []domain.ID, nack *persistent.ReadReq_Nack) {
	g.answered(c, ids, func(m *message) {
		switch nack.GetAction() {
		case persistent.ReadReq_Nack_Park:
			g.park(m, nack.GetReason())
		case persistent.ReadReq_Nack_Skip:
			g.finish(m)
		case persistent.ReadReq_Nack_Stop:
			g.retry = append(g.retry, m)
		default:
			g.again(m, nack.GetReason())
		}
	})
	if nack.GetAction() == persistent.ReadReq_Nack_Stop {
		c.drop(nil)
	}
}

func idsOf(sent []*shared.UUID) (ids []domain.ID, err error) {
	for _, u := range sent {
		id, err := idOf(u)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
