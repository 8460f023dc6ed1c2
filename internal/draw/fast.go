package draw

import (
	"math"
	"math/bits"
)

// fastBits sets the table of FastExp: 2^8 intervals of the mantissa, so that the
// series below needs four terms.
const fastBits = 8

// fastExp holds, for the middle m of each interval of [1, 2), 1/m and ln m.
// Built from Log, so its bits are the same on every machine.
var fastExp = func() (t [1 << fastBits]struct{ inverse, log float64 }) {
	for i := range t {
		m := 1 + (float64(i)+0.5)/(1<<fastBits)
		t[i].inverse, t[i].log = 1/m, Log(m)
	}
	return
}()

// FastExp maps a draw to an exponential variable of mean 1, as Exp does, at a
// quarter of the cost: within 1e-14 of minus the logarithm of (u+½)/2^64, never
// negative and the same on every machine. It uses all 64 bits of the draw, so its
// values are its own, not Exp's.
func FastExp(u uint64) float64 {
	u |= 1
	// u = 2^(63-lead) × m with m in [1, 2), m = middle of an interval × (1+r).
	lead := bits.LeadingZeros64(u)
	u <<= lead
	e := &fastExp[u>>(63-fastBits)&(1<<fastBits-1)]
	off := int64(u&(1<<(63-fastBits)-1)) - 1<<(62-fastBits)
	r := float64(float64(float64(off)*(1.0/(1<<63))) * e.inverse)
	// ln(1+r) = r - r²/2 + r³/3 - r⁴/4; |r| <= 2^-9, so the next term is below 6e-15.
	r2 := float64(r * r)
	log1p := r - float64(r2*(0.5-float64(r*(1.0/3-float64(r*0.25)))))
	x := float64(float64(lead+1)*math.Ln2) - e.log - log1p
	return max(x, 0)
}

// fastLog is the natural logarithm of a positive normal number, to a few units in
// the last place and some 1e-16: Log's values at a fifth of its cost.
func fastLog(x float64) float64 {
	b := math.Float64bits(x)
	e := &fastExp[b>>(52-fastBits)&(1<<fastBits-1)]
	m := math.Float64frombits(b&(1<<52-1) | 1023<<52) // in [1, 2)
	r := float64(m*e.inverse) - 1
	// ln(1+r) to r⁵/5; |r| <= 2^-9, so the next term is below 1e-17.
	r2 := float64(r * r)
	log1p := r - float64(r2*(0.5-float64(r*(1.0/3-float64(r*(0.25-float64(r*0.2)))))))
	return float64(float64(int64(b>>52)-1023)*math.Ln2) + (e.log + log1p)
}

// fastPower holds 2^(i/2^8), from Exponential: the same bits on every machine.
var fastPower = func() (t [1 << fastBits]float64) {
	for i := range t {
		t[i] = Exponential(float64(float64(i)/(1<<fastBits)) * math.Ln2)
	}
	return
}()

// fastExponential is e to the power x for |x| < 700, to a few units in the last
// place: Exponential's values at a tenth of its cost.
func fastExponential(x float64) float64 {
	k := math.Floor(float64(x*((1<<fastBits)/math.Ln2)) + 0.5)
	r := (x - float64(k*(ln2Hi/(1<<fastBits)))) - float64(k*(ln2Lo/(1<<fastBits))) // |r| <= 0.00136
	// To r⁵/120: the next term is below 1e-20.
	r2 := float64(r * r)
	series := (1 + r) + float64(r2*((0.5+float64(r*(1.0/6)))+float64(r2*(1.0/24+float64(r*(1.0/120))))))
	n := int64(k)
	scale := math.Float64frombits(uint64(n>>fastBits+1023) << 52)
	return float64(fastPower[n&(1<<fastBits-1)]*series) * scale
}

// normalBits sets the table of fastNormal: 2^6 intervals an octave of the smaller tail.
const normalBits = 6

// fastNormals holds, for the middle of each interval of the smaller tail's size, the
// Taylor series of the normal quantile in units of half the interval. It is built
// from NormalQuantile and Exponential, so its bits are the same on every machine.
var fastNormals = func() (t [52 << normalBits][6]float64) {
	for i := range t {
		octave, part := i>>normalBits, i&(1<<normalBits-1)
		// Tails are odd multiples of 2^-53; those of octave k lie in [2^(k-53), 2^(k-52)).
		width := math.Ldexp(1, octave-53)
		middle := float64(width * (1 + (float64(part)+0.5)/(1<<normalBits)))
		half := width / (2 << normalBits)
		z := NormalQuantile(middle)
		z2 := float64(z * z)
		// Derivatives of the quantile: d = 1/density, then by the chain rule
		// (Steinbrecher and Shaw, European Journal of Applied Mathematics 19, 2008).
		d := float64(float64(2.50662827463100050242*Exponential(z2/2)) * half)
		d2 := float64(d * d)
		d3, d4 := float64(d2*d), float64(d2*d2)
		t[i] = [6]float64{z, d, float64(z*d2) / 2, float64((1+float64(2*z2))*d3) / 6,
			float64(float64(z*(7+float64(6*z2)))*d4) / 24,
			float64((7+float64(46*z2)+float64(24*float64(z2*z2)))*float64(d4*d)) / 120}
	}
	return
}()

// fastNormal maps a draw to a standard normal variable: Normal's values to 1e-13, at
// a third of the cost.
func fastNormal(u uint64) float64 {
	minus := uint64(int64(u) >> 63) // all bits or none: a branch would be wrong half of the time
	u ^= minus
	b := math.Float64bits(float64(u>>12<<1 | 1)) // the tail in units of 2^-53, exactly
	i := (b>>52-1023)<<normalBits | b>>(52-normalBits)&(1<<normalBits-1)
	c := &fastNormals[i]
	const rest = 52 - normalBits
	x := float64(float64(int64(b&(1<<rest-1))-1<<(rest-1)) * (1.0 / (1 << (rest - 1)))) // -1..1 within the interval
	x2 := float64(x * x)                                                                // pairs of terms, so that they need not wait for each other
	z := (c[0] + float64(x*c[1])) + float64(x2*((c[2]+float64(x*c[3]))+float64(x2*(c[4]+float64(x*c[5])))))
	return math.Float64frombits(math.Float64bits(z) ^ minus<<63)
}
