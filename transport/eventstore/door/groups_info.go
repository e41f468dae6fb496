package door

import (
	"fmt"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
)

// info is what there is to know of a group.
func (g *group) info(now time.Time) *persistent.SubscriptionInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.config.Settings
	i := &persistent.SubscriptionInfo{
		EventSource: g.config.Stream, GroupName: g.config.Group, Status: "Live", StartFrom: g.config.From,
		TotalItems: g.total, CountSinceLastMeasurement: g.total - g.measured,
		LastCheckpointedEventPosition: g.text(g.saved), LastKnownEventPosition: g.text(g.known),
		ResolveLinkTos: s.ResolveLinks, ExtraStatistics: s.ExtraStatistics, MaxRetryCount: s.MaxRetries,
		MessageTimeoutMilliseconds: int32(s.Timeout.Milliseconds()), CheckPointAfterMilliseconds: int32(s.CheckpointAfter.Milliseconds()),
		MinCheckPointCount: s.MinCheckpoint, MaxCheckPointCount: s.MaxCheckpoint, MaxSubscriberCount: s.MaxSubscribers,
		LiveBufferSize: s.LiveBuffer, BufferSize: s.HistoryBuffer, ReadBatchSize: s.ReadBatch, NamedConsumerStrategy: s.Strategy,
		LiveBufferCount: int64(len(g.queue)), RetryBufferCount: int32(len(g.retry)),
		ParkedMessageCount: int64(g.parkedEnd) - g.parked.done.Revision - 1,
	}
	if seconds := now.Sub(g.asked).Seconds(); seconds > 0 {
		i.AveragePerSecond = int32(float64(i.CountSinceLastMeasurement) / seconds)
	}
	g.asked, g.measured = now, g.total
	for _, c := range g.consumers {
		i.TotalInFlightMessages += int32(len(c.has))
		i.Connections = append(i.Connections, &persistent.SubscriptionInfo_ConnectionInfo{
			From: c.address, TotalItems: c.total, AvailableSlots: int32(c.slots - len(c.has)), InFlightMessages: int32(len(c.has)),
			ConnectionName: fmt.Sprint(c.number),
		})
	}
	i.OutstandingMessagesCount = i.TotalInFlightMessages
	return i
}

// text is a place as the protocol writes it in texts; empty for none.
func (g *group) text(p place) string {
	switch {
	case g.config.Stream == allStream && p.Position.IsZero(), g.config.Stream != allStream && p.Revision < 0:
		return ""
	case g.config.Stream == allStream:
		return positionText(p.Position)
	}
	return fmt.Sprint(p.Revision)
}
