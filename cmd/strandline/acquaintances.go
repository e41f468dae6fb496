package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"strandline/transport/rest/signin"
)

// acquaintanceFile is where a node keeps from where logins have been used, as keyed hashes, so that their owners are heard
// at once from there after a restart, too, while others guess at their secrets. It is made again by use.
const acquaintanceFile = "sign-ins"

// acquaintances keeps a Checker's acquaintances in a file.
type acquaintances struct {
	checker *signin.Checker
	file    string
	log     *slog.Logger
}

// load reads the file. Without it, or with a broken one, owners are strangers once.
func (a acquaintances) load() {
	content, err := os.ReadFile(a.file)
	if err == nil {
		err = a.checker.LoadAcquaintances(bytes.NewReader(content))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("from where logins have been used could not be read, and is learnt anew", "file", filepath.Base(a.file), "error", err)
	}
}

// keep writes the file once a minute where there is something new, and when ctx ends.
func (a acquaintances) keep(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-minute.C:
			a.save()
		case <-ctx.Done():
			a.save()
			return
		}
	}
}

func (a acquaintances) save() {
	if !a.checker.Changed() {
		return
	}
	var content bytes.Buffer
	err := a.checker.SaveAcquaintances(&content)
	if err == nil {
		err = writeFile(a.file, content.Bytes(), 0o600)
	}
	if err != nil {
		a.log.Warn("from where logins have been used could not be kept: they are learnt anew after a restart", "error", err)
	}
}
