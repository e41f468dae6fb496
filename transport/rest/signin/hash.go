package signin

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"strandline/domain"
)

// Cost of a hash: the second of the settings that RFC 9106 and OWASP recommend for servers that hash often.
const (
	memoryKiB = 19 * 1024
	passes    = 2
	lanes     = 1
	saltBytes = 16
	sumBytes  = 32
)

// Bounds on the cost of a stored hash, so that no imported one can take the server down.
const (
	mostMemoryKiB = 256 * 1024
	mostPasses    = 16
	mostLanes     = 16
)

// Hash is the argon2id hash of a secret under a fresh salt, in its PHC string form. It takes some 20 ms.
func Hash(secret string) string {
	var salt [saltBytes]byte
	_, _ = rand.Read(salt[:]) // never fails (crypto/rand)
	sum := argon2.IDKey([]byte(secret), salt[:], passes, memoryKiB, lanes, sumBytes)
	return phc{memoryKiB, passes, lanes, salt[:], sum}.String()
}

// phc is an argon2id hash with all that is needed to check a secret against it.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func (h phc) String() string {
	base64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes,
		base64.EncodeToString(h.salt), base64.EncodeToString(h.sum))
}

// parse reads the PHC string form of an argon2id hash.
func parse(text string) (phc, error) {
	fields := strings.Split(text, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, fmt.Errorf("%w: not an argon2id hash in PHC form", domain.ErrInvalid)
	}
	var h phc
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil {
		return phc{}, fmt.Errorf("%w: argon2id cost %q: %w", domain.ErrInvalid, fields[3], err)
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(fields[4]); err != nil {
		return phc{}, fmt.Errorf("%w: argon2id salt: %w", domain.ErrInvalid, err)
	}
	if h.sum, err = base64.RawStdEncoding.DecodeString(fields[5]); err != nil {
		return phc{}, fmt.Errorf("%w: argon2id sum: %w", domain.ErrInvalid, err)
	}
	return h, h.reasonable()
}

func (h phc) reasonable() error {
	if h.passes < 1 || h.passes > mostPasses || h.lanes < 1 || h.lanes > mostLanes ||
		h.memory < 8 || h.memory > mostMemoryKiB || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 {
		return fmt.Errorf("%w: argon2id cost, salt or sum out of bounds", domain.ErrInvalid)
	}
	return nil
}

// matches checks a secret, in the same time whether it is right or wrong.
func (h phc) matches(secret string) bool {
	sum := argon2.IDKey([]byte(secret), h.salt, h.passes, h.memory, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}
