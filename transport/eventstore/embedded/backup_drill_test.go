package embedded_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"strandline/transport/eventstore/embedded"
	"strandline/transport/files/faultfs"
)

// TestBackupUnderLoad makes backups while writers append, again and again to the same place, which loses its power
// at some call. The next backup to it succeeds, and what is restored from it holds all that was acknowledged before it began.
func TestBackupUnderLoad(t *testing.T) {
	var y tally
	ledger := newLedger()
	store := open(t, faultfs.New(1), small())
	defer store.Close()
	rng := rand.New(rand.NewPCG(9, 9))
	for life := uint32(1); y.points < scale(120, 600); life++ {
		dest := faultfs.New(uint64(life))
		var group sync.WaitGroup
		group.Go(func() {
			if err := ledger.work(t.Context(), store, life, 3, 2); err != nil {
				y.violation(t, "append beside a backup: %v", err)
			}
		})
		for range 3 { // an incremental one meets what the one before left
			dest.CrashAt(1 + rng.IntN(int(2*life+10)))
			if _, err := store.Backup(t.Context(), dest, embedded.Copy{}, nil); err == nil && dest.Crashed() {
				y.violation(t, "a backup that lost its power succeeded")
			}
			dest = dest.Restart(uint64(life))
			y.point("backup")
		}
		y.restores(t, store, dest, ledger)
		group.Wait()
	}
	y.report(t)
}

// restores makes a last backup, restores it and compares.
func (y *tally) restores(t *testing.T, store *embedded.Store, dest *faultfs.FS, ledger *ledger) {
	t.Helper()
	before := ledger.copy()
	made, err := store.Backup(t.Context(), dest, embedded.Copy{}, nil)
	if err != nil {
		y.violation(t, "backup: %v", err)
		return
	}
	for k, expected := range ledger.copy().sent() {
		if _, acked := before.acked[k]; !acked {
			before.open[k] = expected // it may be in the backup already
		}
	}
	folder := faultfs.New(1)
	if err := embedded.Restore(t.Context(), dest, made, folder, nil); err != nil {
		y.violation(t, "restore: %v", err)
		return
	}
	restored, err := y.open(folder, small())
	if err != nil {
		y.violation(t, "open what was restored: %v", err)
		return
	}
	defer restored.Close()
	if err := before.check(t.Context(), restored); err != nil {
		y.violation(t, "restored: %v", err)
	}
	if restored.Generation() == store.Generation() {
		y.violation(t, "the restored store has the generation of the first")
	}
}
