package lamp

import (
	"strconv"

	"strandline/domain/rawjson"
	"strandline/domain/registry"
	"strandline/transport/rest"
)

// renotify gives each entry of an updated schedule fresh notification_ids: one, or one for each custom_time of a custom
// schedule. Mobile apps match notifications by them (contract, section 5.4).
func (c *call) renotify(attributes registry.Attributes) error {
	schedule, ok := attributes["schedule"]
	if !ok || c.object.Kind != registry.Activity {
		return nil
	}
	random := c.Bus.IDs(c.Meta)
	draw := func() (uint64, error) {
		n, err := rest.DrawNumber(random, 1_000_000)
		return n + 1, err
	}
	renewed := []byte{'['}
	rows := 0
	for entry := range rawjson.Elements(schedule) {
		renewed = separate(renewed, rows)
		var err error
		if renewed, err = appendEntry(renewed, entry, draw); err != nil {
			return err
		}
		rows++
	}
	attributes["schedule"] = append(renewed, ']')
	return nil
}

// appendEntry appends a schedule's entry as it was sent, but for its notification_ids.
func appendEntry(dst, entry []byte, draw func() (uint64, error)) ([]byte, error) {
	dst = append(dst, '{')
	custom, times := false, 0
	for name, value, rest := nextMember(rawjson.Inside(entry, '{')); name != nil; name, value, rest = nextMember(rest) {
		switch string(plain(name)) {
		case "notification_ids":
			continue
		case "repeat_interval":
			custom = string(value) == `"custom"`
		case "custom_time":
			times = count(value)
		}
		dst = append(append(append(append(dst, name...), ':'), value...), ',')
	}
	if !custom {
		times = 1
	}
	dst = append(dst, `"notification_ids":[`...)
	for i := range times {
		n, err := draw()
		if err != nil {
			return nil, err
		}
		dst = strconv.AppendUint(separate(dst, i), n, 10)
	}
	return append(dst, ']', '}'), nil
}

// nextMember splits the first member off the inside of an object. The name is nil at its end.
func nextMember(inside []byte) (name, value, rest []byte) {
	if len(inside) == 0 {
		return nil, nil, nil
	}
	name, rest = rawjson.Next(inside)
	value, rest = rawjson.Next(rest)
	return name, value, rest
}

// count is the number of elements of an array; anything else has none.
func count(raw []byte) (n int) {
	for range rawjson.Elements(raw) {
		n++
	}
	return n
}
