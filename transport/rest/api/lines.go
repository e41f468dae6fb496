package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"strandline/domain"
	"strandline/transport/rest"
)

// lineWriter writes an answer of one JSON value a line. In a long answer it looks now and then whether the client is still
// there, and still who it was.
type lineWriter struct {
	*call
	to    *rest.Stream
	json  *json.Encoder
	limit int // 0 is no limit
	rows  int

	scanned int
	idle    bool // nothing has been written since the last pulse
	beaten  time.Time
	trusted time.Time // when the caller was last asked who it is
}

// errFull ends an answer that has as many rows as were asked for, or whose client has gone away.
var errFull = errors.New("the answer is complete")

// errStopping ends an answer in the middle because the server stops.
var errStopping = fmt.Errorf("%w: the server stops", domain.ErrUnavailable)

// broken is the last line of an answer that did not come to its end.
type broken struct {
	Error string `json:"error" about:"what went wrong, and what to do about it"`
	Code  string `json:"code" about:"that of the problem"`
}

// lines is an answer that write writes, of which only so many are open at a time. It ends when the server stops.
func (c *call) lines(write func(context.Context, *lineWriter) error) rest.Answer {
	return rest.Answer{
		Status:  http.StatusOK,
		Headers: []string{"Content-Type", mediaLines},
		Stream: func(ctx context.Context, to *rest.Stream) (int, error) {
			w := &lineWriter{call: c, to: to, json: json.NewEncoder(to), limit: c.query.number("limit"), idle: true, beaten: time.Now(), trusted: time.Now()}
			w.json.SetEscapeHTML(false) // what clients sent is shown as they sent it
			err := w.run(ctx, write)
			return w.rows, err
		},
	}
}

func (w *lineWriter) run(ctx context.Context, write func(context.Context, *lineWriter) error) error {
	select {
	case w.streams <- struct{}{}:
	default:
		return w.breakOff(ctx, &rest.BusyError{With: "answers in lines", After: 10 * time.Second})
	}
	defer func() { <-w.streams }()
	untilStop, stop := w.untilStop(ctx)
	defer stop()
	err := write(untilStop, w)
	switch {
	case err == nil, errors.Is(err, errFull):
		return nil
	case untilStop.Err() != nil && ctx.Err() == nil:
		err = errStopping
	}
	return w.breakOff(ctx, err)
}

// breakOff tells the client that there would have been more, and why there is not.
func (w *lineWriter) breakOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil // the client has gone away
	}
	p := worded(err)
	return errors.Join(err, w.json.Encode(broken{p.Title + " " + p.Remedy, p.Code}))
}

// write writes a line. It fails with errFull when there is to be no other.
func (w *lineWriter) write(v any) error {
	if w.json.Encode(v) != nil {
		return errFull // the client has gone away
	}
	w.idle = false
	if w.rows++; w.rows == w.limit {
		return errFull
	}
	return nil
}

// pass is called for each row that is looked at, written or not.
func (w *lineWriter) pass() error {
	const now = 1024 // so many rows are looked at in an instant
	if w.scanned++; w.scanned%now != 0 {
		return nil
	}
	return w.lookUp()
}

// lookUp gives a sign of life where it is time for one, and makes sure now and then that the caller is who it was.
func (w *lineWriter) lookUp() error {
	switch {
	case time.Since(w.beaten) >= w.pulse:
		return w.beat()
	case time.Since(w.trusted) >= w.trust:
		return w.again()
	}
	return nil
}

// again makes sure that the caller is who it was when the answer began.
func (w *lineWriter) again() error {
	w.trusted = time.Now()
	return w.still()
}

// beat gives a sign of life, and makes sure that the caller is who it was when the answer began.
func (w *lineWriter) beat() error {
	w.beaten = time.Now()
	if err := w.again(); err != nil {
		return err
	}
	if w.idle {
		if _, err := w.to.Write([]byte("\n")); err != nil {
			return errFull
		}
	}
	w.idle = true
	return w.flush()
}

func (w *lineWriter) flush() error {
	if w.to.Flush() != nil {
		return errFull
	}
	return nil
}

// log writes the selected events until the head that there was at the request's arrival, and with follow goes on.
func (c *call) log(ctx context.Context, s selection, w *lineWriter) error {
	for r, err := range c.history(ctx, s) {
		if err == nil {
			err = w.record(ctx, s, r)
		}
		if err != nil {
			return err
		}
	}
	if !c.query.flag("follow") {
		return nil
	}
	if s.after.Before(c.Arrival) {
		s.after = c.Arrival
	}
	return c.follow(ctx, s, w)
}

// record writes the line of a record, if it is selected.
func (w *lineWriter) record(ctx context.Context, s selection, r domain.Record) error {
	if s.over(&r.Envelope) {
		return errFull
	}
	if e, ok := w.selected(ctx, s, r); ok {
		if err := w.write(e); err != nil {
			return err
		}
	}
	return w.pass()
}

// batch is what one step of following brings.
type batch struct {
	records []domain.Record
	err     error
}

// follow writes the selected events as they happen.
func (c *call) follow(ctx context.Context, s selection, w *lineWriter) error {
	if err := w.flush(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	batches := make(chan batch)
	var following sync.WaitGroup
	following.Go(func() { c.send(ctx, s.after, batches) })
	defer following.Wait()
	defer stop()
	pulse := time.NewTicker(c.pulse)
	defer pulse.Stop()
	for {
		var err error
		select {
		case b := <-batches:
			err = w.batch(ctx, s, b)
		case <-pulse.C:
			err = w.beat()
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return errFull // it has seen all that happened while it was there
		}
		if err != nil {
			return err
		}
	}
}

// send sends what happens after a position, until ctx ends or something fails.
func (c *call) send(ctx context.Context, after domain.Position, to chan<- batch) {
	for records, err := range c.Log.Follow(ctx, after) {
		select {
		case to <- batch{records, err}:
		case <-ctx.Done():
			return
		}
	}
}

// batch writes the lines of a batch to those who may still see them: whatever the batch has changed is known by then.
func (w *lineWriter) batch(ctx context.Context, s selection, b batch) error {
	if b.err != nil || len(b.records) == 0 {
		return b.err
	}
	w.Arrival = b.records[len(b.records)-1].Position
	if err := w.again(); err != nil {
		return err
	}
	for _, r := range b.records {
		if err := w.record(ctx, s, r); err != nil {
			return err
		}
	}
	return w.flush()
}
