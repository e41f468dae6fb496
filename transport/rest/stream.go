package rest

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"time"

	"strandline/domain/access"
)

// Stream is the body of an answer that is written bit by bit, in constant memory.
type Stream struct {
	body    *bufio.Writer
	control *http.ResponseController
	grace   time.Duration
}

// Write adds to the body.
func (s *Stream) Write(b []byte) (int, error) { return s.body.Write(b) }

// Flush sends what has been written to the client.
func (s *Stream) Flush() error {
	if err := s.body.Flush(); err != nil {
		return err
	}
	return s.inTime(s.control.Flush)
}

// inTime gives one write the time that any of them has, and what lies between them all the time that it takes: over
// HTTP/2 a deadline ends a stream even where nothing is being written.
func (s *Stream) inTime(write func() error) error {
	// A server without deadlines (a test recorder) has no slow clients either, so the errors say nothing.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.grace))
	err := write()
	_ = s.control.SetWriteDeadline(time.Time{})
	return err
}

// patient is a connection whose client may take its time over a stream as a whole, but not over any part of it.
type patient struct {
	w http.ResponseWriter
	s *Stream
}

func (p patient) Write(b []byte) (n int, err error) {
	err = p.s.inTime(func() (err error) {
		n, err = p.w.Write(b)
		return err
	})
	return n, err
}

// stream sends an answer whose body comes bit by bit. It is on the record that it was opened; that it ended, and how
// much it showed, is recorded under the same request (decision 10).
func (p *Pipeline) stream(c *Call, a Answer) {
	rows := 0
	defer func() { p.ended(c, rows) }()
	s := &Stream{control: http.NewResponseController(c.writer), grace: p.bodies.grace}
	s.body = bufio.NewWriterSize(patient{c.writer, s}, 32<<10)
	p.head(c, a)
	c.writer.WriteHeader(a.Status)
	var err error
	if c.request.Method != http.MethodHead {
		rows, err = a.Stream(c.Context(), s)
	}
	if err = errors.Join(err, s.Flush()); err != nil {
		p.complain(c, err)
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(s.grace)) // of what net/http writes at the end
}

func (p *Pipeline) ended(c *Call, rows int) {
	ctx, stop := context.WithTimeout(c.Lasting(), p.patience)
	defer stop()
	if _, err := p.recorder.Record(ctx, c.Meta, access.Ended{Rows: rows}); err != nil {
		p.log.Error("the end of a stream could not be recorded", "request", c.Meta.Request.String(), "error", err)
	}
}
