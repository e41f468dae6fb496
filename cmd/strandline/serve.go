package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Bounds on what clients may hold (decision 27). Bodies have bounds of their own, in transport/rest.
const (
	mostOperators     = 64  // connections of those who ask for metrics
	mostStreams       = 100 // of HTTP/2, over one connection
	headerTime        = 10 * time.Second
	requestTime       = 2 * time.Minute // of a request whose handler sets no deadline of its own
	idleTime          = 2 * time.Minute
	headerBytes       = 64 << 10
	stopTime          = 30 * time.Second // for requests that are under way when the server is told to stop
	durabilityDisk    = "disk"
	durabilityNothing = "none"
)

// serve holds the flags of `serve`.
type serve struct {
	data       string
	listen     string
	listenTLS  string
	certFile   string
	keyFile    string
	metrics    string
	logging    logging
	tracing    traces
	esdb       esdbFlags
	eventstore storePlace
	engines    enginePlaces
	redis      address
	roles      string
	keys       string
	durability string
	demo       bool
}

func newServe(io streams) *cobra.Command {
	var o serve
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the LAMP and the native API from a data folder",
		Long: `Serve the LAMP and the native API from a data folder, which is made if it is missing.

When requests are served, the line "ready URL [URL]" is printed. SIGTERM and SIGINT finish what was accepted, and stop.

An empty folder gets a root credential: that of STRANDLINE_ROOT_KEY and STRANDLINE_ROOT_SECRET (or
STRANDLINE_ROOT_SECRET_FILE) if they are set, else a random one in DIR/root-credential.json.

Settings can stand in a YAML file as well, each under the name of its flag, such as "listen-tls: 0.0.0.0:8443". A flag wins
over the environment, which wins over the file. Names that mean nothing are errors, in the file and in the environment.`,
		Example: `  strandline serve --data ./data --listen 127.0.0.1:8080
  strandline serve --data /srv/strandline --listen 127.0.0.1:8080 --listen-tls 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), settled(c.Flags()), io) },
	}
	o.flags(c.Flags())
	return c
}

// flags adds the settings of the server.
func (o *serve) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.data, "data", "data", "folder that holds everything")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of plain HTTP, for this machine only; :0 picks a port")
	flags.StringVar(&o.listenTLS, "listen-tls", "", "address of HTTPS; :0 picks a port (default: none)")
	flags.StringVar(&o.certFile, "tls-cert", "", "certificate of HTTPS (default: one signed by the authority in DIR/tls/ca.pem)")
	flags.StringVar(&o.keyFile, "tls-key", "", "private key of --tls-cert")
	flags.StringVar(&o.metrics, "metrics-listen", "",
		"address of plain HTTP for /metrics, /livez and /readyz alone, without credentials: for a network of operators (default: none; --listen shows /metrics to this machine)")
	o.logging.flags(flags)
	o.tracing.flags(flags)
	o.esdb.flags(flags)
	o.eventstore.flags(flags)
	o.engines.flags(flags)
	redisFlags(flags, &o.redis)
	o.rolesFlags(flags)
	flags.StringVar(&o.durability, "durability", durabilityDisk, "disk: answer when events are on disk; none: do not wait, for measuring only")
	flags.BoolVar(&o.demo, "demo", false, "fill a small study at first start, and print lines to try")
	flags.String(configFlag, "", "YAML file with settings (default: none)")
	flags.String("root-key", "", "access key of the root credential of an empty folder")
	secretFlags(flags, "root-secret", "the secret of --root-key")
}

func (o *serve) run(ctx context.Context, env lookup, io streams) error {
	log, err := o.logging.logger(io.err)
	if err != nil {
		return err
	}
	if err := o.check(log); err != nil {
		return err
	}
	does, err := o.does(log)
	if err != nil {
		return err
	}
	tracer, err := o.tracing.tracer(log)
	if err != nil {
		return err
	}
	sockets, err := o.open()
	if err != nil {
		return err
	}
	defer sockets.close()
	others, err := o.openEsdb()
	if err != nil {
		return err
	}
	defer others.close()
	bell, err := openRedis(o.redis, part(log, "redis"))
	if err != nil {
		return err
	}
	kept, err := o.engines.open(env)
	if err != nil {
		return err
	}
	elsewhere, err := o.eventstore.open()
	if err != nil {
		return err
	}
	if elsewhere != nil {
		if err := reached(ctx, elsewhere, part(log, "log")); err != nil {
			return exitWith(exitData, errors.Join(err, elsewhere.Close()))
		}
	}
	s, err := openStorage(o.data, opening{elsewhere: elsewhere, engines: kept, keys: o.keys, roles: does, durable: o.durability == durabilityDisk}, log)
	if err != nil {
		return err
	}
	s.tracer, s.redis = tracer, bell
	defer s.stopTracing()
	n, err := startNode(ctx, s, o.data, env, log)
	if ctx.Err() != nil && err != nil {
		return nil // told to stop before it was ready, which is no failure
	}
	if err != nil {
		return err
	}
	others.serve(ctx, n, part(log, "esdb"))
	served := o.serve(ctx, n, sockets, io, log)
	others.close()
	return errors.Join(served, n.close())
}

func (o *serve) check(log *slog.Logger) error {
	switch o.durability {
	case durabilityDisk:
		return nil
	case durabilityNothing:
		log.Warn("events are NOT on disk when they are answered: a crash loses them. This is for measuring only.")
		return nil
	}
	return exitWith(exitUsage, fmt.Errorf("--durability is disk or none, not %q", o.durability))
}

// socket is a listener with its server. Each has a server of its own, because net/http settles which protocols a server
// speaks when it first serves, and HTTP/2 is spoken over TLS only.
type socket struct {
	net.Listener
	url       string
	server    *http.Server
	tls       bool
	operators bool // it serves probes and metrics, and nothing else
}

func newSocket(l net.Listener, config *tls.Config) *socket {
	s := &socket{Listener: l, url: "http://" + l.Addr().String(), tls: config != nil, server: &http.Server{
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: mostStreams},
		TLSConfig:         config,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // broken handshakes are the clients' affair
	}}
	if s.tls {
		s.url = "https://" + l.Addr().String()
	}
	return s
}

// serve answers requests until the server is stopped.
func (s *socket) serve(n *node, clients *connections) error {
	s.server.Handler = n.http
	if s.operators {
		s.server.Handler = n.operators.before(http.NotFoundHandler())
		clients = newConnections(mostOperators) // also while there is no room for clients
	}
	clients.watch(s.server)
	if s.tls {
		return s.server.ServeTLS(clients.listen(s.Listener), "", "")
	}
	return s.server.Serve(clients.listen(s.Listener))
}

// sockets are all that a node listens on, plain HTTP first, that of operators last.
type sockets []*socket

// open takes the addresses, so that a port in use is found before anything else happens.
func (o *serve) open() (all sockets, err error) {
	plain, err := listenPlain(o.listen)
	if err != nil {
		return nil, err
	}
	all = sockets{newSocket(plain, nil)}
	for _, more := range []struct {
		address string
		open    func() (*socket, error)
	}{{o.listenTLS, o.openTLS}, {o.metrics, o.openMetrics}} {
		if more.address == "" {
			continue
		}
		s, err := more.open()
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (o *serve) openMetrics() (*socket, error) {
	l, err := listen("--metrics-listen", o.metrics)
	if err != nil {
		return nil, err
	}
	s := newSocket(l, nil)
	s.operators = true
	return s, nil
}

func (o *serve) openTLS() (*socket, error) {
	host, _, err := net.SplitHostPort(o.listenTLS)
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--listen-tls %s: %w; write it as 0.0.0.0:8443", o.listenTLS, err))
	}
	config, err := certificates(o.certFile, o.keyFile, filepath.Join(o.data, "tls"), host)
	if err != nil {
		return nil, err
	}
	l, err := listen("--listen-tls", o.listenTLS)
	if err != nil {
		return nil, err
	}
	return newSocket(l, config), nil
}

func (all sockets) urls() (urls []string) {
	for _, s := range all {
		if !s.operators {
			urls = append(urls, s.url)
		}
	}
	return urls
}

// close cuts everybody off.
func (all sockets) close() {
	for _, s := range all {
		s.server.Close()
		s.Listener.Close()
	}
}

// serve answers requests until ctx ends or the event store fails.
func (o *serve) serve(ctx context.Context, n *node, all sockets, io streams, log *slog.Logger) error {
	n.presence.at(all.urls())
	clients, ended := newConnections(roomForConnections()), make(chan error, len(all))
	for _, s := range all {
		go func() { ended <- s.serve(n, clients) }()
	}
	if last := all[len(all)-1]; last.operators {
		log.Info("metrics are served", "url", last.url+"/metrics")
	}
	debug.FreeOSMemory() // what starting took is not needed for serving
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	n.running.Go(func() { new(sparing).watch(serving) })
	n.running.Go(func() { newClockWatch(n.clock, log).watch(serving) })
	if _, err := fmt.Fprintln(io.out, "ready", strings.Join(all.urls(), " ")); err != nil {
		return fmt.Errorf("say that the server is ready: %w", err)
	}
	if o.demo {
		o.demonstrate(ctx, n, all.urls(), io, log)
	}
	select {
	case <-ctx.Done():
		return all.stop(n)
	case <-n.log.Failed():
		_ = all.stop(n) // whoever waits is told that it cannot be done; how this ends changes nothing
		return exitWith(exitStore, fmt.Errorf("%w; check the disk, then start again: what was answered is kept", n.log.Err()))
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	}
}

// stop finishes what was accepted.
func (all sockets) stop(n *node) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if n.native != nil {
		n.native.Stop()
	}
	var stopping sync.WaitGroup
	failed := make([]error, len(all))
	for i, s := range all {
		stopping.Go(func() { failed[i] = s.server.Shutdown(ctx) })
	}
	stopping.Wait()
	if err := errors.Join(failed...); err != nil {
		all.close()
		return fmt.Errorf("requests were still under way %s after the signal to stop, and have been cut off: %w", stopTime, err)
	}
	return nil
}

// demonstrate fills the demonstration at first start and prints lines to try at each.
func (o *serve) demonstrate(ctx context.Context, n *node, urls []string, io streams, log *slog.Logger) {
	file := filepath.Join(o.data, credentialFile)
	if _, err := os.Stat(file); err != nil {
		file = ""
	}
	c := &client{base: urls[0], credential: n.root, http: http.DefaultClient}
	d := demo{url: urls, credentialFile: file, authority: filepath.Join(o.data, "tls", "ca.pem")}
	if n.fresh {
		if err := d.fill(ctx, c, 1); err != nil {
			log.Error("the demonstration could not be filled", "error", err)
			return
		}
	}
	d.print(io.out)
}
