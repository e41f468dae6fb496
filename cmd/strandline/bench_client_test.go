package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// client is one connection that sends prepared requests and reads no more of the answers than it must, so that two
// cores measure the server and not the client.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

// do sends a request and returns the status and the body's length.
func (c *client) do(request []byte) (status, length int, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, 0, err
	}
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 {
		return 0, 0, fmt.Errorf("no status line: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, err
	}
	length, chunked := 0, false
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, 0, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if chunked {
		length, err = c.skipChunks()
		return status, length, err
	}
	_, err = c.reader.Discard(length)
	return status, length, err
}

func (c *client) skipChunks() (total int, err error) {
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return total, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return total, err
		}
		if _, err := c.reader.Discard(int(size) + 2); err != nil {
			return total, err
		}
		if size == 0 {
			return total, nil
		}
		total += int(size)
	}
}

// request prepares a request with the plain form of Basic that lamp-core sends.
func request(method, path, credential string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, path)
	if credential != "" {
		fmt.Fprintf(&b, "Authorization: Basic %s\r\n", credential)
	}
	fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	return b.Bytes()
}

// load is what a run of many connections came to.
type load struct {
	requests  int
	elapsed   time.Duration
	latencies []time.Duration // sorted
}

func (l load) rate() float64 { return float64(l.requests) / l.elapsed.Seconds() }

func (l load) percentile(p float64) time.Duration {
	if len(l.latencies) == 0 {
		return 0
	}
	return l.latencies[min(len(l.latencies)-1, int(p/100*float64(len(l.latencies))))]
}

// run sends what next gives for a connection's n-th request, over the given number of connections, for a time or until
// each has sent at most a number of requests. With pace above 0 each connection sends one request in that time.
func run(address string, connections int, duration time.Duration, most int, pace time.Duration, next func(connection, n int) []byte) (load, error) {
	var (
		mu     sync.Mutex
		total  load
		failed error
		wg     sync.WaitGroup
	)
	begin := time.Now()
	for i := range connections {
		wg.Go(func() {
			latencies, err := runOne(address, begin, i, connections, duration, most, pace, next)
			mu.Lock()
			defer mu.Unlock()
			total.latencies = append(total.latencies, latencies...)
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	total.elapsed = time.Since(begin)
	total.requests = len(total.latencies)
	slices.Sort(total.latencies)
	return total, failed
}

func runOne(address string, begin time.Time, i, connections int, duration time.Duration, most int, pace time.Duration, next func(connection, n int) []byte) ([]time.Duration, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	var latencies []time.Duration
	due := begin.Add(pace * time.Duration(i) / time.Duration(connections))
	for n := 0; (most == 0 || n < most) && time.Since(begin) < duration; n++ {
		if pace > 0 {
			time.Sleep(time.Until(due)) // latency counts from when the request was due, so that a stall is not hidden
		} else {
			due = time.Now()
		}
		status, _, err := c.do(next(i, n))
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		if err != nil {
			return latencies, err
		}
		latencies = append(latencies, time.Since(due))
		due = due.Add(pace)
	}
	return latencies, nil
}

// readAll reads a whole answer, for what is asked once.
func (c *client) readAll(request []byte) (int, []byte, error) {
	var copied bytes.Buffer
	reader := c.reader
	c.reader = bufio.NewReaderSize(io.TeeReader(c.conn, &copied), 64<<10)
	defer func() { c.reader = reader }()
	status, length, err := c.do(request)
	if err != nil {
		return status, nil, err
	}
	return status, copied.Bytes()[copied.Len()-length:], nil
}
