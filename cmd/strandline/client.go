package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// connection holds the flags of commands that ask a running server.
type connection struct {
	url            string
	credentialFile string
	authority      string
	reason         string
	command        *cobra.Command // whose flags they are
}

// flags adds the flags of a connection to a command.
func (o *connection) flags(c *cobra.Command) {
	o.addressFlags(c)
	c.Flags().StringVar(&o.credentialFile, credentialFlag, "",
		"file with the credential to use, as {\"access_key\",\"secret_key\"} or as 'key create --json' prints it (default: STRANDLINE_ACCESS_KEY and STRANDLINE_SECRET_KEY, or STRANDLINE_API_KEY; the last two also with _FILE, from a file)")
	c.Flags().StringVar(&o.reason, "reason", "", "why you ask, in your words: it is kept on the record with what you ask")
}

// addressFlags adds those that say where the server is.
func (o *connection) addressFlags(c *cobra.Command) {
	o.command = c
	c.Flags().StringVar(&o.url, "url", "http://127.0.0.1:8080", "address of the server")
	c.Flags().StringVar(&o.authority, "ca", "", "certificate authority to trust for https, such as DIR/tls/ca.pem (default: those of the system)")
}

// client asks a server, as the holder of a credential.
type client struct {
	base       string
	credential credential
	reason     string // why it asks, which is kept on the record
	http       *http.Client
	notes      io.Writer // where it says that it waits, nil for nowhere
}

// open makes the client that the flags and the environment describe.
func (o *connection) open(env lookup) (*client, error) {
	if err := o.address(); err != nil {
		return nil, err
	}
	who, err := o.credential(env)
	if err != nil {
		return nil, err
	}
	return o.openAs(who)
}

func (o *connection) address() error {
	base, err := url.Parse(o.url)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return exitWith(exitUsage, fmt.Errorf("--url %s is not an address: write it as http://127.0.0.1:8080", o.url))
	}
	return nil
}

// openAs makes a client that signs in with a credential, with none if that is empty.
func (o *connection) openAs(who credential) (_ *client, err error) {
	if err := o.address(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.TLSClientConfig, err = trusting(o.authority); err != nil {
		return nil, err
	}
	asking := &http.Client{Transport: transport, CheckRedirect: stay}
	return &client{strings.TrimRight(o.url, "/"), who, visible(o.reason), asking, o.command.ErrOrStderr()}, nil
}

// stay follows no redirection: a secret goes only where it was sent.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (o *connection) credential(env lookup) (credential, error) {
	if o.credentialFile != "" {
		c, err := readCredential(o.credentialFile)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("--credential-file: %w; a server that was given no root credential keeps one in DIR/%s", err, credentialFile)
		}
		return c, exitWith(exitUsage, err)
	}
	c, err := environmentCredential(env, "STRANDLINE_ACCESS_KEY", "STRANDLINE_SECRET_KEY")
	if err != nil || c.AccessKey != "" {
		return c, err
	}
	if c.Key, err = environmentSecret(env, "STRANDLINE_API_KEY"); err == nil && c.Key == "" {
		err = exitWith(exitUsage, errors.New("no credential: give --credential-file DIR/"+credentialFile+
			", or set STRANDLINE_ACCESS_KEY and STRANDLINE_SECRET_KEY, or STRANDLINE_API_KEY"))
	}
	return c, err
}

// sign says in a request who makes it.
func (c credential) sign(r *http.Request) {
	switch {
	case c.Key != "":
		r.Header.Set("Authorization", "Bearer "+c.Key)
	case c.AccessKey != "":
		r.SetBasicAuth(c.AccessKey, c.SecretKey)
	}
}

// trusting trusts the authority in a file, or with none those of the system.
func trusting(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--ca: %w", err))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, exitWith(exitUsage, fmt.Errorf("--ca %s holds no certificate", file))
	}
	return &tls.Config{RootCAs: roots}, nil
}

// do sends a request and returns the body of a successful answer, to be closed by the caller. A body that is not nil is
// sent as JSON.
func (c *client) do(ctx context.Context, method, path string, body any, accept string) (io.ReadCloser, error) {
	answer, err := c.answer(ctx, method, path, body, accept)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// answer is do with all that the server answered. What changes nothing is asked again while the server is busy.
func (c *client) answer(ctx context.Context, method, path string, body any, accept string) (*http.Response, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	var waited patience
	for {
		answer, err := c.send(ctx, method, path, text, accept)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode < 300 {
			return answer, nil
		}
		wait, ok := waited.again(answer)
		if method != http.MethodGet || !ok {
			defer answer.Body.Close()
			return nil, c.refusal(answer)
		}
		answer.Body.Close()
		if err := c.wait(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// send sends a request once.
func (c *client) send(ctx context.Context, method, path string, text []byte, accept string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if text != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	c.credential.sign(r)
	if c.reason != "" {
		r.Header.Set("Strandline-Reason", c.reason)
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "strandline/"+version())
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return answer, nil
}
