package window

import (
	"math/bits"
	"slices"
)

// A key holds an event's moment within its window, below 2^32, in the upper half
// and its place in the lower.

// Key makes a key.
func Key(at uint32, place int) uint64 { return uint64(at)<<32 | uint64(uint32(place)) }

// radixBits is how many bits one pass sorts by: 2,048 counters fit the first-level cache.
const radixBits = 11

// Sort sorts keys by moment, then by place; their places must ascend already. It
// returns the sorted keys, in the memory of either argument; spare is grown at need
// and returned for the next call.
func Sort(keys, spare []uint64) (sorted, other []uint64) {
	if len(keys) < 200 { // below, clearing the counters would cost more
		slices.Sort(keys)
		return keys, spare
	}
	var all uint64
	for _, k := range keys {
		all |= k
	}
	if cap(spare) < len(keys) {
		spare = make([]uint64, len(keys), len(keys)+len(keys)/4)
	}
	a, b := keys, spare[:len(keys)]
	var count [1 << radixBits]uint32
	for shift := 32; shift < bits.Len64(all); shift += radixBits {
		clear(count[:])
		for _, k := range a {
			count[k>>shift&(1<<radixBits-1)]++
		}
		var sum uint32
		for i, n := range count {
			count[i] = sum
			sum += n
		}
		for _, k := range a {
			c := &count[k>>shift&(1<<radixBits-1)]
			b[*c] = k
			*c++
		}
		a, b = b, a
	}
	return a, b
}
