package rest

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"strandline/domain"
	"strandline/domain/registry"
)

// alphabet of ids: no letters that look like digits or like each other. Its 32 characters are five bits each.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// DrawID draws the id of an object of the tree: 100 random bits in 20 characters, for a participant U and ten digits.
func DrawID(random io.Reader, kind registry.Kind) (string, error) {
	if kind == registry.Participant {
		n, err := DrawNumber(random, 10_000_000_000)
		return fmt.Sprintf("U%010d", n), err
	}
	var id [20]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return "", fmt.Errorf("draw an id: %w", err)
	}
	for i, b := range id {
		id[i] = alphabet[b%32]
	}
	return string(id[:]), nil
}

// DrawNumber draws a number below n, which is far below 2⁶⁴.
func DrawNumber(random io.Reader, n uint64) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("draw a number: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]) % n, nil
}

// mostDraws bounds how often a taken id is drawn again. With half of all participant ids taken, it is enough in all but
// one of 10⁹ cases.
const mostDraws = 30

// DrawFree draws ids of a kind until take finds one that is free: there are only 10¹⁰ of participants.
func DrawFree(random io.Reader, kind registry.Kind, take func(id string) error) (string, error) {
	for range mostDraws {
		id, err := DrawID(random, kind)
		if err != nil {
			return "", err
		}
		err = take(id)
		if !errors.Is(err, registry.ErrExists) && !errors.Is(err, registry.ErrRemoved) {
			return id, err
		}
	}
	return "", fmt.Errorf("%w: no free %s id found in %d draws", domain.ErrUnavailable, kind, mostDraws)
}

// SpecKey is what stands for a specification in the name of its stream, since clients choose the names.
func SpecKey(keys Hasher, name string) string {
	sum := keys.Hash("spec", name)
	return hex.EncodeToString(sum[:])
}
