package embedded

// rows yields rows in ascending order, then false.
type rows[T any] func() (row T, ok bool, err error)

// merged is the content of several runs that follow each other.
func merged(runs []*run) content {
	c := content{first: runs[0].first, last: runs[len(runs)-1].last}
	var streams []rows[streamRow]
	var events []rows[eventRow]
	for _, r := range runs {
		c.segments += r.segments
		c.streams += r.streams
		streams = append(streams, r.streamRows())
		events = append(events, r.eventRows())
	}
	c.streamRows = mergeRows(streams, streamRow.compare)
	c.eventRows = mergeRows(events, eventRow.compare)
	return c
}

// streamRows yields all entries of streams.
func (r *run) streamRows() rows[streamRow] {
	var page streamPage
	index, at := 0, 0
	return func() (row streamRow, ok bool, err error) {
		if at == page.len() {
			if index == len(r.streamFences) {
				return row, false, nil
			}
			if page, err = r.streamsAt(index); err != nil {
				return row, false, err
			}
			index, at = index+1, 0
		}
		row.hash, row.entry = page.at(at)
		at++
		return row, true, nil
	}
}

// eventRows yields all entries of events.
func (r *run) eventRows() rows[eventRow] {
	var page eventPage
	index, at := 0, 0
	return func() (row eventRow, ok bool, err error) {
		if at == page.len() {
			if index == len(r.eventFences) {
				return row, false, nil
			}
			if page, err = r.eventsAt(index); err != nil {
				return row, false, err
			}
			index, at = index+1, 0
		}
		row.hash, row.position = page.at(at)
		at++
		return row, true, nil
	}
}

// sliceRows yields the elements of a slice.
func sliceRows[T any](slice []T) rows[T] {
	return func() (row T, ok bool, err error) {
		if len(slice) == 0 {
			return row, false, nil
		}
		row, slice = slice[0], slice[1:]
		return row, true, nil
	}
}

// mergeRows merges ascending rows into one.
func mergeRows[T any](sources []rows[T], compare func(a, b T) int) rows[T] {
	type front struct {
		row  T
		rest rows[T]
	}
	var fronts []front
	return func() (row T, ok bool, err error) {
		for _, rest := range sources { // only the first time
			first, ok, err := rest()
			if err != nil {
				return row, false, err
			}
			if ok {
				fronts = append(fronts, front{first, rest})
			}
		}
		sources = nil
		if len(fronts) == 0 {
			return row, false, nil
		}
		least := 0
		for i := 1; i < len(fronts); i++ {
			if compare(fronts[i].row, fronts[least].row) < 0 {
				least = i
			}
		}
		row = fronts[least].row
		if fronts[least].row, ok, err = fronts[least].rest(); !ok {
			fronts = append(fronts[:least], fronts[least+1:]...)
		}
		return row, err == nil, err
	}
}
