package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOwnCertificates signs in as a client does that trusts nothing but ca.pem, before and after a restart.
func TestOwnCertificates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	first := serveTLS(t, dir, "strandline.example")
	roots := trust(t, dir)
	again := serveTLS(t, dir, "192.0.2.7")
	for _, tt := range []struct {
		addr, name string
		trusted    bool
	}{
		{first, "localhost", true},
		{first, "127.0.0.1", true},
		{first, "::1", true},
		{first, "strandline.example", true},
		{first, "elsewhere.example", false},
		{again, "192.0.2.7", true},
		{again, "localhost", true},
	} {
		c, err := tls.Dial("tcp", tt.addr, &tls.Config{RootCAs: roots, ServerName: tt.name})
		if (err == nil) != tt.trusted {
			t.Errorf("connecting as %s: %v, want trusted %v", tt.name, err, tt.trusted)
		}
		if err == nil {
			c.Close()
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "ca-key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key of the authority: %v, %v; want mode 0600", info.Mode(), err)
	}
}

// TestCertificateIsRenewed lets time pass.
func TestCertificateIsRenewed(t *testing.T) {
	now := time.Now()
	ca, err := openAuthority(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	own := &renewing{authority: ca, host: "localhost", now: func() time.Time { return now }}
	first, _ := own.certificate(nil)
	now = now.AddDate(0, 0, certificateDays-renewalDays-1)
	same, _ := own.certificate(nil)
	now = now.AddDate(0, 0, 2)
	renewed, err := own.certificate(nil)
	if err != nil || same != first || renewed == first {
		t.Errorf("kept %v, renewed %v, %v; want true, true", same == first, renewed != first, err)
	}
}

// TestCertificateFilesGoTogether refuses one without the other.
func TestCertificateFilesGoTogether(t *testing.T) {
	if _, err := certificates("cert.pem", "", t.TempDir(), "localhost"); codeOf(err) != exitUsage {
		t.Errorf("certificate without key: %v, want exit code %d", err, exitUsage)
	}
}

// serveTLS answers handshakes with a certificate of the authority in dir and returns the address.
func serveTLS(t *testing.T, dir, host string) string {
	t.Helper()
	config, err := certificates("", "", dir, host)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake() // the client judges
			c.Close()
		}
	}()
	return l.Addr().String()
}

func trust(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("ca.pem holds no certificate")
	}
	return roots
}
