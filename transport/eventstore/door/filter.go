package door

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"strandline/domain"
)

// Bounds on filters, so that a client cannot make every event dear.
const (
	longestRegex  = 1024
	mostPrefixes  = 128
	defaultWindow = 32 // events looked at between checkpoints, times the client's multiplier
)

// filter picks events of the whole log by the name of their stream or type.
type filter struct {
	byType   bool
	prefixes []string
	regex    *regexp.Regexp
	window   int // after so many events looked at without showing one, the client is told how far that was
}

// filterOf reads what a client asks for; nil is everything. Regular expressions are RE2's: what that lacks, such as
// looking ahead, is refused.
func filterOf(o *streams.ReadReq_Options) (*filter, error) {
	asked := o.GetFilter()
	if asked == nil {
		return nil, nil
	}
	f := &filter{window: defaultWindow}
	expression := asked.GetStreamIdentifier()
	if t := asked.GetEventType(); t != nil {
		f.byType, expression = true, t
	}
	if asked.GetMax() > 0 {
		f.window = int(asked.GetMax())
	}
	f.window *= int(max(1, asked.GetCheckpointIntervalMultiplier()))
	f.prefixes = expression.GetPrefix()
	if len(f.prefixes) > mostPrefixes {
		return nil, fmt.Errorf("%w: a filter has at most %d prefixes", domain.ErrInvalid, mostPrefixes)
	}
	pattern := expression.GetRegex()
	if pattern == "" {
		return f, nil
	}
	if len(pattern) > longestRegex {
		return nil, fmt.Errorf("%w: a filter's regular expression has at most %d bytes", domain.ErrInvalid, longestRegex)
	}
	var err error
	if f.regex, err = regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("%w: the filter's regular expression is not one of RE2: %w", domain.ErrInvalid, err)
	}
	return f, nil
}

// wants tells whether the client asks for a record.
func (f *filter) wants(r domain.Record) bool {
	if f == nil {
		return true
	}
	name := r.Stream
	if f.byType {
		name = r.Type
	}
	if f.regex != nil {
		return f.regex.MatchString(name)
	}
	return slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
