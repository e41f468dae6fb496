package projections_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"strandline/domain/registry"
	"strandline/projections"
	"strandline/readmodels/directory"
)

// TestTheDirectoryIsSavedOnceItHasCaughtUp opens a long log with a runner that would save much later only: a process that
// is killed soon, again and again, must not read all of it each time.
func TestTheDirectoryIsSavedOnceItHasCaughtUp(t *testing.T) {
	l := newLog()
	for range 50 {
		id := l.id().String()
		l.add(t, "registry-"+id, registry.Added{Kind: registry.Researcher, ID: id})
	}
	dir := t.TempDir()
	_, m := projections.Directory(dir, "g", slog.New(slog.DiscardHandler))
	r := projections.New(l, l.decode, []projections.Model{m}, projections.WithTidying(time.Hour))
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() { kill(); <-ended }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		d, err := directory.Load(dir, "g")
		if err == nil && d.Checkpoint() == l.head(t) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no snapshot at the head: %v", err)
		}
	}
}
