package record

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every value falls into a bucket that holds it and is at most 1/256 wide.
func TestBucketsCoverAndAreNarrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(0, math.MaxInt64).Draw(t, "v")
		b := bucketOf(v)
		top := bucketTop(b)
		if top < v {
			t.Fatalf("bucket %d ends at %d below its value %d", b, top, v)
		}
		if b > 0 && bucketTop(b-1) >= v {
			t.Fatalf("%d also fits the bucket before %d", v, b)
		}
		if float64(top-v) > float64(v)/256 {
			t.Fatalf("bucket of %d is %d too wide", v, top-v)
		}
	})
}

// The oracle is a sorted slice; a bimodal sample is where digests fail.
func TestQuantileAgainstSortedSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 400).Draw(t, "n")
		var h, other Hist
		var all []time.Duration
		for i := range n {
			d := time.Duration(rapid.Int64Range(0, 2_000_000).Draw(t, "fast"))
			if rapid.Bool().Draw(t, "slow") {
				d += 15 * time.Second
			}
			all = append(all, d)
			if i%2 == 0 {
				h.Add(d)
			} else {
				other.Add(d)
			}
		}
		h.Merge(&other)
		slices.Sort(all)
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
			want := all[max(int(math.Ceil(q*float64(n)-1e-9)), 1)-1]
			got := h.Quantile(q)
			if math.Abs(float64(got-want)) > float64(want)/256 {
				t.Fatalf("q%v of %d = %v, want %v", q, n, got, want)
			}
		}
	})
}

// The mean is exact and merging keeps it, far beyond 64 bits of nanoseconds.
func TestMeanIsExact(t *testing.T) {
	var a, b Hist
	a.AddN(math.MaxInt64, 3)
	b.AddN(math.MaxInt64-10, 1)
	b.Add(-5)
	a.Merge(&b)
	if got, want := a.Mean(), time.Duration((math.MaxInt64/5)*4-2); got < want || got > want+4 {
		t.Errorf("mean %d, want about %d", got, want)
	}
	var c Hist
	c.Add(1)
	c.Merge(&Hist{})
	c.Merge(nil)
	c.Add(4)
	if c.Mean() != 2 || c.Min() != 1 || c.Max() != 4 || c.Count() != 2 {
		t.Errorf("mean %d, min %d, max %d of %d", c.Mean(), c.Min(), c.Max(), c.Count())
	}
}

func TestCarries(t *testing.T) {
	for _, c := range []struct {
		q    float64
		n    uint64
		want bool
	}{{0.99, 1000, true}, {0.99, 999, false}, {0.5, 20, true}, {0.5, 19, false}, {0.999, 10000, true}, {0.999, 9999, false}} {
		if Carries(c.q, c.n) != c.want {
			t.Errorf("Carries(%v, %d) = %v", c.q, c.n, !c.want)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var h Hist
	for i := range b.N {
		h.Add(time.Duration(i&0xfffff) * 97)
	}
}
