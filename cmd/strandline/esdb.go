package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/credentials"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/codec"
	"strandline/transport/eventstore/door"
	"strandline/transport/eventstore/external"
	"strandline/transport/rest/api"
	"strandline/transport/rest/signin"
)

// esdbFlags holds the flags of the door for clients of EventStoreDB.
type esdbFlags struct {
	listen string
	trust  bool
}

func (o *esdbFlags) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.listen, "esdb-listen", "", "address of EventStoreDB's gRPC protocol, over TLS; :0 picks a port (default: none)")
	flags.BoolVar(&o.trust, "esdb-trust-loopback", false,
		"let callers of --esdb-listen on this machine act as root without credentials, in plain text too: for development only")
}

// esdbDoor is the door while it is open; the zero door is none.
type esdbDoor struct {
	esdbFlags
	listener net.Listener
	config   *tls.Config
	stop     context.CancelFunc
	done     chan struct{}
}

// openEsdb takes the door's address, if it has one. It is secured as HTTPS is.
func (o *serve) openEsdb() (*esdbDoor, error) {
	d := &esdbDoor{esdbFlags: o.esdb}
	if d.listen == "" {
		return d, nil
	}
	host, _, err := net.SplitHostPort(d.listen)
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--esdb-listen %s: %w; write it as 127.0.0.1:2113", d.listen, err))
	}
	if d.config, err = certificates(o.certFile, o.keyFile, filepath.Join(o.data, "tls"), host); err != nil {
		return nil, err
	}
	d.config.NextProtos = []string{"h2"}
	d.listener, err = listen("--esdb-listen", d.listen)
	return d, err
}

// serve answers clients of EventStoreDB until the door is closed.
func (d *esdbDoor) serve(ctx context.Context, n *node, log *slog.Logger) {
	if d.listener == nil {
		return
	}
	if d.trust {
		log.Warn("callers on this machine act as root without credentials at --esdb-listen: this is for development only")
	}
	ctx, d.stop = context.WithCancel(ctx)
	d.done = make(chan struct{})
	server := door.New(n.log, &esdbGate{node: n, trust: d.trust}, door.WithClock(n.clock), door.WithLogger(log))
	go func() {
		defer close(d.done)
		if err := server.Serve(ctx, d.listener, guarded(d.config, d.trust)); err != nil && ctx.Err() == nil {
			log.Error("EventStoreDB's protocol is not served any more", "error", err)
		}
	}()
	log.Info("EventStoreDB's protocol is served", "address", d.listener.Addr().String())
}

// close cuts everybody off. It can be called again.
func (d *esdbDoor) close() {
	if d.stop != nil {
		d.stop()
		<-d.done
	}
	if d.listener != nil {
		d.listener.Close()
	}
}

// guarded lets clients in over TLS, and with plain those on this machine in plain text as well.
func guarded(config *tls.Config, plain bool) credentials.TransportCredentials {
	secured := credentials.NewTLS(config)
	if !plain {
		return secured
	}
	return either{secured}
}

// either is TLS, or plain text from this machine: the first byte tells.
type either struct {
	credentials.TransportCredentials
}

// tlsRecord is the first byte of a TLS handshake (RFC 8446, section 5.1).
const tlsRecord = 0x16

// ServerHandshake implements credentials.TransportCredentials.
func (e either) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	var first [1]byte
	if _, err := c.Read(first[:]); err != nil {
		return nil, nil, err
	}
	again := &replayed{c, first[:]}
	if first[0] == tlsRecord {
		return e.TransportCredentials.ServerHandshake(again)
	}
	if !onLoopback(c.RemoteAddr()) {
		return nil, nil, errors.New("plain text is for callers on this machine only")
	}
	return again, plainText{credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}, nil
}

// Clone implements credentials.TransportCredentials.
func (e either) Clone() credentials.TransportCredentials {
	return either{e.TransportCredentials.Clone()}
}

// plainText is what is known of a caller in plain text.
type plainText struct{ credentials.CommonAuthInfo }

// AuthType implements credentials.AuthInfo.
func (plainText) AuthType() string { return "plain" }

// replayed is a connection whose first bytes have been looked at.
type replayed struct {
	net.Conn
	seen []byte
}

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.seen) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.seen)
	r.seen = r.seen[n:]
	return n, nil
}

func onLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// esdbGate lets clients of EventStoreDB in, with the credentials, grants and records of every other door.
type esdbGate struct {
	node  *node
	trust bool
}

// Enter implements door.Gate.
func (g *esdbGate) Enter(ctx context.Context, address, authorization string) (door.Caller, error) {
	c := &esdbCaller{esdbGate: g, meta: commands.Meta{
		Principal: commands.Principal{Anonymous: true},
		Request:   domain.ID(uuid.Must(uuid.NewV7())), // fails only where the machine has no randomness left
		Dialect:   "esdb",
		Details:   domain.Request{Address: address, Method: "gRPC", Status: http.StatusOK},
	}}
	if ip := net.ParseIP(address); g.trust && authorization == "" && ip != nil && ip.IsLoopback() {
		c.meta.Principal = commands.Principal{Root: true}
		return c, nil
	}
	principal, err := g.signIn(ctx, address, authorization)
	if err != nil {
		return nil, errors.Join(err, c.Left(ctx, "sign in", "", 0, err))
	}
	c.meta.Principal = principal
	return c, nil
}

func (g *esdbGate) signIn(ctx context.Context, address, authorization string) (commands.Principal, error) {
	accessKey, secret, err := signin.Basic(authorization)
	if err != nil {
		return commands.Principal{}, err
	}
	head, err := g.node.log.Head(ctx)
	if err != nil {
		return commands.Principal{}, err
	}
	return g.node.checker.Check(ctx, head, address, accessKey, secret)
}

// esdbCaller is a caller of that door, for one call.
type esdbCaller struct {
	*esdbGate
	meta   commands.Meta
	opened bool
}

// MayAppend implements door.Caller: to the streams of others, for those who may.
func (c *esdbCaller) MayAppend(stream string) error {
	if !strings.HasPrefix(strings.TrimPrefix(stream, "$$"), "ext-") {
		return fmt.Errorf("%w: only streams whose names begin with ext- can be appended to here", domain.ErrForbidden)
	}
	_, err := c.node.bus.Permit(c.meta.Principal, policy.ExternalAppend, policy.Object{})
	return err
}

// MayManage implements door.Caller.
func (c *esdbCaller) MayManage() error {
	_, err := c.node.bus.Permit(c.meta.Principal, policy.ExternalAppend, policy.Object{})
	return err
}

// Stamp implements door.Caller.
func (c *esdbCaller) Stamp(e *domain.Envelope) {
	e.Actor, e.Credential, e.Correlation = c.meta.Actor(), c.meta.Credential, c.meta.Request
}

// Show implements door.Caller: events of others for those who may append such, and all events for those who may open them
// (decision 23). Others do not learn that there is one.
func (c *esdbCaller) Show(ctx context.Context, r domain.Record) (door.Shown, bool) {
	if r.ContentType == domain.External {
		e, err := external.Unpack(r)
		return e, err == nil && (c.may(policy.ExternalAppend, policy.Object{}) || c.may(policy.PayloadOpen, policy.Object{}))
	}
	opened, err := c.node.decode(ctx, r)
	if err != nil {
		opened = domain.Recorded{Position: r.Position, Envelope: r.Envelope, Unknown: true}
	}
	if !c.may(policy.PayloadOpen, policy.Object{}) && !c.may(policy.PayloadOpen, api.About(opened)) {
		return door.Shown{}, false
	}
	about, err := json.Marshal(tellOf(opened))
	if err != nil {
		return door.Shown{}, false
	}
	if data := api.Data(opened); data != nil {
		return door.Shown{JSON: true, Data: data, Metadata: about}, true
	}
	return door.Shown{Data: r.Data, Metadata: about}, true
}

func (c *esdbCaller) may(verb policy.Verb, o policy.Object) bool {
	_, err := c.node.bus.Permit(c.meta.Principal, verb, o)
	return err == nil
}

// esdbMetadata is what clients of EventStoreDB are told of an event besides its data. The names with a dollar are those
// that its tools know.
type esdbMetadata struct {
	Version     int       `json:"version"`
	Actor       string    `json:"actor"`
	Credential  string    `json:"credential,omitempty"`
	APIKey      string    `json:"api_key,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	Command     string    `json:"command,omitempty"`
	Dialect     string    `json:"dialect,omitempty"`
	Correlation domain.ID `json:"$correlationId,omitzero"`
	Causation   domain.ID `json:"$causationId,omitzero"`
	Sealed      bool      `json:"sealed,omitempty"`
	Sentence    string    `json:"sentence"`
}

func tellOf(r domain.Recorded) esdbMetadata {
	return esdbMetadata{
		Version: r.Version, Actor: r.Actor, Credential: r.Credential, APIKey: r.APIKey, Subject: r.Subject, Command: r.Command,
		Dialect: r.Dialect, Correlation: r.Correlation, Causation: r.Causation, Sealed: r.Sealed, Sentence: codec.Sentence(r),
	}
}

// Opened implements door.Caller.
func (c *esdbCaller) Opened(ctx context.Context, call, stream string) error {
	c.opened = true
	c.meta.Details.Route, c.meta.Details.Object = call, stream
	_, err := c.node.bus.Record(ctx, c.meta, access.Served{})
	return err
}

// Left implements door.Caller.
func (c *esdbCaller) Left(ctx context.Context, call, stream string, rows int, failed error) error {
	if c.opened {
		_, err := c.node.bus.Record(ctx, c.meta, access.Ended{Rows: rows})
		return err
	}
	c.meta.Details.Route, c.meta.Details.Object = call, stream
	if failed == nil {
		_, err := c.node.bus.Record(ctx, c.meta, access.Served{Rows: rows})
		return err
	}
	code, status := "esdb.failed", http.StatusInternalServerError
	for _, kind := range []struct {
		err    error
		code   string
		status int
	}{
		{domain.ErrForbidden, "esdb.refused", http.StatusForbidden}, {domain.ErrInvalid, "esdb.invalid", http.StatusBadRequest},
		{domain.ErrNotFound, "esdb.not-found", http.StatusNotFound}, {domain.ErrRejected, "esdb.rejected", http.StatusConflict},
		{domain.ErrUnavailable, "esdb.unavailable", http.StatusServiceUnavailable},
	} {
		if errors.Is(failed, kind.err) {
			code, status = kind.code, kind.status
			break
		}
	}
	c.meta.Details.Status = status
	_, err := c.node.bus.Record(ctx, c.meta, access.Refused{Code: code})
	return err
}
