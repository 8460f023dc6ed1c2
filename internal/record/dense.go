package record

import (
	"math"
	"time"
)

// denseBuckets is how many buckets a Dense has: those of durations below 2^34 ns, 17 s.
const denseBuckets = 26 << subBits

// Dense is a histogram that is being filled: a table in place of a map, ten times as
// quick and a hundred times as large. It has a Hist's buckets; MoveTo leaves it empty
// for the next one. The zero value is ready for use.
type Dense struct {
	counts   [denseBuckets]uint32
	filled   []uint16 // the buckets that are not 0
	n        uint64
	sum      wide
	min, max int64
}

// AddN counts a duration n times and reports whether it fits; if not it did nothing.
func (d *Dense) AddN(v time.Duration, n uint64) bool {
	i := bucketOf(max(int64(v), 0))
	if i >= denseBuckets || n > math.MaxUint32-uint64(d.counts[i]) {
		return false
	}
	if n == 0 {
		return true
	}
	if d.counts[i] == 0 {
		d.filled = append(d.filled, i)
	}
	d.counts[i] += uint32(n)
	x := max(int64(v), 0)
	if d.n == 0 || x < d.min {
		d.min = x
	}
	d.max = max(d.max, x)
	d.n += n
	d.sum = d.sum.plus(product(uint64(x), n))
	return true
}

// MoveTo adds what was counted to histograms, and forgets it.
func (d *Dense) MoveTo(hists ...*Hist) {
	for _, h := range hists {
		if d.n == 0 {
			break
		}
		h.join(d.min, d.max, d.n, d.sum, len(d.filled))
		for _, i := range d.filled {
			h.counts[i] += uint64(d.counts[i])
		}
	}
	for _, i := range d.filled {
		d.counts[i] = 0
	}
	d.filled, d.n, d.sum, d.min, d.max = d.filled[:0], 0, wide{}, 0, 0
}
