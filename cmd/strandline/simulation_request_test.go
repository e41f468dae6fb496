package main

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"strandline/domain"
	"strandline/domain/access"
)

// simDeed is what somebody wants to come about. It is asked for once, or with an idempotency key several times.
type simDeed struct {
	key      string // of idempotency
	secret   string // that is given to a credential
	nothing  bool   // it is so already: no event is wanted
	check    func(events []domain.Recorded) error
	attempts []*simRequest
	events   []domain.Recorded // that came of it
	by       *simRequest       // the attempt that they came of
}

// simRequest is one HTTP request and what came of it.
type simRequest struct {
	name           string    // unlike that of any other; sent as its reason, so that it is found on the record
	as             *simLogin // nil: nobody
	secret         string    // that is sent
	bearer         string    // in place of both
	address        string
	method, path   string
	body, accept   string
	minimum        string        // position that is demanded
	hangUp         time.Duration // after which the client goes away, 0: it waits
	deed           *simDeed      // nil: nothing is to come about
	want           []int         // statuses that are right
	check          func(answer string) error
	unrecorded     bool // OPTIONS and probes leave no record
	anybodysSecret bool // the caller signs in wrongly, so it is anonymous

	answered  bool
	status    int
	answer    string
	id        domain.ID
	position  domain.Position
	began     time.Time
	records   []domain.Recorded // access events
	events    []domain.Recorded // others
	different []domain.ID       // request ids under which it is on the record
}

// String tells what was asked and what came of it.
func (r *simRequest) String() string {
	who := "nobody"
	if r.as != nil {
		who = r.as.accessKey
	}
	told := "no answer"
	if r.answered {
		told = fmt.Sprintf("%d at %s %.100q", r.status, r.position, r.answer)
	}
	key := ""
	if r.deed != nil && r.deed.key != "" {
		key = " key " + r.deed.key
	}
	return fmt.Sprintf("%s %v %s: %s %s%s %.100q: %s", r.name, r.began.Sub(simBegin), who, r.method, r.path, key, r.body, told)
}

// simBegin is when time begins in a bubble of synctest.
var simBegin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// send sends a request and takes the answer, unless the client hangs up before or the power goes meanwhile.
func (l *simLife) send(r *simRequest) bool {
	r.began = time.Now()
	conn, err := l.wire.dial(cmp.Or(r.address, "10.0.0.1") + ":1000")
	if err != nil {
		return false
	}
	defer conn.Close()
	if r.hangUp > 0 {
		defer time.AfterFunc(r.hangUp, func() { conn.Close() }).Stop()
	}
	out, err := r.http()
	if err != nil {
		l.t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = out.Write(conn) // the server need not hear all of it
	}()
	defer func() { conn.Close(); <-written }()
	in, err := http.ReadResponse(bufio.NewReader(conn), out)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(in.Body)
	if err != nil || l.sys.Crashed() {
		return false
	}
	return r.take(in, body)
}

func (r *simRequest) http() (*http.Request, error) {
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	out, err := http.NewRequest(r.method, "http://machine"+r.path, body)
	if err != nil {
		return nil, err
	}
	out.Close = true
	out.Header.Set("Strandline-Reason", r.name)
	if r.as != nil {
		out.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(r.as.accessKey+":"+cmp.Or(r.secret, r.as.secret))))
	}
	if r.bearer != "" {
		out.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	for name, value := range map[string]string{"Accept": r.accept, "Strandline-Min-Position": r.minimum} {
		if value != "" {
			out.Header.Set(name, value)
		}
	}
	if r.deed != nil && r.deed.key != "" {
		out.Header.Set("Idempotency-Key", r.deed.key)
	}
	return out, nil
}

// take reads an answer.
func (r *simRequest) take(in *http.Response, body []byte) bool {
	r.answered, r.status, r.answer = true, in.StatusCode, string(body)
	if id, err := domain.ParseID(in.Header.Get("Strandline-Request")); err == nil {
		r.id = id
	}
	if at, err := domain.ParsePosition(in.Header.Get("Strandline-Position")); err == nil {
		r.position = at
	}
	return r.status == http.StatusOK || r.status == http.StatusCreated || r.status == http.StatusAccepted
}

// judge compares the answer with what was wanted. In trouble the server may say that it cannot do it now.
func (r *simRequest) judge(trouble bool) error {
	if !r.answered {
		return nil
	}
	if !slices.Contains(r.want, r.status) {
		if trouble && r.status >= 500 {
			return nil
		}
		return fmt.Errorf("it was answered with %d, not with %v", r.status, r.want)
	}
	if r.check != nil && r.status < 300 {
		return r.check(r.answer)
	}
	return nil
}

// account judges what of the request is on the record.
func (r *simRequest) account() error {
	switch {
	case len(r.different) > 1:
		return fmt.Errorf("it is on the record as %d requests", len(r.different))
	case len(r.records) > 1:
		return fmt.Errorf("it is on the record %d times", len(r.records))
	case !r.answered:
		return nil
	case r.unrecorded && len(r.different) > 0:
		return fmt.Errorf("it is on the record, and should not be")
	case r.unrecorded, r.status >= 500: // what cannot be recorded is not served
		return nil
	case len(r.different) == 0:
		return fmt.Errorf("it was answered, and is not on the record")
	case r.different[0] != r.id:
		return fmt.Errorf("it is on the record as %s, and was told %s", r.different[0], r.id)
	case len(r.records) > 0 && len(r.events) > 0:
		return fmt.Errorf("it is on the record as a change and as none")
	}
	return r.recordedAs()
}

// recordedAs compares what is on the record with what was answered.
func (r *simRequest) recordedAs() error {
	actor := "anonymous"
	switch {
	case r.as == nil || r.anybodysSecret:
	case r.as.origin == nil:
		actor = "root"
	default:
		actor = r.as.origin.id
	}
	for _, e := range slices.Concat(r.records, r.events) {
		if e.Actor != actor {
			return fmt.Errorf("%s is recorded of %s, not of %s", e.Type, e.Actor, actor)
		}
		if e.Request != nil && e.Request.Status != r.status {
			return fmt.Errorf("%s is recorded with status %d, and was answered with %d", e.Type, e.Request.Status, r.status)
		}
		if _, refused := e.Event.(access.Refused); refused != (r.status >= 400) && len(r.records) > 0 {
			return fmt.Errorf("%s is recorded of an answer with status %d", e.Type, r.status)
		}
	}
	return nil
}

// account judges what came of a deed: all or nothing of it, once, and what was acknowledged in any case.
func (d *simDeed) account() error {
	var acknowledged *simRequest
	var by []*simRequest
	for _, r := range d.attempts {
		if len(r.events) > 0 {
			by = append(by, r)
		}
		if r.answered && r.status < 300 {
			acknowledged = r
		}
	}
	if len(by) > 1 {
		return fmt.Errorf("it was done %d times", len(by))
	}
	if len(by) == 0 {
		if acknowledged != nil && !d.nothing {
			return fmt.Errorf("%s was acknowledged, and nothing came of it", acknowledged.name)
		}
		return nil
	}
	d.by, d.events = by[0], by[0].events
	if d.nothing {
		return fmt.Errorf("something came of it although it was so already")
	}
	if err := d.check(d.events); err != nil {
		return err
	}
	last := d.events[len(d.events)-1].Position
	for _, r := range d.attempts {
		if r.answered && r.status < 300 && r.position != last {
			return fmt.Errorf("%s was told position %s, and it ends at %s", r.name, r.position, last)
		}
		if r.answered && r.status >= 400 && r.status < 500 && r == d.by {
			return fmt.Errorf("%s was refused with %d, and was done all the same", r.name, r.status)
		}
	}
	return nil
}
