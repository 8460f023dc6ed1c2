package fairness

import (
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func close(a, b, rel float64) bool { return math.Abs(a-b) <= rel*max(math.Abs(a), math.Abs(b)) }

// every counts the outcomes of small pools one by one: which entries of each pool win.
// The first g entries of a pool are the level's; each winner among them weighs psi.
func every(pools []hyper, psi float64) map[int64]float64 {
	sum := map[int64]float64{0: 1}
	for _, h := range pools {
		next, all := map[int64]float64{}, 0.0
		for set := range uint32(1) << h.n {
			if bits.OnesCount32(set) != int(h.k) {
				continue
			}
			w := int64(bits.OnesCount32(set & (1<<h.g - 1)))
			weight := math.Pow(psi, float64(w))
			all += weight
			for x, p := range sum {
				next[x+w] += p * weight
			}
		}
		for x := range next {
			next[x] /= all
		}
		sum = next
	}
	return sum
}

// The law of several pools, fair and favoured, against every outcome counted.
func TestLawAgainstEveryOutcome(t *testing.T) {
	for _, pools := range [][]hyper{
		{{8, 3, 4}}, {{9, 9, 4}}, {{5, 0, 2}}, {{10, 7, 9}}, {{1, 1, 1}, {3, 1, 3}},
		{{6, 3, 2}, {5, 2, 5}, {7, 1, 3}}, {{10, 5, 1}, {10, 5, 9}, {4, 2, 0}, {3, 2, 2}},
	} {
		sum := totalOf(pools)
		for _, theta := range []float64{0, 0.7, -2} {
			want, got := every(pools, math.Exp(theta)), sum.law(theta)
			var mean, m2, m3 float64
			for x, p := range want {
				mean += float64(x) * p
			}
			for x, p := range want {
				d := float64(x) - mean
				m2, m3 = m2+d*d*p, m3+d*d*d*p
				if x < got.lo || x > got.hi() || !close(got.p[x-got.lo], p, 1e-12) {
					t.Errorf("%v, theta %g: P(%d) = %v, want %g", pools, theta, x, got, p)
				}
			}
			if len(want) != len(got.p) {
				t.Errorf("%v, theta %g: %d values, want %d", pools, theta, len(got.p), len(want))
			}
			if theta == 0 && (!close(sum.mean, mean, 1e-12) || math.Abs(sum.variance-m2) > 1e-12 || math.Abs(sum.skew3-m3) > 1e-12) {
				t.Errorf("%v: moments %g %g %g, want %g %g %g", pools, sum.mean, sum.variance, sum.skew3, mean, m2, m3)
			}
		}
		// Every p value and both ends of every interval.
		fair := every(pools, 1)
		for w := sum.lo; w <= sum.hi && len(sum.parts) > 0; w++ {
			below, above := 0.0, 0.0
			for x, p := range fair {
				if x <= w {
					below += p
				}
				if x >= w {
					above += p
				}
			}
			out := sum.judge(w, 0.9, 0.05, 0.9)
			if !close(out.p, min(1, 2*min(below, above)), 1e-12) || out.method != MethodExact {
				t.Errorf("%v: p of %d is %g (%s), want %g", pools, w, out.p, out.method, 2*min(below, above))
			}
			for _, end := range []struct {
				mean  float64
				upper bool // P(W ≥ w) is 5 % there, else P(W ≤ w)
			}{{out.lo, true}, {out.hi, false}} {
				if end.mean == float64(sum.lo) && end.upper || end.mean == float64(sum.hi) && !end.upper {
					continue // no odds ratio is small or large enough
				}
				theta := solve(func(th float64) bool { return meanOf(every(pools, math.Exp(th))) > end.mean })
				tail := 0.0
				for x, p := range every(pools, math.Exp(theta)) {
					if end.upper && x >= w || !end.upper && x <= w {
						tail += p
					}
				}
				if math.Abs(tail-0.05) > 1e-6 {
					t.Errorf("%v: at the end %+v of the interval of %d the tail is %g, want 0.05", pools, end, w, tail)
				}
			}
		}
	}
}

func meanOf(law map[int64]float64) (mean float64) {
	for x, p := range law {
		mean += float64(x) * p
	}
	return mean
}

// Tails of large pools, computed apart with 60 digits from factorials by mpmath.
func TestLargeTails(t *testing.T) {
	for _, c := range []struct {
		h    hyper
		w    int64
		want float64
	}{
		{hyper{30_000_000, 300_000, 1_250_000}, 13_000, 2.5617916923596963e-6},
		{hyper{30_000_000, 300_000, 1_250_000}, 12_500, 0.50128319217373283},
		{hyper{30_000_000, 300_000, 15_000_000}, 151_500, 1.8666180661237452e-8},
		{hyper{2_629_006, 100_237, 109_542}, 4_500, 1.3197995939902921e-7},
		{hyper{5_000, 100, 300}, 16, 0.00025488706297473263},
	} {
		if _, above := c.h.law(0).tails(c.w); !close(above, c.want, 1e-11) {
			t.Errorf("P(W ≥ %d) of %+v = %.17g, want %.17g", c.w, c.h, above, c.want)
		}
	}
	// The 99 % interval of 16 winners of 300, of 5,000 entries and 100 winners, likewise.
	out := totalOf([]hyper{{5_000, 100, 300}}).judge(16, 0.99, 0.001, 0.99)
	if !close(out.lo, 7.96308481751587, 1e-9) || !close(out.hi, 27.1011033144008, 1e-9) {
		t.Errorf("interval %.12g … %.12g", out.lo, out.hi)
	}
	// C(30, 10)-sized numbers as fractions: no rounding at all.
	h := hyper{60, 25, 31}
	all := new(big.Int).Binomial(h.n, h.k)
	l := h.law(0)
	for x := l.lo; x <= l.hi(); x++ {
		ways := new(big.Int).Mul(new(big.Int).Binomial(h.g, x), new(big.Int).Binomial(h.n-h.g, h.k-x))
		if want, _ := new(big.Rat).SetFrac(ways, all).Float64(); !close(l.p[x-l.lo], want, 1e-13) {
			t.Errorf("P(%d) = %g, want %g", x, l.p[x-l.lo], want)
		}
	}
}

// Far out, where the fair law has no digits left, the interval still stands around w.
func TestFarInterval(t *testing.T) {
	sum := totalOf([]hyper{{1_000_000, 20_000, 30_000}, {2_000_000, 2_000, 70_000}})
	for _, w := range []int64{sum.lo, 5, 10_000, sum.hi - 1, sum.hi} {
		out := sum.judge(w, 0.99, 1e-5, 0.99)
		if out.p != leastP || !(out.lo <= float64(w) && float64(w) <= out.hi && out.hi-out.lo < 6*math.Sqrt(float64(w)+3)+3) {
			t.Errorf("%d winners, about %.0f expected: p %g, interval %.1f … %.1f", w, sum.mean, out.p, out.lo, out.hi)
		}
	}
}

// The normal stand-in for what is too much work, held against the exact law where both
// can be had: the statement at total.normal.
func TestNormalAgainstExact(t *testing.T) {
	worst := 0.0
	for _, hs := range [][]hyper{
		{{30_000_000, 2_000_000, 2_000_000}}, {{30_000_000, 3_000_000, 27_000_000}},
		{{20_000_000, 400_000, 5_000_000}, {10_000_000, 300_000, 1_000_000}},
	} {
		sum := totalOf(hs)
		if sum.sigma() < 300 {
			t.Fatalf("%v: σ is %g", hs, sum.sigma())
		}
		for _, z := range []float64{-6, -4.5, -2, 0.5, 4.5, 6} {
			w := int64(math.Round(sum.mean + z*sum.sigma()))
			exact, normal := sum.judge(w, 0.99, 1e-5, 0.99), sum.normal(w, 0.99, 1e-5, 0.99)
			if exact.method != MethodExact || normal.method != MethodNormal {
				t.Fatalf("methods %s and %s", exact.method, normal.method)
			}
			off := normal.p/exact.p - 1
			worst = max(worst, math.Abs(off))
			if exact.p > 1e-9 && (off < -0.02 || off > 0.1) {
				t.Errorf("%v at %g σ: p %g, exact %g", hs, z, normal.p, exact.p)
			}
			if s := sum.sigma(); math.Abs(normal.lo-exact.lo) > 0.05*s || math.Abs(normal.hi-exact.hi) > 0.05*s || math.Abs(normal.noticed-exact.noticed) > 0.1*s {
				t.Errorf("%v at %g σ: interval %.0f … %.0f and %.0f noticed, exact %.0f … %.0f and %.0f", hs, z, normal.lo, normal.hi, normal.noticed, exact.lo, exact.hi, exact.noticed)
			}
		}
	}
	t.Logf("largest relative error of p up to 6 σ: %.3g", worst)
}

// What the report says it would notice is noticed that often, and what is a little less
// is not: simulated by draws from the law with that favour.
func TestNoticed(t *testing.T) {
	const level, power, n = 1e-4, 0.9, 20_000
	sum := totalOf([]hyper{{3_000, 90, 700}, {2_000, 200, 300}})
	out := sum.judge(50, 0.99, level, power)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ mean, lo, hi float64 }{{out.noticed, 0.89, 0.91}, {sum.mean + 0.9*(out.noticed-sum.mean), 0, 0.85}} {
		l := sum.law(sum.exactOdds(c.mean))
		hits := 0
		for range n {
			u, w := rng.Float64(), l.lo
			for u -= l.p[0]; u > 0 && w < l.hi(); u -= l.p[w-l.lo] {
				w++
			}
			if below, above := sum.law(0).tails(w); 2*min(below, above) <= level {
				hits++
			}
		}
		if share := float64(hits) / n; share < c.lo || share > c.hi {
			t.Errorf("%.1f winners for %.1f are noticed in %.3f of draws, want %.2f to %.2f", c.mean, sum.mean, share, c.lo, c.hi)
		}
	}
}

// exactOdds is where the mean of the law is w, without an approximation.
func (t total) exactOdds(w float64) float64 {
	base := t.law(0)
	return solve(func(th float64) bool { _, _, mean, _, _ := base.tilt(0).at(th); return mean > w })
}

// solve finds where a condition that turns true once does so, by halving.
func solve(over func(float64) bool) float64 {
	lo, hi := -farthest, farthest
	for range 60 {
		if mid := (lo + hi) / 2; over(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return (lo + hi) / 2
}

func TestLawProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var hs []hyper
		for range rapid.IntRange(1, 6).Draw(t, "pools") {
			n := rapid.Int64Range(1, 100_000).Draw(t, "n")
			hs = append(hs, hyper{n, rapid.Int64Range(0, n).Draw(t, "k"), rapid.Int64Range(0, n).Draw(t, "g")})
		}
		sum := totalOf(hs)
		l := sum.law(0)
		_, _, mean, _, _ := l.tilt(0).at(0)
		if math.Abs(mean-sum.mean) > 1e-7*(1+sum.mean) || l.lo < sum.lo || l.hi() > sum.hi {
			t.Fatalf("%v: mean %g of %g, %d … %d in %d … %d", hs, mean, sum.mean, l.lo, l.hi(), sum.lo, sum.hi)
		}
		w := rapid.Int64Range(sum.lo, sum.hi).Draw(t, "w")
		out := sum.judge(w, 0.95, 1e-4, 0.99)
		if !(out.p >= leastP && out.p <= 1 && out.lo <= float64(w)+1e-6 && out.hi >= float64(w)-1e-6 && out.lo >= float64(sum.lo)-1e-6 && out.hi <= float64(sum.hi)+1e-6) {
			t.Fatalf("%v: %d winners: %+v", hs, w, out)
		}
		// The interval of 95 % holds the fair mean exactly when p is above 5 %.
		if inside := out.lo < sum.mean && sum.mean < out.hi; len(sum.parts) > 0 && inside != (out.p > 0.05) && math.Abs(out.p-0.05) > 1e-6 {
			t.Fatalf("%v: %d winners of %g: p %g, interval %g … %g", hs, w, sum.mean, out.p, out.lo, out.hi)
		}
		if out.noticed < sum.mean {
			t.Fatalf("%v: a disadvantage is noticed as a favour: %g below %g", hs, out.noticed, sum.mean)
		}
	})
}
