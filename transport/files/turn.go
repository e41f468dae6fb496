package files

import (
	"errors"
	"io/fs"
	"time"
)

// pause is how long a Turn waits, at most, until it tries again.
const pause = 10 * time.Millisecond

// Turn takes the lock of the empty file of that name, which is made if it is missing, and waits for it while others have it.
// Closing it gives it back, as does the end of the process. If others have it for longer than patience, the error is one that
// IsHeld knows.
func Turn(sys System, name string, patience time.Duration) (File, error) {
	file, err := openOrMake(sys, name)
	if err != nil {
		return nil, err
	}
	wait := pause / 16
	for began := time.Now(); ; time.Sleep(wait) {
		err := file.Lock()
		if err == nil {
			return file, nil
		}
		if !IsHeld(err) || time.Since(began) >= patience {
			return nil, errors.Join(err, file.Close())
		}
		wait = min(2*wait, pause)
	}
}

func openOrMake(sys System, name string) (File, error) {
	file, err := sys.Open(name, false)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	file, err = sys.Open(name, true)
	if errors.Is(err, fs.ErrExist) { // somebody was quicker
		return sys.Open(name, false)
	}
	return file, err
}
