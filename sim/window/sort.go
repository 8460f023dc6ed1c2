package window

import (
	"math/bits"
	"slices"
)

// A key holds an event's moment within its window, below 2^32, in the upper half
// and its place in the lower.

// Key makes a key.
func Key(at uint32, place int) uint64 { return uint64(at)<<32 | uint64(uint32(place)) }

// radixBits is how many bits a key is put in its bucket by, at the most: 4,096 counters
// fit the first-level cache.
const radixBits = 12

// crowded is from how many keys on a bucket is worth more than an insertion sort.
const crowded = 24

// Sort sorts keys by moment, then by place. It returns the sorted keys, in the memory
// of either argument; spare is grown at need and returned for the next call.
func Sort(keys, spare []uint64) (sorted, other []uint64) {
	n := len(keys)
	if n <= crowded {
		insert(keys)
		return keys, spare
	}
	var all uint64
	for _, k := range keys {
		all |= k
	}
	if cap(spare) < n {
		spare = make([]uint64, n, n+n/4)
	}
	out := spare[:n]
	// As many buckets as keys, by the upper bits of the moment: what is due in a window
	// is spread over it, so that a bucket holds one or two.
	radix := min(bits.Len(uint(n)), radixBits)
	shift := max(bits.Len64(all)-radix, 0)
	var counters [1 << radixBits]uint32
	count := counters[:1<<radix]
	for _, k := range keys {
		count[k>>shift&(1<<radixBits-1)]++
	}
	var sum, most uint32
	for i, n := range count {
		count[i] = sum
		sum += n
		most = max(most, n)
	}
	for _, k := range keys {
		c := &count[k>>shift&(1<<radixBits-1)]
		out[*c] = k
		*c++
	}
	if most <= crowded {
		insert(out)
		return out, keys
	}
	var from uint32
	for _, till := range count { // now where each bucket ends
		if bucket := out[from:till]; len(bucket) <= crowded {
			insert(bucket)
		} else {
			slices.Sort(bucket)
		}
		from = till
	}
	return out, keys
}

// insert sorts keys that are few, or nearly in order.
func insert(keys []uint64) {
	for i := 1; i < len(keys); i++ {
		k := keys[i]
		j := i
		for ; j > 0 && keys[j-1] > k; j-- {
			keys[j] = keys[j-1]
		}
		keys[j] = k
	}
}
