package series

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"strandline/readmodels"
)

// Dump writes all samples as lines of JSON, ordered by subject, channel, series, time, position and index. It is the
// same for the same log, however its chunks lie.
func (s *Store) Dump(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	next := streamName{}
	for {
		streams, err := s.streams(ctx, next)
		if err != nil {
			return fmt.Errorf("dump series: %w", err)
		}
		if len(streams) == 0 {
			return out.Flush()
		}
		for _, name := range streams {
			if err := s.dumpStream(ctx, name, out); err != nil {
				return fmt.Errorf("dump series: %w", err)
			}
			next = streamName{name.subject, after(name.channel)}
		}
	}
}

// namesAtATime bounds how many names a dump holds.
const namesAtATime = 1000

// after is the first text behind s in the order of bytes.
func after(s string) string { return s + "\x00" }

// streams lists some streams from the given one on, in order.
func (s *Store) streams(ctx context.Context, from streamName) (names []streamName, err error) {
	err = s.db.View(ctx, func(tx *readmodels.Tx) error {
		for row, err := range tx.Query(`SELECT subject, channel FROM stream WHERE (subject, channel) >= (?, ?)
ORDER BY subject, channel LIMIT ?`, from.subject, from.channel, namesAtATime) {
			if err != nil {
				return err
			}
			names = append(names, streamName{row.Text(0), row.Text(1)})
		}
		return nil
	})
	return names, err
}

// series lists some series of a stream from the given one on, in order.
func (s *Store) series(ctx context.Context, of streamName, from string) (names []string, err error) {
	err = s.db.View(ctx, func(tx *readmodels.Tx) error {
		id, err := streamID(tx, of)
		if err != nil {
			return err
		}
		for row, err := range tx.Query("SELECT name FROM series WHERE stream = ? AND name >= ? ORDER BY name LIMIT ?",
			id, from, namesAtATime) {
			if err != nil {
				return err
			}
			names = append(names, row.Text(0))
		}
		return nil
	})
	return names, err
}

func (s *Store) dumpStream(ctx context.Context, name streamName, out *bufio.Writer) error {
	next := ""
	for {
		series, err := s.series(ctx, name, next)
		if err != nil || len(series) == 0 {
			return err
		}
		for _, one := range series {
			q := Query{Subject: name.subject, Channel: name.channel, Series: one, Ascending: true}
			if err := s.dumpSeries(ctx, q, out); err != nil {
				return err
			}
			next = after(one)
		}
	}
}

func (s *Store) dumpSeries(ctx context.Context, q Query, out *bufio.Writer) error {
	var line []byte
	for sample, err := range s.each(ctx, &reading{query: q, named: true}) {
		if err != nil {
			return err
		}
		line = AppendLine(line[:0], q.Subject, sample)
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// AppendLine appends a sample of a subject as a line of JSON, its members in the order of their names, its value as it was
// sent: a line of a dump.
func AppendLine(dst []byte, subject string, s Sample) []byte {
	dst = appendText(append(dst, `{"channel":`...), s.Channel)
	dst = strconv.AppendInt(append(dst, `,"index":`...), int64(s.Index), 10)
	dst = appendText(append(dst, `,"position":`...), s.Position.String())
	dst = appendText(append(dst, `,"series":`...), s.Series)
	dst = appendText(append(dst, `,"subject":`...), subject)
	dst = append(dst, `,"time":`...)
	if s.Time == nil {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendInt(dst, *s.Time, 10)
	}
	dst = append(append(dst, `,"value":`...), s.Value...)
	return append(dst, '}', '\n')
}

// appendText appends s as JSON.
func appendText(dst []byte, s string) []byte {
	text := bytes.NewBuffer(dst)
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	encoder.Encode(s) // a string never fails
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}
