package fairness

import "math"

// hyper is one pool seen from one level: of n entries k won and g are the level's.
// How many of the g won is hypergeometric (Johnson, Kemp, Kotz, Univariate Discrete
// Distributions, 3rd ed. 2005, chapter 6).
type hyper struct{ n, k, g int64 }

func (h hyper) support() (lo, hi int64) { return max(0, h.k-(h.n-h.g)), min(h.k, h.g) }

func (h hyper) mean() float64 {
	if h.n == 0 {
		return 0
	}
	return float64(h.k) * (float64(h.g) / float64(h.n))
}

func (h hyper) variance() float64 {
	if h.n < 2 {
		return 0
	}
	f := float64(h.g) / float64(h.n)
	return spread(h.n, h.k) * f * (1 - f)
}

// spread is K(N−K)/(N−1): the variance of a level of share f is f(1−f) times it.
func spread(n, k int64) float64 {
	if n < 2 {
		return 0
	}
	return float64(k) * float64(n-k) / float64(n-1)
}

// third is the third central moment.
func (h hyper) third() float64 {
	if h.n < 3 {
		return 0
	}
	n := float64(h.n)
	return h.variance() * (n - 2*float64(h.k)) * (n - 2*float64(h.g)) / (n * (n - 2))
}

// at is about the mean when the odds of the level's entries are e^theta times those of
// the others (Cornfield's approximation, Proc. 3rd Berkeley Symp. 4, 1956).
func (h hyper) at(theta float64) float64 {
	psi, k, g := math.Exp(theta), float64(h.k), float64(h.g)
	b := float64(h.n) + (psi-1)*(k+g)
	root := math.Sqrt(max(0, b*b+4*(1-psi)*psi*k*g))
	if b < 0 {
		return (root - b) / (2 * (1 - psi))
	}
	return 2 * psi * k * g / (b + root)
}

// cut is how small against its largest a probability is when it is left out: what is
// lost of a tail is far below leastP.
const cut = 1e-36

// law is a distribution on lo, lo+1, …; p adds up to 1.
type law struct {
	lo int64
	p  []float64
}

func (l law) hi() int64 { return l.lo + int64(len(l.p)) - 1 }

// law is Fisher's noncentral hypergeometric with odds ratio e^theta, 0 = a fair draw:
// the ratios of neighbours walked from the mode, so no factorial loses digits.
func (h hyper) law(theta float64) law {
	lo, hi := h.support()
	psi := math.Exp(theta)
	up := func(x int64) float64 { // p(x+1)/p(x)
		return psi * (float64(h.k-x) / float64(x+1)) * (float64(h.g-x) / float64(h.n-h.k-h.g+x+1))
	}
	mode := min(max(int64(h.at(theta)), lo), hi)
	for mode < hi && up(mode) > 1 {
		mode++
	}
	for mode > lo && up(mode-1) < 1 {
		mode--
	}
	var below []float64
	for x, v := mode, 1.0; x > lo; x-- {
		if v /= up(x - 1); v < cut {
			break
		}
		below = append(below, v)
	}
	out := law{lo: mode - int64(len(below))}
	for i := len(below) - 1; i >= 0; i-- {
		out.p = append(out.p, below[i])
	}
	out.p = append(out.p, 1)
	for x, v := mode, 1.0; x < hi; x++ {
		if v *= up(x); v < cut {
			break
		}
		out.p = append(out.p, v)
	}
	return out.whole()
}

// whole cuts the ends off and makes the rest add up to 1.
func (l law) whole() law {
	top := 0.0
	for _, v := range l.p {
		top = max(top, v)
	}
	from, to := 0, len(l.p)
	for from < to-1 && l.p[from] < cut*top {
		from++
	}
	for to > from+1 && l.p[to-1] < cut*top {
		to--
	}
	l.lo, l.p = l.lo+int64(from), l.p[from:to]
	sum := 0.0
	for _, v := range l.p {
		sum += v
	}
	for i := range l.p {
		l.p[i] /= sum
	}
	return l
}

// convolve is the law of the sum; halves of like width keep the work small.
func convolve(ls []law) law {
	if len(ls) == 1 {
		return ls[0]
	}
	a, b := convolve(ls[:len(ls)/2]), convolve(ls[len(ls)/2:])
	out := law{lo: a.lo + b.lo, p: make([]float64, len(a.p)+len(b.p)-1)}
	for i, x := range a.p {
		row := out.p[i : i+len(b.p)]
		for j, y := range b.p {
			row[j] += x * y
		}
	}
	return out.whole()
}

// tilt is a law with other odds: p(x) times e^(θx), made whole.
type tilt struct {
	law
	logs []float64
	w    int64 // the number whose tails are wanted
}

func (l law) tilt(w int64) *tilt {
	t := &tilt{l, make([]float64, len(l.p)), w}
	for i, p := range l.p {
		t.logs[i] = math.Log(p)
	}
	return t
}

// at are P(W ≤ w), P(W ≥ w) and the mean of W in all and in these tails, counted from w,
// when the odds are e^theta times those of the law.
func (t *tilt) at(theta float64) (below, above, mean, meanBelow, meanAbove float64) {
	top := math.Inf(-1)
	for i, v := range t.logs {
		top = max(top, v+theta*float64(t.lo+int64(i)-t.w))
	}
	sum := 0.0
	for i, v := range t.logs {
		d := float64(t.lo + int64(i) - t.w)
		e := v + theta*d - top
		if e < -100 { // nothing is left of it beside 1
			continue
		}
		e = math.Exp(e)
		sum += e
		mean += e * d
		if d <= 0 {
			below += e
			meanBelow += e * d
		}
		if d >= 0 {
			above += e
			meanAbove += e * d
		}
	}
	return below / sum, above / sum, mean / sum, ratio(meanBelow, below), ratio(meanAbove, above)
}

// mean is the mean of W at the odds where P(W ≥ w), or P(W ≤ w), is share: Newton's steps
// on the logarithm of the tail, whose derivative is the tail's mean less that of all,
// kept inside a bracket. The tail reached is returned as well: none may be so large.
func (t *tilt) mean(share float64, upper bool) (mean, reached float64) {
	lo, hi, theta := -farthest, farthest, 0.0
	for range 200 {
		below, above, m, mb, ma := t.at(theta)
		tail, slope := above, ma-m
		if !upper {
			tail, slope = below, mb-m
		}
		mean, reached = float64(t.w)+m, tail
		if math.Abs(tail-share) <= 1e-12*share || hi-lo < 1e-14 {
			break
		}
		if (tail > share) == upper {
			hi = theta
		} else {
			lo = theta
		}
		next := theta - math.Log(tail/share)/slope
		if !(next > lo && next < hi) {
			next = (lo + hi) / 2
		}
		theta = next
	}
	return mean, reached
}

// tails are P(W ≤ w) and P(W ≥ w).
func (l law) tails(w int64) (below, above float64) {
	for i, p := range l.p {
		x := l.lo + int64(i)
		if x <= w {
			below += p
		}
		if x >= w {
			above += p
		}
	}
	return below, above
}

// total is a sum of independent hypergeometric numbers, one a pool: the winners of a
// level when every pool is drawn fairly.
type total struct {
	parts                 []hyper // those that luck can move
	fixed                 int64   // winners of the others
	lo, hi                int64
	mean, variance, skew3 float64 // skew3 is the third central moment
}

func totalOf(hs []hyper) total {
	var t total
	for _, h := range hs {
		lo, hi := h.support()
		if lo == hi {
			t.fixed += lo
		} else {
			t.parts = append(t.parts, h)
			t.mean += h.mean()
			t.variance += h.variance()
			t.skew3 += h.third()
		}
		t.lo, t.hi = t.lo+lo, t.hi+hi
	}
	t.mean += float64(t.fixed)
	return t
}

func (t total) sigma() float64 { return math.Sqrt(t.variance) }

// skewness is 0 where nothing can move.
func (t total) skewness() float64 {
	if t.variance == 0 {
		return 0
	}
	return t.skew3 / (t.variance * t.sigma())
}

// exactWork bounds the multiplications that the exact law of one level may cost; a day
// of 300,000 winners in 193 pools needs half of it for its widest level.
const exactWork = 4e8

// exact says whether the law is summed term by term.
func (t total) exact() bool {
	width := min(float64(t.hi-t.lo+1), 27*t.sigma()+100) // cut is 13 σ to each side
	if len(t.parts) == 1 {
		return width < exactWork/1000
	}
	return width*width/2*math.Log2(float64(len(t.parts))) < exactWork
}

func (t total) law(theta float64) law {
	if len(t.parts) == 0 {
		return law{lo: t.fixed, p: []float64{1}}
	}
	ls := make([]law, len(t.parts))
	for i, h := range t.parts {
		ls[i] = h.law(theta)
	}
	out := convolve(ls)
	out.lo += t.fixed
	return out
}

// odds is the logarithm of the odds ratio at which w winners are about the mean.
func (t total) odds(w float64) float64 {
	lo, hi := -farthest, farthest
	for range 60 {
		theta, mean := (lo+hi)/2, float64(t.fixed)
		for _, h := range t.parts {
			mean += h.at(theta)
		}
		if mean > w {
			hi = theta
		} else {
			lo = theta
		}
	}
	return (lo + hi) / 2
}

// farthest bounds the logarithm of an odds ratio: e^40 is a sure win.
const farthest = 40.0

// leastP is where p values end: smaller ones are written as this.
const leastP = 1e-30

// How a p value came about, as Test.Method says it.
const (
	MethodExact  = "exact"                    // the law summed term by term
	MethodNormal = "normal"                   // normal with Cramér's correction for skewness
	MethodChi    = "chi-squared"              // the limit for many winners a level
	MethodBound  = "exact, one-sided doubled" // never too small
)

// outcome is what is known of w winners of a level.
type outcome struct {
	p      float64 // two-sided
	lo, hi float64 // the winners to be expected at both ends of the interval
	// noticed is the smallest mean number of winners that would be noticed; NaN when
	// nothing would be.
	noticed float64
	method  string
}

// judge holds w against the law: two-sided by doubling the smaller tail, with the
// interval that belongs to it: those odds ratios, common to the pools, at which neither
// tail of w is below (1−confidence)/2 (Gart, Biometrika 57, 1970; Mehta, Patel, Gray,
// JASA 80, 1985), told by the winners they make us expect. level is the error of the
// single test by which power is reckoned.
func (t total) judge(w int64, confidence, level, power float64) outcome {
	if !t.exact() {
		return t.normal(w, confidence, level, power)
	}
	fair := t.law(0)
	below, above := fair.tails(w)
	out := outcome{p: floor(2 * min(below, above)), method: MethodExact, lo: float64(t.lo), hi: float64(t.hi), noticed: math.NaN()}

	// Near w a law that is centred there has all its digits.
	here := fair
	if math.Abs(float64(w)-t.mean) > 3*t.sigma() {
		here = t.law(t.odds(min(max(float64(w), float64(t.lo)+0.5), float64(t.hi)-0.5)))
	}
	tail, ends := (1-confidence)/2, here.tilt(w)
	if w > t.lo {
		out.lo, _ = ends.mean(tail, true)
	}
	if w < t.hi {
		out.hi, _ = ends.mean(tail, false)
	}

	alarm, rest := fair.hi()+1, 0.0
	for alarm > fair.lo && 2*(rest+fair.p[alarm-1-fair.lo]) <= level {
		alarm--
		rest += fair.p[alarm-fair.lo]
	}
	if alarm > fair.hi() {
		return out
	}
	there := fair
	if need := float64(alarm) + 8*t.sigma(); need > float64(fair.hi()) && fair.hi() < t.hi {
		there = t.law(t.odds(min(float64(alarm)+2*t.sigma(), float64(t.hi)-0.5)))
	}
	noticed, reached := there.tilt(alarm).mean(power, true)
	if reached > 0.999*power {
		out.noticed = noticed
	}
	return out
}

// normal is judge where the exact law would cost too much: then σ is above 300, and a p
// above 1e-9 is at most 2 % too small and 10 % too large (TestNormalAgainstExact).
func (t total) normal(w int64, confidence, level, power float64) outcome {
	s := t.sigma()
	z := max(0, math.Abs(float64(w)-t.mean)-0.5) / s
	side := t.skewness()
	if float64(w) < t.mean {
		side = -side
	}
	half := quantile(1-(1-confidence)/2) * s
	return outcome{
		p:       floor(2 * tailNormal(z, side)),
		lo:      max(float64(w)-half, float64(t.lo)),
		hi:      min(float64(w)+half, float64(t.hi)),
		noticed: t.mean + (quantile(1-level/2)+quantile(power))*s,
		method:  MethodNormal,
	}
}

func floor(p float64) float64 { return min(max(p, leastP), 1) }

// tailNormal is P(Z ≥ z), z ≥ 0, of a sum with this skewness: the normal tail times the
// first term of Cramér's series, e^(γz³/6) (Petrov, Sums of Independent Random Variables,
// 1975, chapter VIII), where that makes it larger: rather too large than too small.
func tailNormal(z, skewness float64) float64 {
	return min(0.5, math.Erfc(z/math.Sqrt2)/2*math.Exp(min(max(0, skewness*z*z*z/6), 300)))
}

// quantile of the standard normal.
func quantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
