package esdb

import (
	"context"
	"fmt"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// A server that owes somebody an answer and says nothing to anybody is asked for a little thing after the first of these
// times, and given up after both: the network may swallow everything, and TCP and HTTP/2 need far longer to find that out.
// A server that is only slow with some answers is not given up.
const (
	doubt = 2 * time.Second
	grace = 2 * time.Second
)

// errSilent is why calls were ended that waited for a server that said nothing.
var errSilent = fmt.Errorf("%w: nothing has been heard of EventStoreDB for %s", errBroken, doubt+grace)

// watch has the server's silence noticed while answers are due. It is called with mu, and looks until none are.
func (l *link) watch() {
	if l.watched {
		return
	}
	l.watched = true
	l.heardAt.Store(time.Now().UnixNano())
	time.AfterFunc(doubt, l.look)
}

// heard notes that the server has said something.
func (l *link) heard() { l.heardAt.Store(time.Now().UnixNano()) }

// silent is for how long the server has said nothing.
func (l *link) silent() time.Duration { return time.Duration(time.Now().UnixNano() - l.heardAt.Load()) }

// look gives the server up if it says nothing even when it is asked, and looks again later else.
func (l *link) look() {
	if !l.enterIfDue() {
		return
	}
	since, silent := l.heardAt.Load(), l.silent()
	if silent < doubt {
		l.leave()
		time.AfterFunc(doubt-silent, l.look)
		return
	}
	if !l.answers() && l.heardAt.Load() == since {
		l.lose()
		l.gone(time.Unix(0, since))
		return
	}
	l.heard()
	time.AfterFunc(doubt, l.look)
}

// enterIfDue enters if somebody waits for an answer. If nobody does, the watch is over.
func (l *link) enterIfDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watched = l.calls > l.quiet; l.watched {
		l.calls++
	}
	return l.watched
}

// answers asks the server for its last event, and tells whether it says anything to that.
func (l *link) answers() bool {
	ctx, stop := context.WithTimeout(l.lost, grace)
	defer stop()
	_, err := raced(ctx, l, func() (*esdb.ResolvedEvent, error) {
		last, err := l.client.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
		if err != nil {
			return nil, err
		}
		defer last.Close()
		return last.Recv()
	})
	return ctx.Err() == nil && !broken(err)
}
