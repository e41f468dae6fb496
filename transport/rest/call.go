package rest

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"time"

	"strandline/commands"
	"strandline/domain"
)

// Call is one request on its way through a dialect. The dialect fills in who is calling and what is asked for, as soon
// as it knows; what is known when something fails is what the record shows.
type Call struct {
	Meta      commands.Meta
	Attempted string          // access key that was tried, where the caller stays unknown: recorded as HMAC only
	Arrival   domain.Position // where the store ended when the request came; after Demands, at least what the client demands

	request   *http.Request
	writer    http.ResponseWriter
	pipeline  *Pipeline
	demand    domain.Position // zero for none
	senseless error           // what is wrong with the headers
	body      held
	read      bool // the body, to its end
	answer    *[]byte
	leaving   int64 // bytes of the answer that room was claimed for
	recorded  bool
	repeated  bool // it was told what had happened when it came before
	position  domain.Position
	known     bool
}

// Context is the request's. It ends when the client goes away.
func (c *Call) Context() context.Context { return c.request.Context() }

// Request is what net/http received. Its body is read with Body.
func (c *Call) Request() *http.Request { return c.request }

// Body reads the whole body, once. It is valid until the dialect has answered, so whatever outlives the call is copied.
// It fails with ErrTooLarge, ErrTooSlow, ErrBroken or *BusyError.
func (c *Call) Body() ([]byte, error) {
	if c.request.ContentLength == 0 {
		c.digest(nil)
		return nil, nil
	}
	body, err := c.pipeline.bodies.read(c.Context(), c.writer, c.request, &c.body)
	if err != nil {
		return nil, err
	}
	c.read = true
	c.digest(body)
	return body, nil
}

// digest remembers what was sent, where the client may send it again under the same key (decision 8).
func (c *Call) digest(body []byte) {
	if c.Meta.IdempotencyKey == "" {
		return
	}
	h := sha256.New()
	h.Write([]byte(c.request.Method))
	h.Write([]byte{0})
	h.Write([]byte(c.request.URL.RequestURI()))
	h.Write([]byte{0})
	h.Write(body)
	h.Sum(c.Meta.Digest[:0])
}

// Happened tells the call what a command did. Events that are new are the record of the request.
func (c *Call) Happened(r commands.Receipt) {
	if r.Changed && !r.Repeated {
		c.recorded = true
	}
	c.repeated = c.repeated || r.Repeated
	if !r.Position.IsZero() {
		c.ReadFrom(r.Position)
	}
}

// ReadFrom says up to where the answer knows what has happened; the client is told.
func (c *Call) ReadFrom(p domain.Position) { c.position, c.known = p, true }

// Buffer is an empty buffer for the answer, to be given back as its body. It is used again after the answer has left.
func (c *Call) Buffer() []byte {
	if c.answer == nil {
		c.answer = c.pipeline.borrowAnswer()
	}
	return (*c.answer)[:0]
}

// Waiting bounds ctx by how long a reply waits for read models.
func (c *Call) Waiting() (context.Context, context.CancelFunc) {
	ctx, stop := context.WithTimeout(c.Context(), c.pipeline.patience)
	if c.pipeline.tracer == nil {
		return ctx, stop
	}
	end := c.Step("wait")
	return ctx, func() { end(); stop() }
}

// Lasting is the request's context without its end, for what must not stop half-way because a client went away.
func (c *Call) Lasting() context.Context { return context.WithoutCancel(c.Context()) }

// address is the caller's, without port.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// lingering is how long net/http may look for the end of a body that was not read, before it answers.
const lingering = 250 * time.Millisecond

// deadlines keeps a client from holding a connection by not reading, or by a body that nobody reads.
func (c *Call) deadlines(size int) {
	now := time.Now()
	control := http.NewResponseController(c.writer)
	// A server without deadlines (a test recorder) has no slow clients either, so the errors say nothing.
	if !c.read && c.request.ContentLength != 0 {
		_ = control.SetReadDeadline(now.Add(lingering))
	}
	_ = control.SetWriteDeadline(now.Add(lingering + c.pipeline.bodies.grace + time.Duration(int64(size)/c.pipeline.bodies.least)*time.Second))
}
