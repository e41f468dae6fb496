package keys

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"strandline/domain"
)

// newEntry draws a key for owner and wraps it.
func (s *Store) newEntry(owner string) (entry, error) {
	var drawn [8 + keySize + nonceSize]byte
	if err := s.random.draw(drawn[:]); err != nil {
		return entry{}, err
	}
	e := entry{kind: kindKey, id: binary.LittleEndian.Uint64(drawn[:]), owner: owner}
	nonce := drawn[8+keySize:]
	box := s.root.Seal(bytes.Clone(nonce), nonce, drawn[8:8+keySize], wrapAD(e.id, owner))
	copy(e.box[:], box)
	return e, nil
}

func (s *Store) unwrap(w wrapped) ([]byte, error) {
	key, err := s.root.Open(nil, w.box[:nonceSize], w.box[nonceSize:], wrapAD(w.id, w.owner))
	if err != nil {
		return nil, fmt.Errorf("%w: %s does not open the key of %s: restore the file from its backup", domain.ErrDamaged, rootFile, w.owner)
	}
	return key, nil
}

func wrapAD(id uint64, owner string) []byte {
	return append(binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(owner)), id), owner...)
}
