package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"strandline/domain"
)

// Bounds on what is read of an answer, whoever sends it.
const (
	longestLine   = 256 << 20
	longestAnswer = 64 << 20
	longestAsking = 2 * time.Minute // for an answer that comes as a whole
)

// get asks for a whole answer and reads it into a value.
func (c *client) get(ctx context.Context, path string, into any) error {
	return c.ask(ctx, http.MethodGet, path, nil, into)
}

// ask sends a request and reads the whole answer into a value, if there is one to read into.
func (c *client) ask(ctx context.Context, method, path string, body, into any) error {
	asking, stop := context.WithTimeoutCause(ctx, longestAsking, fmt.Errorf("no answer within %s", longestAsking))
	defer stop()
	answer, err := c.answer(asking, method, path, body, "application/json")
	if err != nil {
		return timedOut(ctx, asking, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, longestAnswer+1))
	if err == nil && len(text) > longestAnswer {
		return fmt.Errorf("the answer is longer than %d MiB: ask for less with --limit", longestAnswer>>20)
	}
	if err != nil {
		return timedOut(ctx, asking, brokeOff(ctx, err))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return notAsExpected(err)
	}
	return nil
}

// timedOut tells an end of our own patience from one that was asked for.
func timedOut(ctx, asking context.Context, err error) error {
	if ctx.Err() == nil && asking.Err() != nil {
		return fmt.Errorf("%w; ask again later", context.Cause(asking))
	}
	return err
}

// brokeOff says that an answer ended before it was complete, if that was not asked for.
func brokeOff(ctx context.Context, err error) error {
	var strange *strangeError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &strange):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the answer broke off: the server went away; ask again")
	}
	return fmt.Errorf("the answer broke off: %w; ask again", err)
}

// lines is an answer that comes as lines of JSON.
type lines struct {
	body io.ReadCloser
	head domain.Position // as of which the server answers, zero if it did not say
}

// lines asks for an answer in lines, to be closed by the caller.
func (c *client) lines(ctx context.Context, path string) (*lines, error) {
	answer, err := c.answer(ctx, http.MethodGet, path, nil, "application/x-ndjson")
	if err != nil {
		return nil, err
	}
	head, err := domain.ParsePosition(answer.Header.Get("Strandline-Position"))
	if err != nil {
		head = domain.Position{} // then there is no telling how far the reading is
	}
	return &lines{answer.Body, head}, nil
}

func (l *lines) close() { l.body.Close() }

// all yields the lines that are not empty, each valid until the next. It ends with an error where the answer broke off.
func (l *lines) all(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		from := bufio.NewReaderSize(l.body, 64<<10)
		var long []byte // what was read of a line that is longer than the reader's buffer
		for {
			part, err := from.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) && len(long) < longestLine {
				long = append(long, part...)
				continue
			}
			line := part
			if len(long) > 0 {
				line = append(long, part...)
			}
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			if err == nil && len(bytes.TrimSpace(line)) == 0 {
				long = long[:0]
				continue // a sign of life
			}
			if err == nil {
				err = whole(line)
			} else {
				err = brokeOff(ctx, unexpected(line, err))
			}
			if !yield(line, err) || err != nil {
				return
			}
			long = long[:0]
		}
	}
}

// unexpected is the end of an answer in the middle of a line.
func unexpected(line []byte, err error) error {
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return errors.New("a line is too long")
	case !errors.Is(err, io.EOF):
		return err
	case len(line) > 0 && line[0] != '{':
		return whole(line) // it never was what was asked for
	}
	return io.ErrUnexpectedEOF
}

// whole makes sure that a line is JSON, and not the last word of a server that could not go on.
func whole(line []byte) error {
	if !json.Valid(line) || line[0] != '{' {
		return notAsExpected(fmt.Errorf("a line begins %q", line[:min(len(line), 40)]))
	}
	if !bytes.HasPrefix(line, []byte(`{"error":`)) {
		return nil
	}
	var last struct{ Error string }
	if err := json.Unmarshal(line, &last); err != nil {
		return notAsExpected(err)
	}
	return exitWith(exitRefused, errors.New("the server could not go on: "+visible(last.Error)))
}
