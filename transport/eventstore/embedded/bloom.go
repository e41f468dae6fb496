package embedded

import "math/bits"

// A bloom filter is cut into blocks of 64 bytes. A hash chooses a block and six bits in it.
const (
	bloomBlock  = 64
	bloomPerKey = 12 // bits; about one false answer in 150
	bloomBits   = 6
)

// bloomBlocks is how many blocks a filter for so many keys has.
func bloomBlocks(keys uint64) uint64 { return max(1, (keys*bloomPerKey+8*bloomBlock-1)/(8*bloomBlock)) }

// bloomBlockOf is the block that a hash chooses among n.
func bloomBlockOf(hash, n uint64) uint64 {
	high, _ := bits.Mul64(hash*0x9e37_79b9_7f4a_7c15, n)
	return high
}

// bloomPattern is the six bits that a hash chooses, nine bits of it for each.
func bloomPattern(hash uint64) uint64 { return (hash ^ hash>>32) * 0xd6e8_feb8_6659_fd93 }

func bloomAdd(block []byte, hash uint64) {
	p := bloomPattern(hash)
	for range bloomBits {
		block[p>>3&63] |= 1 << (p & 7)
		p >>= 9
	}
}

func bloomHas(block []byte, hash uint64) bool {
	p := bloomPattern(hash)
	for range bloomBits {
		if block[p>>3&63]&(1<<(p&7)) == 0 {
			return false
		}
		p >>= 9
	}
	return true
}

// bloomFilter is a filter being filled.
type bloomFilter struct{ blocks []byte }

func newBloom(keys uint64) *bloomFilter {
	return &bloomFilter{make([]byte, bloomBlocks(keys)*bloomBlock)}
}

func (f *bloomFilter) len() uint64 { return uint64(len(f.blocks) / bloomBlock) }

func (f *bloomFilter) add(hash uint64) {
	bloomAdd(f.blocks[bloomBlockOf(hash, f.len())*bloomBlock:][:bloomBlock], hash)
}
