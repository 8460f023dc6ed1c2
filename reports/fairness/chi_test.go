package fairness

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// P(χ² ≥ x), computed apart with 30 digits by mpmath.
func TestChiTailValues(t *testing.T) {
	for _, c := range []struct {
		x    float64
		df   int
		want float64
	}{{37.1562, 22, 0.022738828}, {3.841458820694124, 1, 0.05}, {23.209251158954356, 10, 0.01}, {100, 22, 6.4501529e-12}, {0, 3, 1}, {5, 0, 1}, {1e6, 1, leastP}} {
		if got := chiTail(c.x, c.df); !close(got, c.want, 1e-7) {
			t.Errorf("P(χ²_%d ≥ %g) = %g, want %g", c.df, c.x, got, c.want)
		}
	}
}

// With one pool the quadratic form is Pearson's χ² of winners and losers times (N−1)/N.
func TestChiOnePool(t *testing.T) {
	entries, winners := []int64{1200, 3000, 800, 5000, 9000}, []int64{20, 25, 22, 41, 92}
	pool := Pool{Entries: 19_000, Winners: 200}
	x2, df, merged := chi([]Pool{pool}, [][]int64{entries}, winners)
	// They expect 13, 32, 8, 53 and 95: the three small ones together pass 100/2.
	both := [][]int64{{67, 4933}, {41, 4959}, {92, 8908}}
	want, wantDF, _ := Pearson(both)
	if merged != 3 || df != wantDF || !close(x2, want*18_999/19_000, 1e-12) {
		t.Errorf("χ² %g of %d d.f., %d merged; want %g of %d", x2, df, merged, want*18_999/19_000, wantDF)
	}
	for _, few := range [][]int64{{1000, 18_000}, {1000, 1000, 17_000}} { // two groups, or two left
		won := make([]int64, len(few))
		won[0] = 200
		if _, df, _ := chi([]Pool{pool}, [][]int64{few}, won); df != 0 {
			t.Errorf("%v: %d d.f.", few, df)
		}
	}
}

// Over several pools the statistic must have the mean of its degrees of freedom over all
// outcomes of a fair draw, counted one by one: that is so only with the right covariance.
// leastExpected stands in the way of small numbers, so the form itself is taken.
func TestChiCovariance(t *testing.T) {
	type pool struct {
		level []int // of each entry
		k     int
	}
	pools := []pool{{[]int{0, 0, 1, 1, 2, 2, 2}, 3}, {[]int{0, 1, 1, 1, 2}, 2}, {[]int{3, 3, 3}, 1}, {[]int{3, 4, 4}, 2}}
	const levels = 5 // 0 to 2 and 3 to 4 never meet: each side loses a degree of freedom
	cov, fair := make([]float64, levels*levels), make([]float64, levels)
	for _, p := range pools {
		f := make([]float64, levels)
		for _, g := range p.level {
			f[g] += 1 / float64(len(p.level))
		}
		c := spread(int64(len(p.level)), int64(p.k))
		for i := range levels {
			fair[i] += float64(p.k) * f[i]
			cov[i*levels+i] += c * f[i]
			for j := range levels {
				cov[i*levels+j] -= c * f[i] * f[j]
			}
		}
	}
	outcomes := [][]float64{make([]float64, levels)}
	for _, p := range pools {
		var next [][]float64
		for set := range uint32(1) << len(p.level) {
			if bits.OnesCount32(set) != p.k {
				continue
			}
			for _, o := range outcomes {
				w := slices.Clone(o)
				for i, g := range p.level {
					w[g] += float64(set >> i & 1)
				}
				next = append(next, w)
			}
		}
		outcomes = next
	}
	mean, rank := 0.0, 0
	for _, w := range outcomes {
		for g := range w {
			w[g] -= fair[g]
		}
		var x2 float64
		x2, rank = quadratic(slices.Clone(cov), w)
		mean += x2 / float64(len(outcomes))
	}
	if rank != 3 || math.Abs(mean-3) > 1e-9 {
		t.Errorf("mean of χ² %g over %d outcomes, rank %d; both must be 3", mean, len(outcomes), rank)
	}
}

// A covariance of n levels that add up has rank n − 1, whatever rounding leaves.
func TestQuadraticRank(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	for n := 2; n < 60; n++ {
		f, all := make([]float64, n), 0.0
		for i := range f {
			f[i] = 1 + 99*rng.Float64()
			all += f[i]
		}
		cov, off := make([]float64, n*n), make([]float64, n)
		for i := range f {
			cov[i*n+i] += 1000 * f[i] / all
			for j := range f {
				cov[i*n+j] -= 1000 * f[i] * f[j] / all / all
			}
		}
		off[0], off[n-1] = 3, -3
		x2, rank := quadratic(cov, off)
		if want := 9*all/f[0]/1000 + 9*all/f[n-1]/1000; rank != n-1 || !close(x2, want, 1e-9) {
			t.Errorf("%d levels: rank %d, χ² %g, want %g", n, rank, x2, want)
		}
	}
}

// The trend's mean, variance and skewness over all outcomes of two small pools.
func TestTrendMoments(t *testing.T) {
	pools := []Pool{{Entries: 7, Winners: 2}, {Entries: 5, Winners: 3}, {Entries: 1, Winners: 1}}
	of := [][]int{{0, 0, 0, 1, 2, 3, 3}, {0, 1, 1, 3, 3}, {2}}
	entries := make([][]int64, len(of))
	for p := range of {
		entries[p] = make([]int64, 4)
		for _, g := range of[p] {
			entries[p][g]++
		}
	}
	wins := [][]int64{{0, 0, 0, 0}}
	for p := range of {
		var next [][]int64
		for set := range uint32(1) << len(of[p]) {
			if bits.OnesCount32(set) != int(pools[p].Winners) {
				continue
			}
			for _, w := range wins {
				w = slices.Clone(w)
				for i, g := range of[p] {
					w[g] += int64(set >> i & 1)
				}
				next = append(next, w)
			}
		}
		wins = next
	}
	var m1, m2, m3, skew float64
	for _, w := range wins {
		var z float64
		z, skew = trend(pools, entries, w)
		n := float64(len(wins))
		m1, m2, m3 = m1+z/n, m2+z*z/n, m3+z*z*z/n
	}
	if math.Abs(m1) > 1e-12 || math.Abs(m2-1) > 1e-12 || math.Abs(m3-skew) > 1e-12 {
		t.Errorf("moments of z: %g %g %g, want 0 1 %g", m1, m2, m3, skew)
	}
}

// The tails of χ² and of the trend as far out as a correction for many tests reaches,
// over fair draws with few winners a level: the least that leastExpected lets stand, alike.
func TestChiTail(t *testing.T) {
	const sims, n, winners = 150_000, 2400, 120
	sizes := []int64{200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200}
	skewed := []int64{1200, 600, 300, 200, 100} // as times lost before are: winners 60, 30, 15, 10, 5
	var chis, trends [2]int
	limits := [2]float64{1e-3, 1e-4}
	rng := rand.New(rand.NewPCG(5, 6))
	perm := make([]int, n)
	for i := range perm {
		perm[i] = i
	}
	pools := []Pool{{Entries: n, Winners: winners}}
	for range sims {
		even, times := make([]int64, len(sizes)), make([]int64, len(skewed))
		for i := range winners {
			j := i + rng.IntN(n-i)
			perm[i], perm[j] = perm[j], perm[i]
			even[perm[i]/200]++
			for g, rest := 0, int64(perm[i]); ; g++ {
				if rest -= skewed[g]; rest < 0 {
					times[g]++
					break
				}
			}
		}
		x2 := 0.0 // the form of chi for equal levels, without its 12 × 12 eigenvalues
		for _, w := range even {
			x2 += (float64(w) - 10) * (float64(w) - 10) * (n - 1) / (n - winners) / 10
		}
		z, skew := trend(pools, [][]int64{skewed}, times)
		if z < 0 {
			skew = -skew
		}
		for i, l := range limits {
			if chiTail(x2, len(sizes)-1) <= l {
				chis[i]++
			}
			if 2*tailNormal(math.Abs(z), skew) <= l {
				trends[i]++
			}
		}
	}
	for i, l := range limits {
		c, tr := float64(chis[i])/sims/l, float64(trends[i])/sims/l
		t.Logf("p ≤ %g: χ² %.2f and trend %.2f times as often as stated", l, c, tr)
		if most := []float64{1.4, 2.2}[i]; c > most || tr > most {
			t.Errorf("p ≤ %g: χ² %.2f and trend %.2f times as often as stated", l, c, tr)
		}
	}
}

// One level that expects the least that is let stand, among large ones: its exact law
// beside the χ² of the rest says how often a fair draw passes the limit.
func TestChiSkewness(t *testing.T) {
	for _, df := range []int{2, 3, 5, 11, 23} {
		e := leastExpected(df)
		h := hyper{1_000_000, 10_000, int64(e * 100)} // 1 % win
		l, sigma := h.law(0), math.Sqrt(h.variance())
		for _, limit := range []float64{1e-4, 1e-5} {
			lo, hi := 0.0, 200.0
			for range 60 {
				if mid := (lo + hi) / 2; chiTail(mid, df) > limit {
					lo = mid
				} else {
					hi = mid
				}
			}
			share := 0.0
			for i, p := range l.p {
				z := (float64(l.lo+int64(i)) - h.mean()) / sigma
				share += p * chiTail(lo-z*z, df-1)
			}
			if share > 2*limit {
				t.Errorf("%d d.f.: p ≤ %g in %.2g of fair draws", df, limit, share)
			}
			t.Logf("%d d.f., %.0f expected: p ≤ %g %.2f times as often as stated", df, e, limit, share/limit)
		}
	}
}

func TestGather(t *testing.T) {
	for _, c := range []struct {
		win, lose []float64
		group     []int
		groups    int
		merged    int
	}{
		{[]float64{20, 30}, []float64{99, 99}, []int{0, 1}, 2, 0},
		{[]float64{4, 50, 9, 12, 4, 9}, []float64{99, 99, 99, 99, 99, 99}, []int{0, 2, 0, 1, 0, 0}, 3, 4},
		{[]float64{4, 50, 12}, []float64{99, 99, 99}, []int{0, 1, 0}, 2, 2},
		{[]float64{4, 3}, []float64{99, 99}, []int{0, 0}, 1, 2},
		{[]float64{40, 30, 50}, []float64{1, 99, 99}, []int{0, 0, 1}, 2, 2},
	} {
		group, groups, merged := gather(c.win, c.lose, 10)
		if !slices.Equal(group, c.group) || groups != c.groups || merged != c.merged {
			t.Errorf("%v: groups %v, %d, %d merged; want %v, %d, %d", c.win, group, groups, merged, c.group, c.groups, c.merged)
		}
	}
}
