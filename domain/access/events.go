// Package access records requests that changed nothing: those that were served and those that were refused. There is
// one stream for each node and day, so that none grows for ever.
package access

// Outcomes.
const (
	OutcomeServed  = "served"  // answered as asked
	OutcomeRefused = "refused" // not allowed, not found, not understood, or failed
	OutcomeQuiet   = "quiet"   // a command that found nothing to do
	OutcomeFlooded = "flooded" // many requests of nobody known, counted in one record
)

// Served says that a request was answered and changed nothing. Type "access.served".
type Served struct {
	Rows    int    `json:"rows"`              // how many objects or observations were shown
	Outcome string `json:"outcome,omitempty"` // OutcomeQuiet, else empty
}

// Refused says that a request was turned away. Type "access.refused".
type Refused struct {
	Code      string `json:"code"`                // the dialect's error code, such as "404.resource-not-found"
	Attempted string `json:"attempted,omitempty"` // HMAC of the access key tried, where the caller is not known
}

// Ended says that a stream of answers that Served opened has closed. Type "access.ended".
type Ended struct {
	Rows int `json:"rows"`
}

// Flooded says that many requests came from one source at once, without anybody signed in. It stands for all of them,
// where the first few have records of their own. Type "access.flooded".
type Flooded struct {
	Count   int        `json:"count"`             // how many requests
	From    int64      `json:"from"`              // when the first was answered, in milliseconds since 1970
	To      int64      `json:"to"`                // when the last was
	Refused []Refusals `json:"refused,omitempty"` // how many were refused; the rest were answered as asked
}

// Refusals counts requests that were turned away for the same reason.
type Refusals struct {
	Code  string `json:"code"` // as in Refused
	Count int    `json:"count"`
}

func (Served) EventType() string  { return "access.served" }
func (Refused) EventType() string { return "access.refused" }
func (Ended) EventType() string   { return "access.ended" }
func (Flooded) EventType() string { return "access.flooded" }

// Stream is the stream of one node and day (YYYYMMDD, UTC).
func Stream(node, day string) string { return "access-" + node + "-" + day }
