// Package commands turns requests into recorded events: authorise, load, fold, decide, append. It owns the ports that
// this needs: the event store, the keys, the directory.
package commands
