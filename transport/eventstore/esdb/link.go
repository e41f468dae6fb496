package esdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// link is a client and the calls that are in it. The client talks to its own state machine over a channel that Close
// closes, and whoever sends to it then panics: so it is closed once nobody is in it any more, and not before.
type link struct {
	client *esdb.Client
	lost   context.Context // ends once nothing more is to be expected of the client
	lose   context.CancelFunc
	gone   func(since time.Time) // called when the server has said nothing for too long

	heardAt atomic.Int64 // when the server said something last, while it is watched; nanoseconds

	mu      sync.Mutex
	calls   int
	quiet   int // of these, those that no answer is due to
	watched bool
	retired bool
}

// newLink makes a client, with the call of whoever makes it in it, until closing ends. Told is called with the address of
// the leader, whenever a server names another one.
func newLink(closing context.Context, settings esdb.Configuration, told func(esdb.EndPoint)) (*link, error) {
	settings.Logger = overheard(told)
	client, err := esdb.NewClient(&settings)
	l := &link{client: client, calls: 1, quiet: 1}
	l.lost, l.lose = context.WithCancel(closing)
	return l, err
}

// enter counts one more call.
func (l *link) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.watch()
}

// hush says that a call goes on, but no answer to it is due.
func (l *link) hush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quiet++
}

// expect takes back a hush.
func (l *link) expect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quiet--
	l.watch()
}

// leave counts one call less.
func (l *link) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls--
	l.closeIfDone()
}

// retire has the client closed after its last call. Nobody enters it any more.
func (l *link) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = true
	l.closeIfDone()
}

func (l *link) closeIfDone() {
	if l.retired && l.calls == 0 {
		l.lose()
		_ = l.client.Close() // never fails
	}
}

// What the client says to its log right before it asks its state machine for another connection, and right after it has
// asked for one to the leader.
const (
	saysFailed    = "unexpected exception: %v"
	saysNotLeader = "not leader exception, reconnecting to %v"
)

// overheard is a log for a client, which keeps its state machine from looking for another connection. While it looks,
// everybody who calls the client hangs, deadline or not; once it has given up, they hang for ever. What it says to its
// log about a broken connection comes before that, in the goroutine of the call, and a panic there ends the call.
func overheard(told func(esdb.EndPoint)) esdb.LoggingFunc {
	return func(_ esdb.LogLevel, format string, args ...any) {
		if len(args) != 1 {
			return
		}
		switch arg := args[0].(type) {
		case error:
			if format == saysFailed && status.Code(arg) == codes.Unavailable {
				panic(arg)
			}
		case esdb.EndPoint:
			if format == saysNotLeader {
				told(arg)
			}
		}
	}
}

// errBroken says that a client is not to be used any more.
var errBroken = errors.New("the connection is broken")

// caught turns a panic of the client into an error.
func caught(err *error) {
	switch v := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("%w: %w", errBroken, v)
	default:
		*err = fmt.Errorf("%w: the client of EventStoreDB panicked: %v", errBroken, v)
	}
}
