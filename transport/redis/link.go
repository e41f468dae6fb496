package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"strandline/domain"
)

// Link is how a process reaches Redis. It dials when there is something to ask, and again after each failure: nobody has to
// be there when it is opened.
type Link struct {
	client *goredis.Client
	log    *slog.Logger
}

// Bounds of what a process waits for Redis.
const (
	dialTime   = time.Second
	answerTime = time.Second
)

// Open returns a Link with the Redis at a URL: redis://[USER:PASSWORD@]HOST:PORT/DB, or rediss://… over TLS. What is wrong
// with it is domain.ErrInvalid; the error does not repeat it, as there may be a password in it.
func Open(address string, log *slog.Logger) (*Link, error) {
	options, err := goredis.ParseURL(address)
	if err != nil {
		return nil, fmt.Errorf("%w: this is no address of Redis%s; write it as redis://127.0.0.1:6379/0", domain.ErrInvalid, reason(err))
	}
	goredis.SetLogger(lines{log}) // the library has one for all its clients
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = dialTime, answerTime, answerTime
	options.ContextTimeoutEnabled = true
	options.MaxRetries, options.DialerRetries = -1, 1 // whoever asks knows better what to do meanwhile
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Link{goredis.NewClient(options), log}, nil
}

// reason is what is wrong with an address, but for those errors that would repeat it.
func reason(err error) string {
	var parsing *url.Error
	if errors.As(err, &parsing) {
		return ""
	}
	return " (it must begin with redis:// or rediss://, and the database is a number)"
}

// lines are what go-redis logs. It speaks of what its callers are told anyway.
type lines struct{ log *slog.Logger }

// Printf implements go-redis' logging.
func (l lines) Printf(ctx context.Context, format string, values ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "go-redis", "cause", fmt.Sprintf(format, values...))
	}
}

// Feed is a Feed of a store's events for the reader of that name.
func (l *Link) Feed(store Store, generation, name string) *Feed {
	return NewFeed(l.client, store, generation, name, l.log)
}

// Relay is a Relay of a store's events.
func (l *Link) Relay(store Store, generation string) *Relay {
	return NewRelay(l.client, store, generation, l.log)
}

// Worker is a member of a group of automation workers.
func (l *Link) Worker(group, name string, options ...WorkerOption) *Worker {
	return NewWorker(l.client, group, name, l.log, options...)
}

// Publisher is a Publisher for the topics of a component, which waits for Redis no longer than this process ever does.
func (l *Link) Publisher(component string) (*Publisher, error) {
	return NewPublisher(l.client, component, answerTime)
}

// Registry is the list of services that Redis keeps.
func (l *Link) Registry() *Registry { return NewRegistry(l.client, l.log) }

// Err asks Redis whether it is there: nil if so.
func (l *Link) Err() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return l.client.Ping(ctx).Err()
}

// Close lets go of all connections.
func (l *Link) Close() error { return l.client.Close() }
