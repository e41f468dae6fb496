package readmodels

import (
	"fmt"
	"os"

	"strandline/domain"
	"strandline/readmodels/sqlite"
)

// Examination is what a file of a read model turns out to hold.
type Examination struct {
	Checkpoint domain.Position
	Generation string // of the event store that it was made from
	Serving    bool   // it is complete, and not one that was being built
	Problem    string // what is damaged in it, empty if nothing is
}

// Examine checks the file of a read model and changes nothing. It may be in use by another process, if that is said. What
// is damaged is told, not returned as an error.
func Examine(path string, inUse bool) (Examination, error) {
	if !inUse {
		defer removeAll(missing(path+"-wal", path+"-shm")) // SQLite makes them for readers, too
	}
	conn, err := sqlite.Open(path, true)
	if err != nil {
		return Examination{}, err
	}
	defer conn.Close()
	conn.BusyTimeout(busyTimeout)
	e, err := examine(&file{path: path, writer: conn})
	if IsDamage(err) || err != nil && e.Problem != "" {
		return Examination{Problem: err.Error()}, nil
	}
	return e, err
}

// missing lists those of the files that are not there.
func missing(names ...string) (gone []string) {
	for _, name := range names {
		if _, err := os.Stat(name); err != nil {
			gone = append(gone, name)
		}
	}
	return gone
}

func removeAll(names []string) {
	for _, name := range names {
		_ = os.Remove(name) // it was not there before, and may not be there now
	}
}

func examine(f *file) (e Examination, err error) {
	for row, err := range f.writer.Query("PRAGMA quick_check(1)") {
		if err != nil {
			return e, err
		}
		if text := row.Text(0); text != "ok" {
			e.Problem = text
		}
	}
	if e.Problem != "" {
		return e, nil
	}
	if e.Checkpoint, err = f.readCheckpoint(); err == nil {
		e.Generation, err = f.meta("generation")
	}
	serving := ""
	if err == nil {
		serving, err = f.meta("serving")
	}
	e.Serving = serving == serves
	if err != nil {
		e.Problem = fmt.Sprint(err) // tables that every file has are missing or make no sense
	}
	return e, err
}

// Drop removes a file that nobody has open. It is made again from the log.
func Drop(path string) error { return removeFile(path) }
