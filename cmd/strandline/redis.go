package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"

	"strandline/transport/redis"
)

// doorbell is Redis, by which a node hears of events; the zero doorbell is none, and then the log is followed itself.
type doorbell struct {
	link *redis.Link
	feed *redis.Feed
	away *glance[error] // why Redis does not answer
}

func redisFlags(flags *pflag.FlagSet, to *address) {
	flags.Var(to, "redis", "redis://[USER:PASSWORD@]HOST:PORT/DB: tell others of events by the stream "+redis.Stream+
		", and hear of them there; the log remains the truth (default: none)")
}

// openRedis takes the address of Redis, if there is one. Redis need not be there.
func openRedis(at address, log *slog.Logger) (d doorbell, err error) {
	if at == "" {
		return d, nil
	}
	if d.link, err = redis.Open(string(at), log); err != nil {
		return d, exitWith(exitUsage, fmt.Errorf("--redis: %w", err))
	}
	d.away = &glance[error]{find: d.link.Err}
	return d, nil
}

// listen has the storage hear of events through Redis, as the reader of that name.
func (s *storage) listen(name string) {
	if s.redis.link != nil {
		s.redis.feed = s.redis.link.Feed(s.log, s.log.Generation().String(), name)
	}
}

// relay tells Redis of events until ctx ends.
func (s *storage) relay(ctx context.Context) {
	if s.redis.link != nil {
		s.redis.link.Relay(s.log, s.log.Generation().String()).Run(ctx)
	}
}

// backfills is how often events had to be read from the log because Redis did not have them.
func (d doorbell) backfills() int64 {
	if d.feed == nil {
		return 0
	}
	return d.feed.Backfills()
}

func (d doorbell) close() error {
	if d.link == nil {
		return nil
	}
	return d.link.Close()
}

var errSilent = errors.New("it has not answered")

// redis warns while Redis is away, which keeps nobody from anything.
func (a *readiness) redis(v *vitals) {
	if v.node.storage.redis.link == nil {
		return
	}
	err, fresh := v.node.storage.redis.away.look(probeTime / 2)
	if err == nil && !fresh {
		err = errSilent
	}
	if err != nil {
		a.warns("redis", "does not answer: events are read from the log instead")
	}
}
