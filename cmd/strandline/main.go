// Command strandline is the whole of Strandline in one binary: the server, and the commands that ask and mend it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	oneMoreThanProcessors()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := run(ctx, os.Args[1:], environ{os.LookupEnv, os.Environ()}, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
