package signin_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"strandline/transport/rest/signin"
)

func TestBasic(t *testing.T) {
	base64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, tt := range map[string]struct {
		header, accessKey, secret string
		err                       error
	}{
		"plain":                 {"Basic admin:secret", "admin", "secret", nil},
		"base64":                {"Basic " + base64("admin:secret"), "admin", "secret", nil},
		"base64, unpadded":      {"Basic " + strings.TrimRight(base64("admin:secre"), "="), "admin", "secre", nil},
		"base64 of URLs":        {"Basic " + strings.NewReplacer("+", "-", "/", "_").Replace(base64("a:??>>")), "a", "??>>", nil},
		"other letter case":     {"bAsIc admin:secret", "admin", "secret", nil},
		"colons in the secret":  {"Basic admin:a:b:c", "admin", "a:b:c", nil},
		"colons in base64":      {"Basic " + base64("admin:a:b"), "admin", "a:b", nil},
		"an address":            {"Basic U0123@lamp.com:x y", "U0123@lamp.com", "x y", nil},
		"no header":             {"", "", "", signin.ErrMissing},
		"no pair":               {"Basic", "", "", signin.ErrMissing},
		"no secret":             {"Basic admin:", "", "", signin.ErrMissing},
		"no colon, no base64":   {"Basic %%%", "", "", signin.ErrMissing},
		"base64 without secret": {"Basic " + base64("admin"), "", "", signin.ErrMissing},
		"another scheme":        {"Bearer admin:secret", "", "", signin.ErrMissing},
		"too long":              {"Basic a:" + strings.Repeat("x", 2000), "", "", signin.ErrUnknown},
	} {
		accessKey, secret, err := signin.Basic(tt.header)
		if accessKey != tt.accessKey || secret != tt.secret || !errors.Is(err, tt.err) {
			t.Errorf("%s: Basic(%q) = %q, %q, %v; want %q, %q, %v", name, tt.header, accessKey, secret, err, tt.accessKey, tt.secret, tt.err)
		}
	}
}

// FuzzBasic looks for headers that make it panic or give half a pair.
func FuzzBasic(f *testing.F) {
	for _, seed := range []string{"Basic a:b", "Basic YTpi", "basic", "Basic :", "Basic ==", "Bearer x", "Basic \x00:\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		accessKey, secret, err := signin.Basic(header)
		if (err == nil) != (secret != "") || strings.Contains(accessKey, ":") {
			t.Errorf("Basic(%q) = %q, %q, %v", header, accessKey, secret, err)
		}
	})
}
