package series

import (
	"cmp"
	"encoding/binary"
	"strandline/domain"
)

// appendPosition appends position so that the order of bytes is the order of positions, in few bytes where both
// halves are equal.
func appendPosition(dst []byte, p domain.Position) []byte {
	dst = appendOrdered(dst, p.Commit)
	if p.Prepare == p.Commit {
		return append(dst, 1)
	}
	dst = append(dst, byte(1+cmp.Compare(p.Prepare, p.Commit)))
	return appendOrdered(dst, p.Prepare)
}

// appendOrdered appends the number of its bytes and those that are not zero, the highest first.
func appendOrdered(dst []byte, n uint64) []byte {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], n)
	skip := 0
	for skip < 8 && all[skip] == 0 {
		skip++
	}
	return append(append(dst, byte(8-skip)), all[skip:]...)
}

// readPosition reads what appendPosition wrote.
func readPosition(b []byte) (domain.Position, error) {
	commit, rest, ok := readOrdered(b)
	if !ok || len(rest) == 0 {
		return domain.Position{}, errDamaged
	}
	if rest[0] == 1 {
		return domain.Position{Commit: commit, Prepare: commit}, nil
	}
	prepare, _, ok := readOrdered(rest[1:])
	if !ok {
		return domain.Position{}, errDamaged
	}
	return domain.Position{Commit: commit, Prepare: prepare}, nil
}

func readOrdered(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] > 8 || len(b) <= int(b[0]) {
		return 0, nil, false
	}
	for _, c := range b[1 : 1+b[0]] {
		n = n<<8 | uint64(c)
	}
	return n, b[1+b[0]:], true
}
