package signin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// The text of an API key is "sl_", its id, "_" and its secret: 12 random bytes in hexadecimal and 32 in base 32, lower
// case. The prefix lets scanners of repositories and logs find keys that were left there.
const (
	keyPrefix   = "sl_"
	keyIDBytes  = 12
	secretBytes = 32
)

var keyAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewKey draws an API key: its id, the text that is shown once, and the hash of the secret that is kept.
func NewKey(random io.Reader) (id, text, hash string, err error) {
	var drawn [keyIDBytes + secretBytes]byte
	if _, err := io.ReadFull(random, drawn[:]); err != nil {
		return "", "", "", fmt.Errorf("draw an API key: %w", err)
	}
	id = hex.EncodeToString(drawn[:keyIDBytes])
	secret := keyAlphabet.EncodeToString(drawn[keyIDBytes:])
	sum := sha256.Sum256([]byte(secret))
	return id, keyPrefix + id + "_" + secret, hex.EncodeToString(sum[:]), nil
}

// parseKey takes the text of an API key apart; false if it is none.
func parseKey(text string) (id, secret string, ok bool) {
	id, secret, ok = strings.Cut(strings.TrimPrefix(text, keyPrefix), "_")
	return id, secret, ok && strings.HasPrefix(text, keyPrefix) &&
		len(id) == 2*keyIDBytes && len(secret) == keyAlphabet.EncodedLen(secretBytes)
}

// opens tells whether a secret is the one with that hash, in the same time whether it is or not.
func opens(secret, hash string) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(hash)) == 1
}
