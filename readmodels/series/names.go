package series

import "strandline/readmodels"

// stream returns what is known of a stream, which begins here if it is new.
func (w *Writer) stream(tx *readmodels.Tx, name streamName) (*stream, error) {
	if s := w.streams[name]; s != nil {
		return s, nil
	}
	id, err := streamID(tx, name)
	if err != nil {
		return nil, err
	}
	s := &stream{id: id, series: map[string]int64{}}
	if id == 0 {
		s.id, err = findName(tx, "INSERT INTO stream (subject, channel) VALUES (?, ?) RETURNING id", name.subject, name.channel)
	} else {
		err = s.load(tx)
	}
	if err != nil {
		return nil, err
	}
	w.streams[name] = s
	w.known++
	return s, nil
}

// load measures the stream's fresh samples in the file.
func (s *stream) load(tx *readmodels.Tx) error {
	for row, err := range tx.Query("SELECT count(*), sum(events), sum(samples), sum(size) FROM fresh WHERE id >= ? AND id < ?",
		freshID(s.id, 0), freshID(s.id+1, 0)) {
		if err != nil {
			return err
		}
		s.stored = row.Int(0)
		s.fresh = tally{row.Int(1), row.Int(2), row.Int(3)}
	}
	return nil
}

// series returns the id of a series of s, which begins here if it is new.
func (w *Writer) series(tx *readmodels.Tx, s *stream, name string) (int64, error) {
	if id := s.series[name]; id != 0 {
		return id, nil
	}
	id, err := seriesID(tx, s.id, name)
	if err == nil && id == 0 {
		id, err = findName(tx, "INSERT INTO series (stream, name) VALUES (?, ?) RETURNING id", s.id, name)
	}
	if err != nil {
		return 0, err
	}
	s.series[name] = id
	w.known++
	return id, nil
}

// streamID finds a stream; 0 if there is none.
func streamID(tx *readmodels.Tx, name streamName) (int64, error) {
	return findName(tx, "SELECT id FROM stream WHERE subject = ? AND channel = ?", name.subject, name.channel)
}

// seriesID finds a series of a stream; 0 if there is none.
func seriesID(tx *readmodels.Tx, stream int64, name string) (int64, error) {
	return findName(tx, "SELECT id FROM series WHERE stream = ? AND name = ?", stream, name)
}

// findName returns the id that query yields, 0 if it yields none.
func findName(tx *readmodels.Tx, query string, args ...any) (id int64, err error) {
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return 0, err
		}
		id = row.Int64(0)
	}
	return id, nil
}

// seriesName returns the name of a series.
func seriesName(tx *readmodels.Tx, id int64) (name string, err error) {
	for row, err := range tx.Query("SELECT name FROM series WHERE id = ?", id) {
		if err != nil {
			return "", err
		}
		name = row.Text(0)
	}
	return name, nil
}
