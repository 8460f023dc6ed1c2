package reports

import (
	"fmt"
	"math"

	"spillway/internal/record"
)

// Collapsed reports whether a run collapsed: the summary names a reason for it,
// which is a tenth of a step's calls in a window without an answer, or half of them
// turned away as overload. A missed objective is no collapse.
func Collapsed(r *record.Record) bool { return reason(r) != "" }

// Wilson is the 95 % interval of a share k of n (E. B. Wilson, 1927). It holds
// where a normal one does not: few trials, none or all of them hits.
func Wilson(k, n uint64) (lo, hi float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959964
	p, m := float64(min(k, n))/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	lo, hi = max(0, mid-half), min(1, mid+half)
	// None and all of them are exact, and rounding must not say otherwise.
	if k == 0 {
		lo = 0
	}
	if k >= n {
		hi = 1
	}
	return lo, hi
}

// leastSeeds is how many runs a point needs before a share of them is shown.
const leastSeeds = 3

// collapse is how many of a point's runs collapsed, for a table.
func collapse(runs []*record.Record) string {
	if len(runs) < leastSeeds {
		return ""
	}
	var k uint64
	for _, r := range runs {
		if Collapsed(r) {
			k++
		}
	}
	return OfRuns(k, uint64(len(runs)))
}

// OfRuns writes a share of runs with its 95 % interval: "2 of 5 [12 … 77 %]".
func OfRuns(k, n uint64) string {
	lo, hi := Wilson(k, n)
	return fmt.Sprintf("%d of %d [%.0f … %.0f %%]", k, n, 100*lo, 100*hi)
}

// Student is the 97.5 % quantile of Student's t, from the usual table; between its
// rows the wider value holds.
func Student(df int) float64 {
	table := []float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
		2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
		2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042}
	switch {
	case df < 1:
		return math.Inf(1)
	case df <= len(table):
		return table[df-1]
	case df < 60:
		return table[len(table)-1]
	case df < 120:
		return 2.000
	}
	return 1.980
}
