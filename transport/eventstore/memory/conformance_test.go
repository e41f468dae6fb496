package memory_test

import (
	"testing"
	"time"

	"strandline/transport/eventstore/memory"
	"strandline/transport/eventstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, clock func() time.Time) storetest.Instance {
		return storetest.Instance{
			EventStore: memory.New(memory.WithClock(clock)),
			MaxAppend:  memory.MaxAppend, Dense: true, Remembers: true, Extra: []byte("newer"),
		}
	})
}

func TestConformanceWithGaps(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, clock func() time.Time) storetest.Instance {
		return storetest.Instance{
			EventStore: memory.New(memory.WithClock(clock), memory.WithGaps(11)),
			MaxAppend:  memory.MaxAppend, Remembers: true, Extra: []byte("newer"),
		}
	})
}
