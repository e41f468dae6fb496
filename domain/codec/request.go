package codec

import (
	"errors"
	"strconv"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/domain/rawjson"
)

var errRequest = errors.New("the request in it is broken")

// appendRequest appends r as JSON in the schema of its tags. It is written by hand because nearly every event has one.
func appendRequest(dst []byte, r *domain.Request) []byte {
	start := len(dst)
	dst = appendText(dst, `,"address":`, r.Address)
	dst = appendText(dst, `,"agent":`, r.Agent)
	dst = appendText(dst, `,"method":`, r.Method)
	dst = appendText(dst, `,"route":`, r.Route)
	dst = appendText(dst, `,"object":`, r.Object)
	if r.Status != 0 {
		dst = strconv.AppendInt(append(dst, `,"status":`...), int64(r.Status), 10)
	}
	dst = appendText(dst, `,"reason":`, r.Reason)
	dst = appendText(dst, `,"digest":`, r.Digest)
	if len(dst) == start {
		return append(dst, `{}`...)
	}
	dst[start] = '{'
	return append(dst, '}')
}

func appendText(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return rawjson.AppendString(append(dst, name...), text)
}

// decodeRequest undoes appendRequest. It passes over members that it does not know.
func decodeRequest(raw []byte) (*domain.Request, error) {
	rest := rawjson.Inside(raw, '{')
	if rest == nil {
		return nil, errRequest
	}
	r, ok := new(domain.Request), true
	for ok && len(rest) > 0 {
		var name, value []byte
		name, value, rest = rawjson.NextMember(rest)
		switch string(name) {
		case `"address"`:
			r.Address, ok = rawjson.String(value)
		case `"agent"`:
			r.Agent, ok = rawjson.String(value)
		case `"method"`:
			r.Method, ok = word(value)
		case `"route"`:
			r.Route, ok = rawjson.String(value)
		case `"object"`:
			r.Object, ok = rawjson.String(value)
		case `"status"`:
			var status int64
			status, ok = rawjson.Int64(value)
			r.Status = int(status)
		case `"reason"`:
			r.Reason, ok = rawjson.String(value)
		case `"digest"`:
			r.Digest, ok = rawjson.String(value)
		}
	}
	if !ok {
		return nil, errRequest
	}
	return r, nil
}

// word reads a string that is most often one of a few, which then take no memory.
func word(raw []byte) (string, bool) {
	switch string(raw) {
	case `"GET"`:
		return "GET", true
	case `"POST"`:
		return "POST", true
	case `"PUT"`:
		return "PUT", true
	case `"DELETE"`:
		return "DELETE", true
	case `"` + observation.LAMPSensor + `"`:
		return observation.LAMPSensor, true
	case `"` + observation.LAMPActivity + `"`:
		return observation.LAMPActivity, true
	}
	return rawjson.String(raw)
}
