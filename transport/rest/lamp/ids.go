package lamp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/registry"
)

// alphabet of ids: no letters that look like digits or like each other. Its 32 characters are five bits each.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// drawID draws the id of a researcher, study, activity or sensor: 100 random bits.
func drawID(random io.Reader) (string, error) {
	var id [20]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return "", fmt.Errorf("draw an id: %w", err)
	}
	for i, b := range id {
		id[i] = alphabet[b%32]
	}
	return string(id[:]), nil
}

// drawParticipantID draws U and ten digits. There are only 10¹⁰ of them, so it may be taken.
func drawParticipantID(random io.Reader) (string, error) {
	n, err := drawNumber(random, 10_000_000_000)
	return fmt.Sprintf("U%010d", n), err
}

// drawNumber draws a number below n, which is far below 2⁶⁴.
func drawNumber(random io.Reader, n uint64) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("draw a number: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]) % n, nil
}

// mostDraws bounds how often a taken id is drawn again. With half of all participant ids taken, it is enough in all but
// one of 10⁹ cases.
const mostDraws = 30

// add adds an object under the one that the path names, under a fresh id, drawn again where it is taken.
func (c *call) add(kind registry.Kind, attributes registry.Attributes) (id string, receipt commands.Receipt, err error) {
	draw, random := drawID, c.Bus.IDs(c.Meta)
	if kind == registry.Participant {
		draw = drawParticipantID
	}
	for range mostDraws {
		if id, err = draw(random); err != nil {
			return "", receipt, err
		}
		receipt, err = c.carryOut(registry.Add{
			Key: id, Kind: kind, ID: id, Parent: c.object.ID, ParentKind: c.object.Kind, Attributes: attributes,
		})
		if !errors.Is(err, registry.ErrExists) && !errors.Is(err, registry.ErrRemoved) {
			return id, receipt, err
		}
	}
	return "", receipt, fmt.Errorf("%w: no free %s id found in %d draws", domain.ErrUnavailable, kind, mostDraws)
}
