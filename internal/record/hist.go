package record

import (
	"maps"
	"math/bits"
	"slices"
	"time"
)

// subBits sets the resolution: 2^8 sub-buckets an octave, so a bucket is at most
// 1/256 of its value wide.
const subBits = 8

// Hist is a sparse log-linear histogram of durations in nanoseconds with a
// relative error of at most 1/256; values below 512 ns are exact. Negative
// values count as 0. The zero value is ready for use. Not safe for concurrent use.
type Hist struct {
	counts map[uint16]uint64
	n      uint64
	sum    wide // exact, so that the order of adding leaves no trace
	min    int64
	max    int64
}

// wide is an unsigned number of 128 bits: nanoseconds of n durations always fit.
type wide struct{ hi, lo uint64 }

func (w wide) plus(o wide) wide {
	lo, carry := bits.Add64(w.lo, o.lo, 0)
	return wide{w.hi + o.hi + carry, lo}
}

func (w wide) less(o wide) bool { return w.hi < o.hi || w.hi == o.hi && w.lo < o.lo }

func product(a, b uint64) wide {
	hi, lo := bits.Mul64(a, b)
	return wide{hi, lo}
}

// bucketOf is the index of the bucket that holds v >= 0.
func bucketOf(v int64) uint16 {
	u := uint64(v)
	if u < 2<<subBits {
		return uint16(u)
	}
	shift := bits.Len64(u) - subBits - 1
	return uint16(shift<<subBits) + uint16(u>>shift)
}

// bucketTop is the largest value that falls into the bucket.
func bucketTop(b uint16) int64 {
	if b < 2<<subBits {
		return int64(b)
	}
	shift := int(b>>subBits) - 1
	return int64((uint64(b)-uint64(shift)<<subBits+1)<<shift - 1)
}

// Add counts one duration.
func (h *Hist) Add(d time.Duration) { h.AddN(d, 1) }

// AddN counts a duration n times.
func (h *Hist) AddN(d time.Duration, n uint64) {
	if n == 0 {
		return
	}
	v := max(int64(d), 0)
	if h.counts == nil {
		h.counts = make(map[uint16]uint64, 8)
	}
	if h.n == 0 || v < h.min {
		h.min = v
	}
	h.max = max(h.max, v)
	h.counts[bucketOf(v)] += n
	h.n += n
	h.sum = h.sum.plus(product(uint64(v), n))
}

// Merge adds all of o's counts; o stays as it is and may be nil.
func (h *Hist) Merge(o *Hist) {
	if o == nil || o.n == 0 {
		return
	}
	h.join(o.min, o.max, o.n, o.sum, len(o.counts))
	for b, c := range o.counts {
		h.counts[b] += c
	}
}

// join takes over all of n more durations but their buckets, at most so many.
func (h *Hist) join(least, most int64, n uint64, sum wide, buckets int) {
	if h.counts == nil {
		h.counts = make(map[uint16]uint64, buckets)
	}
	if h.n == 0 || least < h.min {
		h.min = least
	}
	h.max = max(h.max, most)
	h.n += n
	h.sum = h.sum.plus(sum)
}

// Count is the number of durations counted.
func (h *Hist) Count() uint64 {
	if h == nil {
		return 0
	}
	return h.n
}

// Mean is the exact arithmetic mean, rounded down; 0 when empty.
func (h *Hist) Mean() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	if h.sum.hi >= h.n {
		return time.Duration(h.max) // more counts than 64 bits hold: only a forged record has them
	}
	q, _ := bits.Div64(h.sum.hi, h.sum.lo, h.n)
	return time.Duration(q)
}

// Max is the exact maximum; 0 when empty.
func (h *Hist) Max() time.Duration {
	if h == nil {
		return 0
	}
	return time.Duration(h.max)
}

// Min is the exact minimum; 0 when empty.
func (h *Hist) Min() time.Duration {
	if h == nil {
		return 0
	}
	return time.Duration(h.min)
}

// Quantile is the smallest value with at least a share q of the counts at or
// below it, to 1/256 and never beyond the exact extremes; 0 when empty. Whether
// the samples can carry it is another question: see Carries.
func (h *Hist) Quantile(q float64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	rank := rankOf(q, h.n)
	var seen uint64
	for _, b := range slices.Sorted(maps.Keys(h.counts)) {
		if seen += h.counts[b]; seen >= rank {
			return time.Duration(min(max(bucketTop(b), h.min), h.max))
		}
	}
	return time.Duration(h.max)
}

func rankOf(q float64, n uint64) uint64 {
	r := uint64(q * float64(n))
	if float64(r) < q*float64(n)-1e-9 {
		r++
	}
	return min(max(r, 1), n)
}

// Share is the share of counts at or below d, 0..1; 0 when empty.
func (h *Hist) Share(d time.Duration) float64 {
	if h.Count() == 0 {
		return 0
	}
	top := bucketOf(max(int64(d), 0))
	var at uint64
	for b, c := range h.counts {
		if b <= top {
			at += c
		}
	}
	return float64(at) / float64(h.n)
}

// Carries reports whether n samples can carry the quantile q: at least ten of
// them must lie beyond it (p99 from 1,000 on, p50 from 20 on), else a single
// sample decides.
func Carries(q float64, n uint64) bool { return (1-q)*float64(n) >= 10-1e-6 }

// Bucket is one bucket of a histogram: count values in (below the previous
// bucket's Top, Top].
type Bucket struct {
	Top   time.Duration
	Count uint64
}

// Buckets lists the filled buckets in ascending order.
func (h *Hist) Buckets() []Bucket {
	if h == nil {
		return nil
	}
	out := make([]Bucket, 0, len(h.counts))
	for _, b := range slices.Sorted(maps.Keys(h.counts)) {
		out = append(out, Bucket{time.Duration(bucketTop(b)), h.counts[b]})
	}
	return out
}
