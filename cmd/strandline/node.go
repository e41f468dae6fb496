package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"strandline/commands"
	"strandline/domain"
	"strandline/projections"
	"strandline/readmodels/audit"
	"strandline/transport/rest"
	"strandline/transport/rest/api"
	"strandline/transport/rest/lamp"
	"strandline/transport/rest/signin"
)

// node is a server without its listeners: the storage, what keeps the read models up to date, and the doors.
type node struct {
	*storage
	bus       *commands.Bus
	runner    *projections.Runner
	native    *api.Door
	http      http.Handler
	operators paths // what operators ask for, who are not on the record
	fresh     bool  // the data folder was empty
	root      credential
	presence  *presence
	checker   *signin.Checker

	pipeline *rest.Pipeline
	stop     context.CancelFunc // of the runner and of rebuilds
	running  sync.WaitGroup
}

// startNode brings a data folder to life: it is ready to serve when it returns.
func startNode(ctx context.Context, s *storage, dir string, env lookup, log *slog.Logger) (*node, error) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &node{storage: s, stop: stop, presence: newPresence(s.clock, s.redis, part(log, "redis"))}
	n.presence.roles = s.roles
	n.project(running, log)
	if s.roles.has(roleRelay) {
		n.running.Go(func() { s.relay(running) })
	}
	n.running.Go(func() { n.presence.register(running) })
	if !s.roles.has(roleAPI) {
		n.aside(running, dir, log)
		return n, nil
	}
	if err := n.start(ctx, running, dir, env, log); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// project keeps the read models up to date, if there are any.
func (n *node) project(running context.Context, log *slog.Logger) {
	if len(n.models) == 0 {
		return
	}
	n.listen(n.presence.id)
	n.runner = projections.New(n.feed(), n.decode, n.models, n.runnerOptions(projections.WithLogger(part(log, "projections")))...)
	n.running.Go(func() {
		if err := n.runner.Run(running); err != nil {
			log.Error("the read models could not be closed", "error", err)
		}
	})
}

func (n *node) start(ctx, running context.Context, dir string, env lookup, log *slog.Logger) (err error) {
	if n.bus, err = commands.New(n.traced(), n.codec, n.keys, n.directory, n.busOptions(commands.WithClock(n.clock))...); err != nil {
		return err
	}
	if err := n.catchUp(ctx, n.directory); err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	if err := n.bus.Resume(ctx); err != nil {
		return fmt.Errorf("finish what a crash has interrupted: %w", err)
	}
	if err := n.seedOnce(ctx, dir, env); err != nil {
		return err
	}
	if n.shared != nil {
		n.running.Go(func() { n.finishPlans(running, part(log, "plans")) })
	}
	n.doors(running, dir, log)
	n.catchUpSoon(ctx)
	return nil
}

// doors puts the dialects together.
func (n *node) doors(running context.Context, dir string, log *slog.Logger) {
	begin := func(work func(context.Context)) { n.running.Go(func() { work(running) }) }
	checker := signin.New(n.directory, n.keys, signin.WithObserver(n.metrics.SignedIn))
	n.checker = checker
	known := acquaintances{checker, filepath.Join(dir, acquaintanceFile), part(log, "signin")}
	known.load()
	begin(known.keep)
	n.pipeline = rest.NewPipeline(n.bus, n.log, n.directory, n.keys, n.pipelineOptions(rest.WithLogger(part(log, "http")),
		rest.WithObserver(n.metrics), rest.WithAPIKeys(checker.KnownKey))...)
	rebuilds := newRebuilder(n, log, begin)
	rebuilds.upgrade()
	if n.shared != nil {
		begin(rebuilds.heed)
	}
	n.native = api.New(api.Parts{
		Bus: n.bus, Log: n.log, Decoder: n.storage, SignIn: checker,
		Projections: rebuilds, Services: n.presence.services,
		Audit: audit.New(n.audit), Series: n.samples, Documents: n.documents, Directory: n.directory, Keys: n.keys,
		Backups: &backups{storage: n.storage, dir: dir, log: log},
	})
	clients := lamp.New(lamp.Parts{
		Bus: n.bus, Keys: n.keys, Directory: n.directory, SignIn: checker,
		Documents: n.documents, Series: n.samples,
	})
	n.http = rest.Switch{
		Segments: map[string]http.Handler{
			"strandline": n.pipeline.Handler(n.native),
		},
		Default: n.pipeline.Handler(clients),
	}
	n.operators = operators(newVitals(n, dir), n.metrics)
	n.http = n.operators.guarded().before(n.http)
}

// catchUp waits until a read model has applied all that the log holds.
func (n *node) catchUp(ctx context.Context, model rest.Waiter) error {
	head, err := n.log.Head(ctx)
	if err != nil {
		return err
	}
	return model.Wait(ctx, head)
}

// catchUpSoon gives the other read models a second to catch up: at the start, answers come from what they have beyond it;
// at the end, it is what the next start need not do.
func (n *node) catchUpSoon(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	for _, model := range []rest.Waiter{n.documents, n.samples, n.audit} {
		_ = n.catchUp(ctx, model) // readyz names it
	}
}

// seed gives an empty store the specifications that every installation begins with, and then its root credential.
func (n *node) seed(ctx context.Context, dir string, env lookup) (err error) {
	if len(n.directory.CredentialsOf("")) > 0 {
		return nil
	}
	if n.root, err = firstCredential(dir, env); err != nil {
		return err
	}
	n.fresh = true
	if err := lamp.Seed(ctx, n.bus, n.keys); err != nil {
		return fmt.Errorf("make the specifications: %w", err)
	}
	meta := commands.Meta{Request: domain.ID(uuid.Must(uuid.NewV7())), Dialect: "system"}
	if _, err := signin.Root(ctx, n.bus, n.keys, meta, n.root.AccessKey, n.root.SecretKey); err != nil {
		return fmt.Errorf("make the root credential: %w", err)
	}
	return n.catchUp(ctx, n.directory)
}

// close stops the read models and closes the storage.
func (n *node) close() error {
	if n.pipeline != nil {
		n.pipeline.Close()
	}
	if n.native != nil {
		n.catchUpSoon(context.Background())
	}
	n.stop()
	n.running.Wait()
	return n.storage.close()
}
