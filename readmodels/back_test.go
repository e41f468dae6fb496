package readmodels_test

import (
	"errors"
	"path/filepath"
	"testing"

	"strandline/domain"
	"strandline/readmodels"
)

// builds fills what begin returns with one note, and switches to it.
func builds(t *testing.T, upTo uint64, text string, begin func() (*readmodels.Build, error)) {
	t.Helper()
	build, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	err = build.Update(t.Context(), at(upTo), func(tx *readmodels.Tx) error {
		return tx.Exec("INSERT INTO note (text) VALUES (?)", text)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := build.Switch(); err != nil {
		t.Fatal(err)
	}
}

func beside(db *readmodels.DB, leftOut ...domain.Position) func() (*readmodels.Build, error) {
	return func() (*readmodels.Build, error) { return db.Beside(leftOut) }
}

// TestTheBuildBeforeServesAgain goes back and forth between two builds, over a start. Each goes on where it ended.
func TestTheBuildBeforeServesAgain(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, notes, "g")
	if _, _, kept := db.Previous(); kept {
		t.Error("a first build has one before it")
	}
	if _, err := db.Back(); !errors.Is(err, domain.ErrRejected) {
		t.Errorf("back from the first build: %v, want %v", err, domain.ErrRejected)
	}
	write(t, db, 3, "old")
	builds(t, 3, "new", beside(db))
	write(t, db, 4, "newer")
	if version, checkpoint, kept := db.Previous(); version != 1 || checkpoint != at(3) || !kept {
		t.Errorf("before the switch served version %d up to %s (%v), want 1 up to 3", version, checkpoint, kept)
	}
	builds(t, 4, "again", db.Back)
	if got := texts(t, db); got != "[old again]" || db.Checkpoint() != at(4) {
		t.Errorf("gone back: %s at %s, want [old again] at 4", got, db.Checkpoint())
	}
	db.Close()

	db = open(t, dir, notes, "g")
	defer db.Close()
	if got := texts(t, db); got != "[old again]" {
		t.Errorf("gone back, at the next start: %s, want [old again]", got)
	}
	builds(t, 5, "forth", db.Back)
	if got := texts(t, db); got != "[new newer forth]" {
		t.Errorf("gone forth: %s, want [new newer forth]", got)
	}
	builds(t, 5, "third", beside(db))
	if found, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(found) != 2 {
		t.Errorf("files: %v, want the one that serves and the one before", found)
	}
}

// TestWhatCannotServeAgainIsNotKept is about a build of other events, and of one that turned out to be damaged.
func TestWhatCannotServeAgainIsNotKept(t *testing.T) {
	for name, change := range map[string]func(db *readmodels.DB) error{
		"of other events": func(db *readmodels.DB) error {
			build, err := db.Beside([]domain.Position{at(2)})
			return errors.Join(err, build.Switch())
		},
		"damaged": func(db *readmodels.DB) error {
			build, err := db.Beside(nil)
			return errors.Join(err, build.Supplant())
		},
	} {
		dir := t.TempDir()
		db := open(t, dir, notes, "g")
		write(t, db, 3, "old")
		if err := change(db); err != nil {
			t.Fatal(err)
		}
		_, err := db.Back()
		found, _ := filepath.Glob(filepath.Join(dir, "*.db"))
		if !errors.Is(err, domain.ErrRejected) || len(found) != 1 {
			t.Errorf("%s: back is %v with files %v, want %v with one", name, err, found, domain.ErrRejected)
		}
		db.Close()
	}
}

// TestAGivenUpWayBackCanBeTakenLater begins to go back, and does not.
func TestAGivenUpWayBackCanBeTakenLater(t *testing.T) {
	db := open(t, t.TempDir(), notes, "g")
	defer db.Close()
	write(t, db, 3, "old")
	builds(t, 3, "new", beside(db))
	build, err := db.Back()
	if err != nil {
		t.Fatal(err)
	}
	if err := build.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, db); got != "[new]" {
		t.Errorf("after a way back that was given up: %s, want [new]", got)
	}
	builds(t, 3, "again", db.Back)
	if got := texts(t, db); got != "[old again]" {
		t.Errorf("gone back: %s, want [old again]", got)
	}
}

// TestAFormerVersionServesUntilThePresentOneIsBuilt starts programs of two versions by turns, of which the second knows the
// first.
func TestAFormerVersionServesUntilThePresentOneIsBuilt(t *testing.T) {
	dir := t.TempDir()
	version := func(db *readmodels.DB) (seen int) {
		_ = db.View(t.Context(), func(tx *readmodels.Tx) error { seen = tx.Version(); return nil })
		return seen
	}
	second := func() *readmodels.DB {
		db, err := readmodels.Open(dir, secondNotes, "g", readmodels.Former(1))
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open(t, dir, notes, "g")
	write(t, db, 3, "first")
	db.Close()

	db = second()
	if got := texts(t, db); got != "[first]" || db.Version() != 1 || version(db) != 1 {
		t.Errorf("the second program serves %s of version %d (%d), want [first] of 1", got, db.Version(), version(db))
	}
	write(t, db, 4, "by the second program")
	builds(t, 4, "second", beside(db))
	if got := texts(t, db); got != "[second]" || db.Version() != 2 || version(db) != 2 {
		t.Errorf("it has built %s of version %d (%d), want [second] of 2", got, db.Version(), version(db))
	}
	db.Close()

	db = open(t, dir, notes, "g") // back to the first program
	if got := texts(t, db); got != "[first by the second program]" || db.Checkpoint() != at(4) {
		t.Errorf("the first program serves %s at %s", got, db.Checkpoint())
	}
	if _, err := db.Back(); !errors.Is(err, domain.ErrRejected) {
		t.Errorf("the first program goes to a version it does not know: %v", err)
	}
	write(t, db, 5, "by the first")
	db.Close()

	db = second()
	if got := texts(t, db); got != "[second]" || db.Checkpoint() != at(4) {
		t.Errorf("the second program serves %s at %s, want what it had built, to go on with", got, db.Checkpoint())
	}
	builds(t, 5, "gone back", db.Back)
	if got := texts(t, db); got != "[first by the second program by the first gone back]" || db.Version() != 1 {
		t.Errorf("gone back to %s of version %d", got, db.Version())
	}
	db.Close()
	db = second()
	defer db.Close()
	if db.Version() != 1 {
		t.Errorf("gone back, the next start serves version %d, want 1", db.Version())
	}
}
