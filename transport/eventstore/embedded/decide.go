package embedded

import (
	"strandline/commands"
	"strandline/domain"
)

// decide says at which revision a request goes in. It is false if the request is answered already: refused, repeated or
// empty.
func (c *committer) decide(r *request) (next uint64, ok bool) {
	current, err := c.current(r)
	if err != nil {
		r.err = err
		return 0, false
	}
	meets := r.expected == current
	switch r.expected {
	case domain.Any:
		meets = true
	case domain.StreamExists:
		meets = current != domain.NoStream
	}
	if len(r.items) > 0 && (meets != r.expected.IsExact()) {
		if known, err := c.repeated(r, current); known || err != nil {
			r.err = err
			return 0, false
		}
	}
	if !meets {
		r.err = &domain.WrongRevisionError{Stream: r.stream, Expected: r.expected, Current: current}
		return 0, false
	}
	if len(r.items) == 0 {
		r.result = commands.Appended{Revision: uint64(max(current, 0)), Position: positionOf(c.next + uint64(c.out.records) - 1)}
		return 0, false
	}
	return current.Next(), true
}

// current is where a stream ends, with what is about to be written.
func (c *committer) current(r *request) (domain.Expected, error) {
	if end, known := c.heads.get(r.stream, r.hash); known {
		return domain.Exactly(end.revision), nil
	}
	end, exists, err := c.head(r.stream, r.hash, r.seen.headUpTo, c.watermark())
	if !exists && r.seen.exists {
		end, exists = r.seen.end, true
	}
	if err != nil || !exists {
		return domain.NoStream, err
	}
	c.heads.set(r.stream, r.hash, end)
	return domain.Exactly(end.revision), nil
}

// repeated tells whether r has been appended before, and answers it if so. A partial repetition is a wrong revision.
func (c *committer) repeated(r *request, current domain.Expected) (bool, error) {
	if r.expected.IsExact() {
		return c.repeatedAt(r, r.expected.Next(), current)
	}
	for i := range r.items {
		found, err := c.find(r, i)
		if err != nil {
			return false, err
		}
		if i > 0 && len(found) > 0 {
			return false, &domain.WrongRevisionError{Stream: r.stream, Expected: r.expected, Current: current}
		}
		for _, f := range found {
			if same, err := c.repeatedAt(r, f.Revision, current); same || err != nil {
				return same, err
			}
		}
		if len(found) > 0 {
			return false, &domain.WrongRevisionError{Stream: r.stream, Expected: r.expected, Current: current}
		}
	}
	return false, nil
}

// repeatedAt tells whether r's records are those of its stream from a revision on, and answers it if so.
func (c *committer) repeatedAt(r *request, from uint64, current domain.Expected) (bool, error) {
	if current == domain.NoStream || from+uint64(len(r.items)) > current.Next() {
		return false, nil
	}
	result := commands.Appended{Repeated: true}
	for i := range r.items {
		found, err := c.find(r, i)
		if err != nil {
			return false, err
		}
		at := revisionIn(found, from+uint64(i))
		if at == nil {
			return false, nil
		}
		result.Revision, result.Position = at.Revision, at.Position
		result.All = append(result.All, at.Position)
	}
	r.result = result
	return true, nil
}

func revisionIn(records []domain.Record, revision uint64) *domain.Record {
	for i := range records {
		if records[i].Revision == revision {
			return &records[i]
		}
	}
	return nil
}

// find returns the records of r's stream that have the id of its i-th record.
func (c *committer) find(r *request, i int) ([]domain.Record, error) {
	return c.withID(sought{stream: r.stream, id: r.items[i].id, hash: r.items[i].event, beyond: r.seen.newUpTo, fetch: c.record})
}
