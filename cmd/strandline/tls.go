package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// How long what we sign ourselves is valid, and how long before its end a server certificate is replaced.
const (
	authorityYears  = 10
	certificateDays = 90
	renewalDays     = 30
)

// certificates returns the TLS configuration of the server: the given certificate, or one signed by an authority of our
// own, whose certificate is in dir/ca.pem for clients to trust.
func certificates(certFile, keyFile, dir, host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if (certFile == "") != (keyFile == "") {
		return nil, exitWith(exitUsage, errors.New("--tls-cert and --tls-key go together: give both, or none for a certificate of our own"))
	}
	if certFile != "" {
		given, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, exitWith(exitUsage, fmt.Errorf("--tls-cert and --tls-key cannot be used: %w", err))
		}
		config.Certificates = []tls.Certificate{given}
		return config, nil
	}
	ca, err := openAuthority(dir, time.Now())
	if err != nil {
		return nil, fmt.Errorf("certificate authority in %s: %w", dir, err)
	}
	own := &renewing{authority: ca, host: host, now: time.Now}
	config.GetCertificate = own.certificate
	return config, nil
}

// authority signs the certificates of this server, for clients that trust its ca.pem.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// openAuthority reads the authority in dir or makes it. A lost ca.pem is written again only with a new key, since its
// clients trust no other.
func openAuthority(dir string, now time.Time) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return makeAuthority(dir, now)
	}
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("ca-key.pem holds a %T: remove ca.pem and ca-key.pem to have new ones made", pair.PrivateKey)
	}
	return &authority{pair.Leaf, key}, nil
}

func makeAuthority(dir string, now time.Time) (*authority, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Strandline of this data folder"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := sign(template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(dir, "ca-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key}, err
}

// issue makes a certificate for localhost, the loopback addresses and host.
func (a *authority) issue(host string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Strandline"},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.AddDate(0, 0, certificateDays),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && !ip.IsLoopback() {
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	if net.ParseIP(host) == nil && host != "" && host != "localhost" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := sign(template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, err
}

// sign makes a certificate with a random serial number.
func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	return x509.CreateCertificate(rand.Reader, template, parent, public, key)
}

// renewing hands out a certificate of the authority and replaces it before it ends.
type renewing struct {
	authority *authority
	host      string
	now       func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
}

func (r *renewing) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.current != nil && now.Before(r.current.Leaf.NotAfter.AddDate(0, 0, -renewalDays)) {
		return r.current, nil
	}
	fresh, err := r.authority.issue(r.host, now)
	if err != nil {
		return nil, err
	}
	r.current = fresh
	return fresh, nil
}
