package fairness

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// Pair is one entry for the rank tests.
type Pair struct {
	Order  uint64 // of entry, any ascending number; equal ones are ties
	Ticket uint64 // uniform on all 64 bits when the draw is fair
}

// Ranks is what the rank tests need of all tickets.
type Ranks struct {
	Count int64   `json:"count"`
	Exact bool    `json:"exact"`    // from every pair; else from bins
	Rho   float64 `json:"spearman"` // of ticket and order of entry
	D     float64 `json:"ks"`       // largest distance of the tickets' distribution from uniform
	// Cells counts tickets by order of entry and by ticket, both in equal steps from
	// lowest to highest.
	Cells [][]int64 `json:"cells"`
	// Mean ticket by the same steps of the order of entry, 0..1.
	Mean []float64 `json:"mean"`
	// Below is the share of tickets under i/(len−1) of their range.
	Below []float64 `json:"below"`
}

const (
	// ExactRanks is how many pairs are kept, 16 MB. More are counted in bins.
	ExactRanks = 1 << 20
	// rankBins a side: Spearman's coefficient of ranks in 256 equal steps keeps
	// (1 − 256⁻²)² of the efficiency, and its law under a fair draw stays that of ties.
	rankBins = 256
	// ksBins of the tickets alone: D is never overstated, and understated by 1/65,536 at
	// most, a twentieth of what is noticed among 30 million.
	ksBins     = 1 << 16
	belowSteps = 128
)

// RanksOf takes the ranks of pairs in any order. It sorts its argument.
func RanksOf(pairs []Pair) Ranks {
	n := len(pairs)
	r := Ranks{Count: int64(n), Exact: true, Below: make([]float64, belowSteps+1)}
	if n == 0 {
		return r
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return cmp.Or(cmp.Compare(a.Ticket, b.Ticket), cmp.Compare(a.Order, b.Order)) })
	byTicket := midranks(n, func(i, j int) bool { return pairs[i].Ticket == pairs[j].Ticket })
	for i, p := range pairs {
		u := unit(p.Ticket)
		r.D = max(r.D, float64(i+1)/float64(n)-u, u-float64(i)/float64(n))
		if at := int(u*belowSteps) + 1; at < len(r.Below) {
			r.Below[at]++
		}
	}
	cumulate(r.Below, float64(n))

	at := make([]int32, n) // pairs by order of entry
	for i := range at {
		at[i] = int32(i)
	}
	slices.SortFunc(at, func(a, b int32) int {
		return cmp.Or(cmp.Compare(pairs[a].Order, pairs[b].Order), cmp.Compare(a, b))
	})
	byOrder := midranks(n, func(i, j int) bool { return pairs[at[i]].Order == pairs[at[j]].Order })
	var sxy, sxx, syy float64
	side := sideOf(n)
	r.cells(side)
	sums, counts := make([]float64, side), make([]float64, side)
	for i, a := range at {
		x, y := byOrder[i], byTicket[a]
		sxy, sxx, syy = sxy+x*y, sxx+x*x, syy+y*y
		u := unit(pairs[a].Ticket)
		bin := i * side / n
		r.Cells[bin][min(int(u*float64(side)), side-1)]++
		sums[bin] += u
		counts[bin]++
	}
	r.Rho = ratio(sxy, math.Sqrt(sxx)*math.Sqrt(syy))
	for i := range sums {
		r.Mean = append(r.Mean, ratio(sums[i], counts[i]))
	}
	return r
}

// unit maps a ticket to [0, 1).
func unit(ticket uint64) float64 { return float64(ticket>>11) * (1.0 / (1 << 53)) }

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// sideOf is how many steps a side the cells have: five tickets a cell at least.
func sideOf(n int) int {
	side := 32
	for side > 1 && n < 5*side*side {
		side /= 2
	}
	return side
}

func (r *Ranks) cells(side int) {
	flat := make([]int64, side*side)
	for i := range side {
		r.Cells = append(r.Cells, flat[i*side:(i+1)*side])
	}
}

// cumulate turns counts by step into shares below.
func cumulate(counts []float64, n float64) {
	sum := 0.0
	for i, c := range counts {
		sum += c
		counts[i] = sum / n
	}
	counts[len(counts)-1] = 1
}

// midranks of sorted items, from their middle: ties share the mean of their ranks.
func midranks(n int, same func(i, j int) bool) []float64 {
	out := make([]float64, n)
	for i := 0; i < n; {
		j := i + 1
		for j < n && same(i, j) {
			j++
		}
		for k := i; k < j; k++ {
			out[k] = float64(i+j-n) / 2
		}
		i = j
	}
	return out
}

// bins gathers pairs of more entries than are kept: a megabyte, whatever their number.
type bins struct {
	span    uint64 // orders are below it
	grid    [rankBins * rankBins]int64
	tickets [ksBins]int64
	sums    [rankBins]float64
}

func (b *bins) add(p Pair) {
	hi, lo := bits.Mul64(p.Order, rankBins)
	row, _ := bits.Div64(hi, lo, b.span)
	b.grid[row*rankBins+p.Ticket>>56]++
	b.tickets[p.Ticket>>48]++
	b.sums[row] += unit(p.Ticket)
}

func (b *bins) ranks() Ranks {
	r := Ranks{Below: make([]float64, belowSteps+1)}
	rows, cols := make([]int64, rankBins), make([]int64, rankBins)
	for i, c := range b.grid {
		rows[i/rankBins] += c
		cols[i%rankBins] += c
		r.Count += c
	}
	if r.Count == 0 {
		return r
	}
	n := float64(r.Count)
	mid := func(counts []int64) []float64 {
		out, before := make([]float64, len(counts)), int64(0)
		for i, c := range counts {
			out[i] = float64(2*before+c-r.Count) / 2
			before += c
		}
		return out
	}
	x, y := mid(rows), mid(cols)
	var sxy, sxx, syy float64
	for i, c := range b.grid {
		sxy += float64(c) * x[i/rankBins] * y[i%rankBins]
	}
	for i := range rankBins {
		sxx += float64(rows[i]) * x[i] * x[i]
		syy += float64(cols[i]) * y[i] * y[i]
	}
	r.Rho = ratio(sxy, math.Sqrt(sxx)*math.Sqrt(syy))
	var before int64
	for i, c := range b.tickets {
		r.Below[i*belowSteps/ksBins+1] += float64(c)
		before += c
		r.D = max(r.D, math.Abs(float64(before)/n-float64(i+1)/ksBins))
	}
	cumulate(r.Below, n)
	side := min(sideOf(int(min(r.Count, math.MaxInt32))), rankBins)
	r.cells(side)
	for i, c := range b.grid {
		r.Cells[i/rankBins*side/rankBins][i%rankBins*side/rankBins] += c
	}
	sums, counts := make([]float64, side), make([]float64, side)
	for i := range rankBins {
		sums[i*side/rankBins] += b.sums[i]
		counts[i*side/rankBins] += float64(rows[i])
	}
	for i := range sums {
		r.Mean = append(r.Mean, ratio(sums[i], counts[i]))
	}
	return r
}

// spearmanP is the two-sided p value of ρ: z = ρ√(n−1), for its variance under a fair
// draw is 1/(n−1) exactly, ties or not (Kendall and Gibbons, Rank Correlation Methods,
// 5th ed. 1990, chapter 4). The tails of ρ are lighter than normal: p is too large
// rather than too small.
func spearmanP(rho float64, n int64) float64 {
	return floor(2 * tailNormal(math.Abs(rho)*math.Sqrt(float64(max(n-1, 0))), 0))
}

// ksP is twice the one-sided p value of D, which is never too small and, below 1 %,
// right to three figures: exact up to ExactRanks tickets (Birnbaum and Tingey, Ann. Math.
// Stat. 22, 1951), beyond by the limit with its first correction (Maag and Dicaire,
// Biometrika 58, 1971).
func ksP(d float64, n int64) float64 {
	if n < 1 || d <= 0 {
		return 1
	}
	m := float64(n)
	if n > ExactRanks {
		return floor(2 * math.Exp(-(6*m*d+1)*(6*m*d+1)/(18*m)))
	}
	if d >= 1 {
		return leastP
	}
	sum, choose := 0.0, 0.0 // log C(n, j)
	for j := 0.0; j <= m*(1-d); j++ {
		if rest := 1 - d - j/m; rest > 0 {
			sum += math.Exp(choose + (j-1)*math.Log(d+j/m) + (m-j)*math.Log(rest))
		}
		choose += math.Log((m - j) / (j + 1))
	}
	return floor(2 * d * sum)
}
