package draw

import "math"

// The functions below give the same bits on every machine. The standard
// library's do not promise to: some architectures have their own assembly, and
// a compiler may fuse a multiply and an add. An explicit float64 conversion
// forbids fusing (Go specification, "Floating-point operators").

const ln2Hi, ln2Lo = 6.93147180369123816490e-01, 1.90821492927058770002e-10 // ln 2 in two parts

// Log is the natural logarithm of x > 0, to about 2 units in the last place;
// -Inf at 0, NaN below.
func Log(x float64) float64 {
	switch {
	case x < 0 || math.IsNaN(x):
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	f, e := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f *= 2
		e--
	}
	// ln f = 2 artanh(z), z = (f-1)/(f+1), |z| <= 0.172.
	z := (f - 1) / (f + 1)
	z2 := float64(z * z)
	sum := 0.0
	for n := 23; n >= 3; n -= 2 {
		sum = float64(z2 * (sum + 1/float64(n)))
	}
	k := float64(e)
	return float64(k*ln2Hi) + (float64(2*z) + (float64(2*float64(z*sum)) + float64(k*ln2Lo)))
}

// Exponential is e to the power x, to about 2 units in the last place.
func Exponential(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x > 709.78:
		return math.Inf(1)
	case x < -745.2:
		return 0
	}
	k := math.Floor(float64(x/math.Ln2) + 0.5)
	r := (x - float64(k*ln2Hi)) - float64(k*ln2Lo) // |r| <= 0.347
	sum := 1.0
	for n := 16; n >= 1; n-- {
		sum = 1 + float64(float64(r*sum)/float64(n))
	}
	return math.Ldexp(sum, int(k))
}

// NormalQuantile is the inverse of the standard normal distribution function,
// for p in (0, 1), to about 1 part in 10^16: algorithm AS 241, routine PPND16
// (Wichura, Applied Statistics 37, 1988, 477-484).
func NormalQuantile(p float64) float64 {
	q := p - 0.5
	if math.Abs(q) <= 0.425 {
		r := 0.180625 - float64(q*q)
		return float64(q*horner(r, &asA)) / horner(r, &asB)
	}
	r := p
	if q > 0 {
		r = 1 - p
	}
	r = math.Sqrt(-fastLog(r))
	var x float64
	if r <= 5 {
		x = horner(r-1.6, &asC) / horner(r-1.6, &asD)
	} else {
		x = horner(r-5, &asE) / horner(r-5, &asF)
	}
	if q < 0 {
		return -x
	}
	return x
}

// horner is written out: a loop over coefficients that are passed along takes twice as long.
func horner(x float64, c *[8]float64) float64 {
	s := float64(c[7]*x) + c[6]
	s = float64(s*x) + c[5]
	s = float64(s*x) + c[4]
	s = float64(s*x) + c[3]
	s = float64(s*x) + c[2]
	s = float64(s*x) + c[1]
	return float64(s*x) + c[0]
}

// Coefficients of AS 241, lowest power first.
var (
	asA = [8]float64{3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
		45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727}
	asB = [8]float64{1, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
		21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610}
	asC = [8]float64{1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
		1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4}
	asD = [8]float64{1, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
		0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9}
	asE = [8]float64{6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
		0.0265321895265761230930, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7}
	asF = [8]float64{1, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
		7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15}
)
