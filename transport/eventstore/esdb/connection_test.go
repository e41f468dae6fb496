package esdb_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"strandline/domain"
	"strandline/transport/eventstore/door"
	"strandline/transport/eventstore/esdb"
	"strandline/transport/eventstore/memory"
)

// TestConnectionString refuses what cannot be meant, and never repeats a password.
func TestConnectionString(t *testing.T) {
	for _, text := range []string{
		"", "localhost:2113", "http://localhost:2113", "kurrentdb://localhost:2113", "esdb://", "esdb://ada:hush-hush@", "esdb://:hush-hush@localhost:2113",
		"esdb://ada:hush-hush@localhost:port", "esdb://ada:hush-hush@a:1,b:two", "esdb://ada:hush-hush@[::1", "esdb://ada:hush-hush@a/b/c", "esdb://ada:hush-hush%zz@a",
		"esdb://localhost:2113?tls=perhaps", "esdb://localhost:2113?tlsCaFile=/nowhere/ca.pem", "esdb://localhost:2113?nodePreference=nearest",
		"esdb://localhost:2113?keepAliveInterval=often", "esdb://localhost:2113?keepAliveTimeout=-7", "esdb://localhost:2113?defaultDeadline=soon",
		"esdb://localhost:2113?gossipTimeout=long", "esdb://localhost:2113?tsl=false", "esdb://localhost:2113?userCertFile=/only/half",
		"esdb://localhost:99999", "esdb://localhost:2113?gossipTimeout=0",
	} {
		_, err := esdb.Open(text)
		if !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v; want it refused", text, err)
			continue
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error tells the password: %v", text, err)
		}
	}
	for _, text := range []string{
		"esdb://localhost", "esdb://ada:secret@localhost:2113?tls=true&tlsVerifyCert=false", "esdb+discover://cluster.example:2113?nodePreference=leader",
		"esdb://a:2113,b:2113,c:2113?keepAliveInterval=-1&keepAliveTimeout=10000&gossipTimeout=3&discoveryInterval=50&maxDiscoverAttempts=3&defaultDeadline=2000&tls=false",
		"esdb://ada:secret@a:2113,b:2113",
	} {
		store, err := esdb.Open(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		store.Close()
	}
}

// secured is a gate that lets in who knows the secret.
type secured struct{ open }

func (g secured) Enter(_ context.Context, _, authorization string) (door.Caller, error) {
	if authorization != "Basic YWRhOnNlY3JldA==" { // ada:secret
		return nil, errors.New("unknown")
	}
	return g, nil
}

// certify makes a certificate for the loopback address, and a file with it.
func certify(t *testing.T) (credentials.TransportCredentials, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return credentials.NewServerTLSFromCert(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}), name
}

// TestSecureConnection reaches a server over TLS with a user and a password, and says clearly what is wrong else.
func TestSecureConnection(t *testing.T) {
	t.Parallel()
	ours, ca := certify(t)
	_, other := certify(t)
	secure := (&server{store: memory.New(), clock: time.Now, gate: secured{}, tls: ours}).run(t)
	plain := serve(t, memory.New(), time.Now)
	for _, tt := range []struct{ name, connection, says string }{
		{"all is well", "esdb://ada:secret@" + secure.address + "?tlsCaFile=" + ca, ""},
		{"not verified", "esdb://ada:secret@" + secure.address + "?tlsVerifyCert=false", ""},
		{"wrong password", "esdb://ada:guess@" + secure.address + "?tlsCaFile=" + ca, "credentials"},
		{"no password", "esdb://" + secure.address + "?tlsCaFile=" + ca, "credentials"},
		{"another authority", "esdb://ada:secret@" + secure.address + "?tlsCaFile=" + other, "certificate"},
		{"no authority", "esdb://ada:secret@" + secure.address, "certificate"},
		{"plain to a secure port", "esdb://" + secure.address + "?tls=false", "cannot be reached"},
		{"secure to a plain port", "esdb://ada:secret@" + plain.address + "?tlsCaFile=" + ca, "handshake"},
		{"nobody there", "esdb://127.0.0.1:1?tls=false", "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store := connect(t, tt.connection)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := store.Head(ctx)
			appended := error(nil)
			if err == nil {
				_, appended = store.Append(ctx, "thing-1", domain.Any, []domain.Record{record(1)})
			}
			if tt.says == "" && (err != nil || appended != nil) {
				t.Errorf("head: %v; append: %v", err, appended)
			}
			if tt.says != "" && (!errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("head: %v; want it to tell of %q", err, tt.says)
			}
			if tt.says != "" && strings.Contains(err.Error(), "guess") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

// TestRefusedFollower tells a follower whom the server does not know why nothing comes, instead of asking again for ever.
func TestRefusedFollower(t *testing.T) {
	ours, ca := certify(t)
	secure := (&server{store: memory.New(), clock: time.Now, gate: secured{}, tls: ours}).run(t)
	store := connect(t, "esdb://ada:guess@"+secure.address+"?tlsCaFile="+ca)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for batch, err := range store.Follow(ctx, domain.Position{}) {
		if err == nil || !errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), "credentials") {
			t.Fatalf("followed %d records, %v; want to be told of the credentials", len(batch), err)
		}
		return
	}
	t.Fatal("the follower ended without a word")
}

// TestCluster finds the server through others that are named as its cluster, one of which is away, and by the name of the
// cluster.
func TestCluster(t *testing.T) {
	s := serve(t, memory.New(), time.Now)
	_, port, _ := net.SplitHostPort(s.address)
	for _, connection := range []string{
		"esdb://127.0.0.1:1," + s.address + "?tls=false", "esdb://" + s.address + ",127.0.0.1:1?tls=false&nodePreference=follower",
		"esdb+discover://localhost:" + port + "?tls=false&keepAliveInterval=-1",
	} {
		t.Run(connection, func(t *testing.T) {
			store := connect(t, connection)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if _, err := store.Append(ctx, "thing-1", domain.Any, []domain.Record{record(1)}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSmallerServer appends more than a server takes that is set to less than was known here: that is said, by a server that
// hears it all first and by one that stops listening.
func TestSmallerServer(t *testing.T) {
	s := &server{store: memory.New(), clock: time.Now, gate: open{}, maxAppend: 10 << 10}
	s.run(t)
	store := connect(t, "esdb://"+s.address+"?tls=false")
	for _, sizes := range [][]int{{11 << 10}, {900 << 10}, {9 << 10, 2 << 10, 300 << 10, 300 << 10}} {
		var rs []domain.Record
		for i, size := range sizes {
			r := record(byte(i))
			r.Data = make([]byte, size)
			rs = append(rs, r)
		}
		if _, err := store.Append(t.Context(), "thing-1", domain.NoStream, rs); !errors.Is(err, domain.ErrAppendTooLarge) {
			t.Errorf("append of %d bytes: %v", sizes, err)
		}
	}
	for _, size := range []int{1, 900 << 10} {
		r := record(1)
		r.Data = make([]byte, size)
		if _, err := store.Append(t.Context(), "thing-\x00", domain.NoStream, []domain.Record{r}); !errors.Is(err, domain.ErrInvalid) || errors.Is(err, domain.ErrAppendTooLarge) {
			t.Errorf("append of %d bytes to a stream with a name that is none: %v", size, err)
		}
	}
	if _, err := store.Append(t.Context(), "thing-1", domain.NoStream, []domain.Record{record(1)}); err != nil {
		t.Errorf("a small append after that: %v", err)
	}
}
