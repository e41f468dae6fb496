package signin

import (
	"encoding/base64"
	"fmt"
	"strings"

	"strandline/domain"
)

// The ways in which signing in fails.
var (
	ErrMissing = fmt.Errorf("%w: no credentials were given", domain.ErrForbidden)
	ErrUnknown = fmt.Errorf("%w: there is no such access key, or the secret is wrong", domain.ErrForbidden)
)

// Longest access key and secret that are looked at, in bytes.
const longest = 1024

// Basic takes an Authorization header apart. What follows the word Basic, in any letter case, is the access key and
// the secret with a colon between them, either in base64 or, as the LAMP clients send it, as they are. Only the first
// colon parts (contract "LAMP", section 3.1). Nothing after it is ErrMissing, and so is another scheme.
func Basic(header string) (accessKey, secret string, err error) {
	scheme, pair, _ := strings.Cut(strings.TrimLeft(header, " "), " ")
	if !strings.EqualFold(scheme, "basic") {
		return "", "", ErrMissing
	}
	accessKey, secret, plain := strings.Cut(strings.TrimSpace(pair), ":")
	if !plain {
		accessKey, secret, _ = strings.Cut(decode(accessKey), ":")
	}
	switch {
	case secret == "":
		return "", "", ErrMissing
	case len(accessKey) > longest || len(secret) > longest:
		return "", "", ErrUnknown
	}
	return accessKey, secret, nil
}

// decode reads base64 in either alphabet, padded or not. Anything else is empty.
func decode(text string) string {
	text = strings.TrimRight(text, "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return string(decoded)
}
