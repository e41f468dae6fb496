package door

import (
	"context"
	"fmt"
	"math"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"strandline/domain"
)

// Bounds on what clients may hold and say.
const (
	largestMessage  = 17 << 20 // the client's own bound, bytes
	largestHeaders  = 64 << 10
	largestRequest  = 256 << 10 // of reads, which are kept as long as they last
	longestName     = 1024      // of streams, types and groups
	longestReason   = 1024      // why an event was refused
	mostEvents      = 32_768    // of one append
	mostUnheard     = 64 << 20  // bytes of an append that is read to its end though it is refused
	mostConnections = 1024      // at once
	mostCalls       = 256       // at once on one connection
	mostFollowers   = 1024      // subscriptions open at once
	frozen          = 20 * time.Second
	unused          = 10 * time.Minute // for which a connection without calls is kept
)

// nameable refuses what cannot be the name of a stream, a type or a group.
func nameable(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: a %s needs a name", domain.ErrInvalid, what)
	case len(name) > longestName:
		return fmt.Errorf("%w: the name of a %s has at most %d bytes", domain.ErrInvalid, what, longestName)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return fmt.Errorf("%w: the name of a %s is UTF-8 without a zero", domain.ErrInvalid, what)
	}
	return nil
}

// shortened is a text as far as it is kept.
func shortened(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), longestReason)], "")
}

// seconds is a time span that may be longer than any.
func seconds(n int64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(time.Second))) * time.Second
}

// alone lets a call that hits a defect fail, and no other.
func (s *Server) alone(method string, err *error) {
	if defect := recover(); defect != nil {
		s.log.Error("a call hit a defect", "method", method, "defect", defect, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the server has a defect: its log tells which")
	}
}

func (s *Server) unaryAlone(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	defer s.alone(info.FullMethod, &err)
	return handle(ctx, request)
}

func (s *Server) streamAlone(server any, call grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer s.alone(info.FullMethod, &err)
	return handle(server, call)
}

// bounded is a listener that hangs up on those there is no room for.
type bounded struct {
	net.Listener
	places chan struct{}
}

// Accept implements net.Listener.
func (b bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.places <- struct{}{}:
			return &placed{c, sync.OnceFunc(func() { <-b.places })}, nil
		default:
			c.Close()
		}
	}
}

// placed is a connection that has a place.
type placed struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
