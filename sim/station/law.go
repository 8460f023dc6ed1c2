package station

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"spillway/internal/draw"
	"spillway/internal/record"
)

// Kind is the family of a Law.
type Kind uint8

// The kinds. The zero Kind is no law at all.
const (
	KindNone        Kind = iota
	KindExponential      // by its mean
	KindLogNormal        // by its mean and coefficient of variation
	KindConstant         // always the mean
	KindEmpirical        // from measured values or from the buckets of a record's histogram
)

// Law is the distribution of a duration. Durations are drawn as whole
// nanoseconds, rounded to the nearest, so keep means above a microsecond or so.
// The zero Law is none: no patience, no delay.
type Law struct {
	Kind    Kind
	Mean    time.Duration   // KindExponential, KindLogNormal, KindConstant
	CV      float64         // standard deviation over mean, > 0; KindLogNormal
	Values  []time.Duration // KindEmpirical: each equally likely
	Buckets []record.Bucket // KindEmpirical instead of Values: by count, uniform inside a bucket
}

// Exponential is the memoryless law.
func Exponential(mean time.Duration) Law { return Law{Kind: KindExponential, Mean: mean} }

// LogNormal is the log-normal law with the given mean and coefficient of
// variation (standard deviation over mean).
func LogNormal(mean time.Duration, cv float64) Law {
	return Law{Kind: KindLogNormal, Mean: mean, CV: cv}
}

// Constant is always d.
func Constant(d time.Duration) Law { return Law{Kind: KindConstant, Mean: d} }

// Empirical draws from measured durations, each equally likely.
func Empirical(values []time.Duration) Law { return Law{Kind: KindEmpirical, Values: values} }

// FromBuckets draws from the buckets of a record's histogram (Hist.Buckets). The
// resolution is the record's: a value is right to 1/256.
func FromBuckets(buckets []record.Bucket) Law { return Law{Kind: KindEmpirical, Buckets: buckets} }

// longest bounds every mean and measured value, 208 days, and 64 times as much
// every draw, so that no sum of two moments overflows.
const longest = time.Duration(1 << 54)

func (l Law) check(what string) error {
	bad := func(why string) error { return fmt.Errorf("%w: %s: %s", ErrConfig, what, why) }
	if l.Mean > longest {
		return bad(fmt.Sprintf("mean %v, at most %v", l.Mean, longest))
	}
	switch l.Kind {
	case KindNone:
		return bad("no law given; use Exponential, LogNormal, Constant or Empirical")
	case KindExponential, KindConstant:
		if l.Mean <= 0 {
			return bad(fmt.Sprintf("mean %v, must be above 0", l.Mean))
		}
	case KindLogNormal:
		// Beyond a cv of 100 a mean is decided by values that a run will never draw.
		if l.Mean <= 0 || !(l.CV > 0 && l.CV <= 100) {
			return bad(fmt.Sprintf("log-normal with mean %v and cv %v, must be above 0 and the cv at most 100", l.Mean, l.CV))
		}
	case KindEmpirical:
		if (len(l.Values) == 0) == (len(l.Buckets) == 0) {
			return bad("give either Values or Buckets")
		}
		if len(l.Values) > 0 && (slices.Min(l.Values) < 0 || slices.Max(l.Values) > longest) {
			return bad(fmt.Sprintf("values must lie between 0 and %v", longest))
		}
		var n uint64
		last := time.Duration(-1)
		for _, b := range l.Buckets {
			if b.Top <= last || b.Top > longest || n+b.Count < n {
				return bad(fmt.Sprintf("buckets must ascend, end before %v, and their counts fit 64 bits", longest))
			}
			last = b.Top
			n += b.Count
		}
		if s := l.sampler(); !(s.average() > 0) {
			return bad("the mean must be above 0")
		}
	default:
		return bad(fmt.Sprintf("unknown kind %d", l.Kind))
	}
	return nil
}

// sampler is a law made ready for drawing; nanoseconds throughout.
type sampler struct {
	kind      Kind
	mean      float64
	mu, sigma float64 // of the logarithm
	values    []int64
	tops      []int64  // bucket bounds, the buckets' lower edges in lows
	lows      []int64  //
	sums      []uint64 // counts up to and including each bucket
}

func (l Law) sampler() sampler {
	s := sampler{kind: l.Kind, mean: float64(l.Mean)}
	switch l.Kind {
	case KindLogNormal:
		v := draw.Log(1 + float64(l.CV*l.CV))
		s.sigma, s.mu = math.Sqrt(v), draw.Log(s.mean)-float64(v/2)
	case KindEmpirical:
		for _, v := range l.Values {
			s.values = append(s.values, int64(v))
		}
		var n uint64
		last := int64(-1)
		for _, b := range l.Buckets {
			top := int64(b.Top)
			n += b.Count
			s.tops = append(s.tops, top)
			// A bucket is 1/256 of its value wide at most; the one below may be empty.
			s.lows = append(s.lows, max(last+1, top-top>>8))
			s.sums = append(s.sums, n)
			last = top
		}
		s.mean = s.average()
	}
	return s
}

// average is the mean of the law in nanoseconds.
func (s *sampler) average() float64 {
	if s.kind != KindEmpirical {
		return s.mean
	}
	var sum, n float64
	for _, v := range s.values {
		sum += float64(v)
		n++
	}
	var before uint64
	for i, upTo := range s.sums {
		count := float64(upTo - before)
		sum += float64(count * (float64(s.tops[i]+s.lows[i]) / 2))
		n += count
		before = upTo
	}
	return sum / n
}

// at is the duration that a draw stands for.
func (s *sampler) at(u uint64) int64 {
	switch s.kind {
	case KindExponential:
		return int64(float64(s.mean*draw.FastExp(u)) + 0.5)
	case KindConstant:
		return int64(s.mean)
	case KindLogNormal:
		return int64(min(draw.Exponential(s.mu+float64(s.sigma*draw.Normal(u)))+0.5, float64(64*longest)))
	}
	if len(s.values) > 0 {
		hi, _ := bits.Mul64(u, uint64(len(s.values)))
		return s.values[hi]
	}
	// The high word chooses the bucket, the low word, still uniform, the place in it.
	hi, lo := bits.Mul64(u, s.sums[len(s.sums)-1])
	i, _ := slices.BinarySearch(s.sums, hi+1) // the first bucket whose sum is above hi
	within, _ := bits.Mul64(lo, uint64(s.tops[i]-s.lows[i]+1))
	return s.lows[i] + int64(within)
}

// fill draws for the customers first, first+1, … at once.
func (s *sampler) fill(dst []int64, seed draw.Seed, purpose uint8, first uint64) {
	switch s.kind {
	case KindExponential:
		for i := range dst {
			dst[i] = int64(float64(s.mean*draw.FastExp(seed.U64(purpose, first+uint64(i), 1))) + 0.5)
		}
	case KindConstant:
		for i := range dst {
			dst[i] = int64(s.mean)
		}
	default:
		for i := range dst {
			dst[i] = s.at(seed.U64(purpose, first+uint64(i), 1))
		}
	}
}
