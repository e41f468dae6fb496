package door

import (
	"fmt"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"strandline/domain"
)

// Strategies by which a group's events are handed to its consumers.
const (
	roundRobin          = "RoundRobin"
	dispatchToSingle    = "DispatchToSingle"
	pinned              = "Pinned"
	pinnedByCorrelation = "PinnedByCorrelation"
)

// Bounds on what a group may hold in memory.
const (
	mostBuffered = 10_000   // events of one group that are not with anybody yet
	mostTracked  = 20_000   // events of one group between its checkpoint and the last one read
	mostHeld     = 16 << 20 // bytes of the events of one group
	mostSlots    = 1_000    // events that one consumer may have at a time
)

// allStream is what the whole log is called where a stream's name stands.
const allStream = "$all"

// settings are a group's, as the protocol names them.
type settings struct {
	ResolveLinks    bool          `json:"resolveLinks,omitempty"`
	ExtraStatistics bool          `json:"extraStatistics,omitempty"`
	MaxRetries      int32         `json:"maxRetries"`
	MinCheckpoint   int32         `json:"minCheckpoint"`
	MaxCheckpoint   int32         `json:"maxCheckpoint"`
	MaxSubscribers  int32         `json:"maxSubscribers"` // 0 for any number
	LiveBuffer      int32         `json:"liveBuffer"`
	ReadBatch       int32         `json:"readBatch"`
	HistoryBuffer   int32         `json:"historyBuffer"`
	Timeout         time.Duration `json:"timeout"` // 0 for none
	CheckpointAfter time.Duration `json:"checkpointAfter"`
	Strategy        string        `json:"strategy"`
}

// sentSettings is what the messages for making and for changing a group have in common.
type sentSettings interface {
	GetResolveLinks() bool
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutTicks() int64
	GetMessageTimeoutMs() int32
	GetCheckpointAfterTicks() int64
	GetCheckpointAfterMs() int32
}

// settingsOf reads settings. What is zero and cannot be has the protocol's default.
func settingsOf(sent sentSettings, strategy string) (settings, error) {
	s := settings{
		ResolveLinks: sent.GetResolveLinks(), ExtraStatistics: sent.GetExtraStatistics(), MaxRetries: sent.GetMaxRetryCount(),
		MinCheckpoint: or(sent.GetMinCheckpointCount(), 10), MaxCheckpoint: or(sent.GetMaxCheckpointCount(), 1000),
		MaxSubscribers: sent.GetMaxSubscriberCount(), LiveBuffer: or(sent.GetLiveBufferSize(), 500),
		ReadBatch: or(sent.GetReadBatchSize(), 20), HistoryBuffer: or(sent.GetHistoryBufferSize(), 500),
		Timeout:         time.Duration(sent.GetMessageTimeoutMs())*time.Millisecond + time.Duration(sent.GetMessageTimeoutTicks())*100,
		CheckpointAfter: time.Duration(sent.GetCheckpointAfterMs())*time.Millisecond + time.Duration(sent.GetCheckpointAfterTicks())*100,
		Strategy:        strategy,
	}
	if max(sent.GetMessageTimeoutTicks(), sent.GetCheckpointAfterTicks()) > math.MaxInt64/200 {
		return s, fmt.Errorf("%w: a group's times are shorter than a century", domain.ErrInvalid)
	}
	s.CheckpointAfter = or(s.CheckpointAfter, 2*time.Second)
	switch {
	case min(s.MaxRetries, s.MinCheckpoint, s.MaxCheckpoint, s.MaxSubscribers, s.LiveBuffer, s.ReadBatch, s.HistoryBuffer) < 0,
		min(s.Timeout, s.CheckpointAfter) < 0:
		return s, fmt.Errorf("%w: a group's settings cannot be negative", domain.ErrInvalid)
	case s.LiveBuffer > mostBuffered || s.ReadBatch > mostBuffered:
		return s, fmt.Errorf("%w: a group buffers at most %d events", domain.ErrInvalid, mostBuffered)
	}
	switch strategy {
	case roundRobin, dispatchToSingle, pinned, pinnedByCorrelation:
		return s, nil
	}
	return s, fmt.Errorf("%w: there is no strategy %q: use %s, %s, %s or %s", domain.ErrInvalid, strategy,
		roundRobin, dispatchToSingle, pinned, pinnedByCorrelation)
}

// or is the default where nothing is given.
func or[N int32 | time.Duration](given, otherwise N) N {
	if given == 0 {
		return otherwise
	}
	return given
}

// config is what a group is made with, as it is stored.
type config struct {
	ID       domain.ID     `json:"id"` // a group that is made anew under the same name is another one
	Stream   string        `json:"stream"`
	Group    string        `json:"group"`
	From     string        `json:"from"`   // where the client asked it to begin, in the protocol's words
	Origin   place         `json:"origin"` // where that was
	Filter   *storedFilter `json:"filter,omitempty"`
	Settings settings      `json:"settings"`
}

// name is what the group's streams are named after.
func (c config) name() string { return groupPrefix + c.Stream + "::" + c.Group }

// Names of the streams that keep what groups are and how far they are.
const (
	configStream     = "$persistentSubscriptionConfig"
	groupPrefix      = "$persistentsubscription-"
	checkpointSuffix = "-checkpoint"
	parkedSuffix     = "-parked"
	typeConfig       = "$PersistentConfig"
	typeCheckpoint   = "$SubscriptionCheckpoint"
)

// place is up to where a group is done: a revision of its stream, or for a group of all events a position.
type place struct {
	Revision int64           `json:"revision"` // -1 for none
	Position domain.Position `json:"position"`
}

// storedFilter is a filter as it is stored.
type storedFilter struct {
	ByType   bool     `json:"byType,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Regex    string   `json:"regex,omitempty"`
}

func storedOf(sent *persistent.CreateReq_AllOptions_FilterOptions) *storedFilter {
	if sent == nil {
		return nil
	}
	f, expression := &storedFilter{}, sent.GetStreamIdentifier()
	if t := sent.GetEventType(); t != nil {
		f.ByType, expression = true, t
	}
	f.Prefixes, f.Regex = expression.GetPrefix(), expression.GetRegex()
	return f
}

// filter makes the stored filter one that picks.
func (f *storedFilter) filter() (*filter, error) {
	if f == nil {
		return nil, nil
	}
	expression := &streams.ReadReq_Options_FilterOptions_Expression{Prefix: f.Prefixes, Regex: f.Regex}
	asked := &streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: expression},
		Window: &streams.ReadReq_Options_FilterOptions_Count{Count: &shared.Empty{}},
	}
	if f.ByType {
		asked.Filter = &streams.ReadReq_Options_FilterOptions_EventType{EventType: expression}
	}
	return filterOf(&streams.ReadReq_Options{FilterOption: &streams.ReadReq_Options_Filter{Filter: asked}})
}
