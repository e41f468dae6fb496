package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/files"
	"strandline/transport/keys"
)

// Files by which processes keep out of each other's way.
const (
	folderLock = "lock"  // in a data folder: one process makes its read models
	startLock  = "start" // in the folder of keys: one process at a time makes what an installation begins with
)

// lockFolder takes a data folder whose log is elsewhere.
func lockFolder(dir string) (files.File, error) {
	disk, err := files.NewDisk(dir)
	if err != nil {
		return nil, unusable(err)
	}
	lock, err := files.Turn(disk, folderLock, 0)
	if files.IsHeld(err) {
		return nil, errors.New("it is in use by another process: give each a --data of its own")
	}
	if err != nil {
		return nil, unusable(err)
	}
	return lock, nil
}

// shareKeys opens the keys together with other processes. They fit if there are some, or there is nothing to be opened.
func (s *storage) shareKeys(t truth, dir string, fit bool) (err error) {
	if !fit {
		return fmt.Errorf("the event store holds events, but there are no keys in %s to open them: %s", t.keysIn(dir), otherKeys)
	}
	if s.keys, err = keys.Share(t.keys, rand.Reader); err != nil {
		return err
	}
	s.shared = t.keys
	return s.fitting(context.Background())
}

const otherKeys = "give --keys the folder that the other processes use, or restore it from its backup"

// firstEvents are enough to tell whether keys are those of a log.
const firstEvents = 100

// fitting makes sure that the keys are those of the log.
func (s *storage) fitting(ctx context.Context) error {
	unknown := 0
	for r, err := range s.log.ReadAll(ctx, domain.Position{}, firstEvents, commands.Forwards) {
		if err != nil {
			return fmt.Errorf("read the first events: %w", err)
		}
		if r.Key == "" {
			continue
		}
		if s.keys.Has(r.Key) {
			return nil
		}
		unknown++
	}
	if unknown > 0 {
		return errors.New("the event store holds events that these keys do not open: " + otherKeys)
	}
	return nil
}

// startPatienceOfMany is how long a process waits while another makes what an installation begins with.
const startPatienceOfMany = time.Minute

// seedOnce is seed where several processes may begin with an empty event store at the same time.
func (n *node) seedOnce(ctx context.Context, dir string, env lookup) error {
	if n.shared == nil {
		return n.seed(ctx, dir, env)
	}
	turn, err := files.Turn(n.shared, startLock, startPatienceOfMany)
	if err != nil {
		return fmt.Errorf("wait for another process that starts: %w", err)
	}
	defer turn.Close()
	if err := n.fitting(ctx); err != nil { // they may have been others' first events
		return exitWith(exitData, err)
	}
	if err := n.catchUp(ctx, n.directory); err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	return n.seed(ctx, dir, env)
}

// aside is what a process does that answers no requests but those of operators.
func (n *node) aside(running context.Context, dir string, log *slog.Logger) {
	if n.runner != nil {
		rebuilds := newRebuilder(n, log, func(work func(context.Context)) { n.running.Go(func() { work(running) }) })
		rebuilds.upgrade()
		n.running.Go(func() { rebuilds.heed(running) })
	}
	n.operators = operators(newVitals(n, dir), n.metrics)
	n.http = n.operators.guarded().before(http.NotFoundHandler())
}

// Times of plans that others have made.
const (
	plansEvery = time.Second
	planTime   = 5 * time.Second // after which whoever made one is taken for dead
)

// finishPlans finishes plans over several streams that other processes have left open, until ctx ends. If such a process
// is only slow, both finish it, and each step is there once.
func (n *node) finishPlans(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(plansEvery)
	defer ticker.Stop()
	seen := map[string]time.Time{}
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		still := map[string]time.Time{}
		for _, open := range n.directory.OpenPlans() {
			since, known := seen[open.ID]
			if !known {
				since = time.Now()
			}
			still[open.ID] = since
			if time.Since(since) < planTime {
				continue
			}
			if err := n.bus.Finish(ctx, open); err != nil && ctx.Err() == nil {
				log.Error("a plan that another process has left open could not be finished: it is tried again", "error", err)
				continue
			}
			log.Info("a plan that another process has left open is finished", "plan", open.ID)
		}
		seen = still
	}
}
