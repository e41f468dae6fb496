package codec

import (
	"encoding/json"
	"errors"
	"fmt"

	"strandline/domain"
	"strandline/domain/observation"
)

// columns is the stored form of observation.recorded, version 2.
type columns struct {
	Subject string            `json:"subject"`
	Channel string            `json:"channel"`
	Series  []string          `json:"series"`          // each name once, in the order in which they first occur
	Which   []int             `json:"which,omitempty"` // of the series, for each item; left out if there is but one
	Times   []*int64          `json:"times"`
	Values  []json.RawMessage `json:"values"`
}

var errColumns = errors.New("the columns do not fit each other")

func encodeColumns(dst []byte, e domain.Event) ([]byte, error) {
	r, ok := e.(observation.Recorded)
	if !ok {
		return nil, fmt.Errorf("%w: %T is no batch of observations", domain.ErrInvalid, e)
	}
	c := columns{Subject: r.Subject, Channel: r.Channel, Series: []string{}, Times: []*int64{}, Values: []json.RawMessage{}}
	seen := make(map[string]int)
	for _, item := range r.Items {
		n, ok := seen[item.Series]
		if !ok {
			n = len(c.Series)
			seen[item.Series] = n
			c.Series = append(c.Series, item.Series)
		}
		c.Which, c.Times, c.Values = append(c.Which, n), append(c.Times, item.Time), append(c.Values, item.Value)
	}
	if len(c.Series) < 2 {
		c.Which = nil
	}
	return encodeJSON(dst, c)
}

// EventType makes columns writable as an event.
func (columns) EventType() string { return "observation.recorded" }

func decodeColumns(data []byte) (domain.Event, error) {
	var c columns
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	n := len(c.Times)
	if len(c.Values) != n || c.Which != nil && len(c.Which) != n || n > 0 && len(c.Series) == 0 {
		return nil, errColumns
	}
	r := observation.Recorded{Subject: c.Subject, Channel: c.Channel}
	for i := range n {
		which := 0
		if c.Which != nil {
			which = c.Which[i]
		}
		if which < 0 || which >= len(c.Series) {
			return nil, errColumns
		}
		r.Items = append(r.Items, observation.Item{Time: c.Times[i], Series: c.Series[which], Value: c.Values[i]})
	}
	return r, nil
}
