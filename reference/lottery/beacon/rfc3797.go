package beacon

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
)

// PoolMax is the largest pool of RFC 3797, whose index has two bytes.
const PoolMax = 65535

// Key3797 is the canonical key string of RFC 3797, section 4, for whole numbers:
// the numbers of each source in ascending order, a dot after each, a slash after
// the source. The order of the sources is kept.
func Key3797(sources [][]int64) string {
	var key []byte
	for _, numbers := range sources {
		for _, n := range slices.Sorted(slices.Values(numbers)) {
			key = append(strconv.AppendInt(key, n, 10), '.')
		}
		key = append(key, '/')
	}
	return string(key)
}

// Pick3797 selects from a pool numbered 1 to pool as RFC 3797 does, literally:
// pick i, from 0, is MD5(i ∥ key ∥ i) modulo the number of those who are left, i
// in two bytes, most significant first. Our own draw does not select this way:
// the method ends at 65,535 people and nobody can check his own place alone. It
// fails on a pool or a number of picks outside 1 to 65,535, and on more picks
// than the pool has.
func Pick3797(key string, pool, picks int) ([]int, error) {
	if pool < 1 || pool > PoolMax {
		return nil, fmt.Errorf("pool %d: RFC 3797 wants 1 to %d", pool, PoolMax)
	}
	if picks < 1 || picks > pool {
		return nil, fmt.Errorf("%d picks: want 1 to the pool's %d", picks, pool)
	}
	left := make([]uint16, pool)
	for i := range left {
		left[i] = uint16(i + 1)
	}
	picked := make([]int, 0, picks)
	for i := range picks {
		sum := hash3797(key, uint16(i))
		k := bits.Rem64(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:]), uint64(len(left)))
		picked = append(picked, int(left[k]))
		left = slices.Delete(left, int(k), int(k)+1)
	}
	return picked, nil
}

func hash3797(key string, i uint16) [md5.Size]byte {
	text := binary.BigEndian.AppendUint16(make([]byte, 0, len(key)+4), i)
	return md5.Sum(binary.BigEndian.AppendUint16(append(text, key...), i))
}
