package fairness

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// pearson is the coefficient of two columns by its definition.
func pearson(x, y []float64) float64 {
	var mx, my, sxy, sxx, syy float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(y))
	}
	for i := range x {
		dx, dy := x[i]-mx, y[i]-my
		sxy, sxx, syy = sxy+dx*dy, sxx+dx*dx, syy+dy*dy
	}
	return sxy / math.Sqrt(sxx*syy)
}

// rankOf is each value's mean rank, by counting.
func rankOf(vs []uint64) []float64 {
	out := make([]float64, len(vs))
	for i, v := range vs {
		for _, o := range vs {
			if o < v {
				out[i]++
			}
			if o == v {
				out[i] += 0.5
			}
		}
	}
	return out
}

// Spearman's coefficient and D against plain definitions, with and without ties, from
// pairs and from bins.
func TestRanks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 3, 50, 700} {
		for _, coarse := range []bool{false, true} {
			var pairs []Pair
			var orders, tickets []uint64
			b := &bins{span: 64}
			for range n {
				p := Pair{rng.Uint64N(1 << 40), rng.Uint64()}
				if coarse {
					p = Pair{rng.Uint64N(64), rng.Uint64N(16) << 60}
				}
				pairs = append(pairs, p)
				orders, tickets = append(orders, p.Order), append(tickets, p.Ticket)
				if coarse {
					b.add(p)
				}
			}
			rho := pearson(rankOf(orders), rankOf(tickets))
			if n == 1 || math.IsNaN(rho) {
				rho = 0
			}
			d := 0.0
			for _, v := range tickets {
				below, upto := 0.0, 0.0
				for _, o := range tickets {
					if o < v {
						below++
					}
					if o <= v {
						upto++
					}
				}
				u := float64(v) / (1 << 63) / 2
				d = max(d, upto/float64(n)-u, u-below/float64(n))
			}
			got := RanksOf(slices.Clone(pairs))
			if math.Abs(got.Rho-rho) > 1e-12 || math.Abs(got.D-d) > 1e-12 || got.Count != int64(n) || !got.Exact {
				t.Errorf("%d pairs: ρ %g, D %g; want %g and %g", n, got.Rho, got.D, rho, d)
			}
			all := []Ranks{got}
			if coarse { // coarse pairs lose nothing in bins, but D between the steps
				binned := b.ranks()
				if math.Abs(binned.Rho-rho) > 1e-12 || binned.D > d+1e-12 || binned.Count != int64(n) || binned.Exact {
					t.Errorf("%d pairs in bins: ρ %g, D %g; want %g and at most %g", n, binned.Rho, binned.D, rho, d)
				}
				all = append(all, binned)
			}
			for _, r := range all {
				var sum int64
				for _, row := range r.Cells {
					for _, c := range row {
						sum += c
					}
				}
				for i, below := range r.Below {
					want := 0.0
					for _, v := range tickets {
						if float64(v)/(1<<63)/2 < float64(i)/belowSteps {
							want += 1 / float64(n)
						}
					}
					if math.Abs(below-want) > 1e-9 {
						t.Errorf("%d pairs: %g below %d/%d, want %g", n, below, i, belowSteps, want)
					}
				}
				if sum != int64(n) {
					t.Errorf("%d pairs: %d in cells", n, sum)
				}
			}
		}
	}
}

// A weak trend among many is seen alike by pairs and by bins.
func TestBinsKeepEfficiency(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const n = 200_000
	b := &bins{span: n}
	pairs := make([]Pair, n)
	for i := range pairs {
		u := rng.Float64()
		u += 0.02 * (float64(i)/n - 0.5) * u * (1 - u)
		pairs[i] = Pair{uint64(i), uint64(u*(1<<53)) << 11}
		b.add(pairs[i])
	}
	binned := b.ranks()
	exact := RanksOf(pairs)
	if math.Abs(exact.Rho-binned.Rho) > 2e-5 || math.Abs(exact.D-binned.D) > 1.0/ksBins || binned.D > exact.D+1e-12 {
		t.Errorf("exact ρ %g, D %g; in bins %g, %g", exact.Rho, exact.D, binned.Rho, binned.D)
	}
}

// P(D⁺ ≥ d), and D with n = 1, by hand; and against simulation where p is small.
func TestKSP(t *testing.T) {
	// One ticket: D⁺ = 1 − u, so P(D⁺ ≥ d) = 1 − d.
	for _, d := range []float64{0.6, 0.9, 0.99} {
		if got := ksP(d, 1); !close(got, 2*(1-d), 1e-12) {
			t.Errorf("ksP(%g, 1) = %g, want %g", d, got, 2*(1-d))
		}
	}
	// Two tickets, d above 1/2: the higher must lie below 1 − d.
	if got := ksP(0.7, 2); !close(got, 2*0.09, 1e-12) {
		t.Errorf("ksP(0.7, 2) = %g", got)
	}
	// Critical values of D at 1 % (two-sided): Smirnov's table, n = 20 and 35.
	for n, d := range map[int64]float64{20: 0.35241, 35: 0.26897} {
		if got := ksP(d, n); math.Abs(got-0.01) > 2e-4 {
			t.Errorf("ksP(%g, %d) = %g, want 0.01", d, n, got)
		}
	}
	// The limit takes over without a step.
	for _, d := range []float64{0.001, 0.002, 0.003} {
		if a, b := ksP(d, ExactRanks), ksP(d, ExactRanks+1); !close(a, b, 2e-3) {
			t.Errorf("ksP(%g) steps from %g to %g", d, a, b)
		}
	}
	if ksP(0, 5) != 1 || ksP(0.1, 0) != 1 || ksP(1, 50) != leastP || ksP(0.5, 1e9) != leastP {
		t.Error("the ends")
	}
}

// Every order of six entries: the share of ρ at least as far out never exceeds p.
func TestSpearmanP(t *testing.T) {
	var rhos []float64
	x := []float64{0, 1, 2, 3, 4, 5}
	var permute func(y []float64, k int)
	permute = func(y []float64, k int) {
		if k == len(y) {
			rhos = append(rhos, pearson(x, y))
			return
		}
		for i := k; i < len(y); i++ {
			y[k], y[i] = y[i], y[k]
			permute(y, k+1)
			y[k], y[i] = y[i], y[k]
		}
	}
	permute(slices.Clone(x), 0)
	variance := 0.0
	for _, r := range rhos {
		variance += r * r / float64(len(rhos))
	}
	if math.Abs(variance-1.0/5) > 1e-12 {
		t.Errorf("variance of ρ %g, want 1/(n−1)", variance)
	}
	for _, r := range []float64{0.85, 0.9, 0.95, 1} {
		share := 0.0
		for _, o := range rhos {
			if math.Abs(o) >= r-1e-12 {
				share += 1 / float64(len(rhos))
			}
		}
		if p := spearmanP(r, 6); p < share {
			t.Errorf("|ρ| ≥ %g: p %g, but %g of all orders", r, p, share)
		}
	}
}
