package fairness

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"
)

// chiTail is P(χ² ≥ x).
func chiTail(x float64, df int) float64 {
	if df < 1 || !(x > 0) {
		return 1
	}
	return floor(mathext.GammaIncRegComp(float64(df)/2, x/2))
}

// Pearson is the χ² of a table of counts, rows × columns, its degrees of freedom and its
// p value (Pearson 1900). Empty rows and columns are left out.
func Pearson(table [][]int64) (x2 float64, df int, p float64) {
	var cols []int64
	for _, row := range table {
		for j, v := range row {
			if j == len(cols) {
				cols = append(cols, 0)
			}
			cols[j] += v
		}
	}
	var all int64
	used := 0
	for _, c := range cols {
		all += c
		if c > 0 {
			used++
		}
	}
	rows := 0
	for _, row := range table {
		var sum int64
		for _, v := range row {
			sum += v
		}
		if sum == 0 {
			continue
		}
		rows++
		for j, c := range cols {
			if c > 0 {
				var v int64
				if j < len(row) {
					v = row[j]
				}
				e := float64(sum) * (float64(c) / float64(all))
				x2 += (float64(v) - e) * (float64(v) - e) / e
			}
		}
	}
	df = max(0, (rows-1)*(used-1))
	return x2, df, chiTail(x2, df)
}

// leastExpected is how many winners, and how many losers, a level must lead us to expect
// to stand by itself in a χ² of so many degrees of freedom; smaller ones are put together.
// Cochran's 5 (Biometrics 10, 1954) is meant for errors of 1 %. Here tails of 1e-5 are
// asked for, to which a small level's skewness adds the more, the fewer others dilute it:
// with this rule p is at most 2.6 times too small there (TestChiTail, TestChiSkewness).
func leastExpected(df int) float64 { return max(10, 100/float64(max(df, 1))) }

// chi is the χ² of the levels' winners: the quadratic form of observed − expected in the
// inverse of their covariance, the sum over the pools of K(N−K)/(N−1)·(diag f − f fᵀ).
// It is the general association statistic of Cochran, Mantel and Haenszel (Landis,
// Heyman, Koch, Int. Stat. Rev. 46, 1978; Agresti, Categorical Data Analysis, 3rd ed.
// 2013, section 8.4.3). entries is by pool and level; df is 0 where too few are expected.
func chi(pools []Pool, entries [][]int64, winners []int64) (x2 float64, df, merged int) {
	levels := len(winners)
	win, lose := make([]float64, levels), make([]float64, levels)
	for p, pool := range pools {
		for g, n := range entries[p] {
			e := hyper{pool.Entries, pool.Winners, n}.mean()
			win[g] += e
			lose[g] += float64(n) - e
		}
	}
	group, groups, merged := gather(win, lose, leastExpected(levels-1))
	for more := groups; more > 2; {
		group, groups, merged = gather(win, lose, leastExpected(more-1))
		if groups == more {
			break
		}
		more = groups
	}
	if groups < 3 { // two groups: the exact test of the larger level says the same
		return 0, 0, 0
	}
	off := make([]float64, groups)
	for g := range levels {
		off[group[g]] += float64(winners[g]) - win[g]
	}
	cov := make([]float64, groups*groups)
	f := make([]float64, groups)
	for p, pool := range pools {
		c := spread(pool.Entries, pool.Winners)
		if c == 0 {
			continue
		}
		clear(f)
		for g, n := range entries[p] {
			f[group[g]] += float64(n) / float64(pool.Entries)
		}
		for i, fi := range f {
			if fi == 0 {
				continue
			}
			cov[i*groups+i] += c * fi
			for j, fj := range f {
				cov[i*groups+j] -= c * fi * fj
			}
		}
	}
	x2, df = quadratic(cov, off)
	return x2, df, merged
}

// gather puts the levels that expect too few into one group, with the next smallest
// until the group itself expects enough. It returns each level's group.
func gather(win, lose []float64, enough float64) (group []int, groups, merged int) {
	order := make([]int, len(win))
	for i := range order {
		order[i] = i
	}
	least := func(g int) float64 { return min(win[g], lose[g]) }
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case least(a) < least(b):
			return -1
		case least(a) > least(b):
			return 1
		}
		return 0
	})
	group = make([]int, len(win))
	var w, l float64
	for _, g := range order {
		if least(g) < enough || merged > 0 && min(w, l) < enough {
			w, l = w+win[g], l+lose[g]
			group[g], groups = 0, 1
			merged++
			continue
		}
		group[g] = groups
		groups++
	}
	if merged < 2 {
		merged = 0
	}
	return group, groups, merged
}

// quadratic is offᵀ cov⁻ off with the generalised inverse, and the rank of cov.
func quadratic(cov, off []float64) (x2 float64, rank int) {
	n := len(off)
	scale := make([]float64, n)
	for i := range n {
		if v := cov[i*n+i]; v > 0 {
			scale[i] = 1 / math.Sqrt(v)
		}
	}
	for i := range n {
		for j := range n {
			cov[i*n+j] *= scale[i] * scale[j]
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(n, cov), true) {
		return 0, 0
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for k, value := range eigen.Values(nil) {
		if value < 1e-9*float64(n) {
			continue
		}
		dot := 0.0
		for i := range n {
			dot += vectors.At(i, k) * off[i] * scale[i]
		}
		x2 += dot * dot / value
		rank++
	}
	return x2, rank
}

// trend is the z of Σ s·(observed − expected) with s = 0, 1, 2, … over ordered levels,
// and its skewness: Mantel's correlation statistic (JASA 58, 1963), stratified by pool.
func trend(pools []Pool, entries [][]int64, winners []int64) (z, skewness float64) {
	var t, variance, third float64
	for g, w := range winners {
		t += float64(g) * float64(w)
	}
	for p, pool := range pools {
		if pool.Entries < 2 {
			for g, n := range entries[p] {
				t -= float64(g) * float64(n*pool.Winners)
			}
			continue
		}
		n, k := float64(pool.Entries), float64(pool.Winners)
		var mean, m2, m3 float64
		for g, c := range entries[p] {
			mean += float64(g) * float64(c) / n
		}
		for g, c := range entries[p] {
			d := float64(g) - mean
			m2 += d * d * float64(c) / n
			m3 += d * d * d * float64(c) / n
		}
		t -= k * mean
		// Moments of a sum drawn without replacement (Cochran, Sampling Techniques, 3rd ed.
		// 1977, section 2.15 for the third).
		variance += spread(pool.Entries, pool.Winners) * m2
		if pool.Entries > 2 {
			third += k * (n - k) * (n - 2*k) / ((n - 1) * (n - 2)) * m3
		}
	}
	if !(variance > 0) {
		return 0, 0
	}
	return t / math.Sqrt(variance), third / math.Pow(variance, 1.5)
}
