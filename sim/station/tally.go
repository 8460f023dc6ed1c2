package station

import (
	"math"
	"math/bits"

	"spillway/internal/record"
)

// wide is an unsigned sum of 128 bits: exact, so the order of adding leaves no trace.
type wide struct{ hi, lo uint64 }

func (w *wide) add(v uint64) {
	var carry uint64
	w.lo, carry = bits.Add64(w.lo, v, 0)
	w.hi += carry
}

func (w *wide) addProduct(a, b uint64) {
	hi, lo := bits.Mul64(a, b)
	var carry uint64
	w.lo, carry = bits.Add64(w.lo, lo, 0)
	w.hi += hi + carry
}

func (w wide) minus(o wide) wide {
	lo, borrow := bits.Sub64(w.lo, o.lo, 0)
	return wide{w.hi - o.hi - borrow, lo}
}

func (w wide) float() float64 { return float64(float64(w.hi)*(1<<64)) + float64(w.lo) }

// The histogram is log-linear as a record's, 2^subBits buckets an octave, but a
// plain array: the fast loop counts two values for every customer.
const (
	subBits   = 8
	histSlots = (64-subBits)<<subBits + 1<<subBits
)

type hist struct {
	counts   [histSlots]uint64
	n        uint64
	sum      wide
	min, max int64
}

func bucketOf(v int64) int {
	u := uint64(v)
	if u < 2<<subBits {
		return int(u)
	}
	shift := bits.Len64(u) - subBits - 1
	return shift<<subBits + int(u>>shift)
}

// bucketEdges are the smallest and largest value of a bucket.
func bucketEdges(b int) (lo, hi int64) {
	if b < 2<<subBits {
		return int64(b), int64(b)
	}
	shift := b>>subBits - 1
	m := int64(b - shift<<subBits)
	return m << shift, (m+1)<<shift - 1
}

func (h *hist) add(v int64) {
	if h.n == 0 || v < h.min {
		h.min = v
	}
	h.max = max(h.max, v)
	h.counts[bucketOf(v)]++
	h.n++
	h.sum.add(uint64(v))
}

// mean is NaN when empty.
func (h *hist) mean() float64 { return h.sum.float() / float64(h.n) }

// quantile reads a quantile off the histogram, evenly spread inside a bucket; NaN
// when fewer than ten values lie beyond it.
func (h *hist) quantile(q float64) float64 {
	if !record.Carries(q, h.n) {
		return math.NaN()
	}
	rank := float64(q * float64(h.n))
	var seen float64
	for b, c := range h.counts {
		if c == 0 {
			continue
		}
		if seen+float64(c) >= rank {
			lo, hi := bucketEdges(b)
			lo, hi = max(lo, h.min), min(hi, h.max)
			return float64(lo) + float64(float64(hi-lo)*((rank-seen)/float64(c)))
		}
		seen += float64(c)
	}
	return float64(h.max)
}

// tally is what one block counted. Its customers are those whose first attempt
// fell into it, wherever they ended; its areas are over its span of time.
type tally struct {
	wait, sojourn                     hist
	customers, served, lost           uint64
	attempts, blocked, abandoned      uint64
	span                              int64 // first arrival of this block to first arrival after it
	queueArea, serviceArea, orbitArea wide  // customers × nanoseconds
	classes                           []sum // waits by class, when there are several
}

// sum is a mean in the making.
type sum struct {
	n     uint64
	total wide
}
