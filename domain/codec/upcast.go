package codec

import (
	"encoding/json"

	"strandline/domain/observation"
)

// An upcaster rewrites data of one version of a type to the next. It is pure and is never removed: what is stored stays.
type upcaster func(data []byte) ([]byte, error)

// listToColumns rewrites observation.recorded from version 1, a list of objects, to version 2, columns.
func listToColumns(data []byte) ([]byte, error) {
	var list struct {
		Subject string `json:"subject"`
		Channel string `json:"channel"`
		Items   []struct {
			Time   *int64          `json:"time"`
			Series string          `json:"series"`
			Value  json.RawMessage `json:"value"`
		} `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	r := observation.Recorded{Subject: list.Subject, Channel: list.Channel}
	for _, item := range list.Items {
		r.Items = append(r.Items, observation.Item(item))
	}
	return encodeColumns(nil, r)
}
