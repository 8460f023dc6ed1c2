package draw

import (
	"math"
	"math/bits"
	"time"
)

// Seed keys every draw of a run. Any value is a good seed, 0 too.
type Seed uint64

// Odd constants with balanced bits, from the golden ratio and its kin as used
// by SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) and wyhash.
const (
	m1 = 0x9e3779b97f4a7c15
	m2 = 0xbf58476d1ce4e5b9
	m3 = 0x94d049bb133111eb
	m4 = 0xa0761d6478bd642f
)

// U64 is the draw for one purpose, id and attempt: 64 uniform bits that depend
// on nothing else, so calls may come in any order and from any goroutine.
func (s Seed) U64(purpose uint8, id uint64, attempt uint32) uint64 {
	a := uint64(s) ^ m4
	hi, lo := bits.Mul64(a^(id*m1), (uint64(purpose)<<32|uint64(attempt))*m2^m3)
	x := hi ^ lo ^ id ^ a*m1
	// SplitMix64's finaliser: every input bit reaches every output bit.
	x = (x ^ x>>30) * m2
	x = (x ^ x>>27) * m3
	return x ^ x>>31
}

// Series are the draws for one purpose and id, for whoever needs many of them: what they
// have in common is reckoned once.
type Series struct{ key, mix, purpose uint64 }

// Series are the draws for one purpose and id.
func (s Seed) Series(purpose uint8, id uint64) Series {
	a := uint64(s) ^ m4
	return Series{a ^ (id * m1), id ^ a*m1, uint64(purpose) << 32}
}

// U64 is Seed.U64 for an attempt.
func (r *Series) U64(attempt uint32) uint64 {
	hi, lo := bits.Mul64(r.key, (r.purpose|uint64(attempt))*m2^m3)
	x := hi ^ lo ^ r.mix
	x = (x ^ x>>30) * m2
	x = (x ^ x>>27) * m3
	return x ^ x>>31
}

// Between is Seed.Between for an attempt.
func (r *Series) Between(attempt uint32, lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	h, _ := bits.Mul64(r.U64(attempt), uint64(hi-lo))
	return lo + time.Duration(h)
}

// Unit maps a draw to [0, 1) in steps of 2^-53.
func Unit(u uint64) float64 { return float64(u>>11) * (1.0 / (1 << 53)) }

// open maps a draw to (0, 1), never touching either end.
func open(u uint64) float64 { return (float64(u>>12) + 0.5) * (1.0 / (1 << 52)) }

// Uniform is the draw as a number in [0, 1).
func (s Seed) Uniform(purpose uint8, id uint64, attempt uint32) float64 {
	return Unit(s.U64(purpose, id, attempt))
}

// Exp maps a draw to an exponential variable of mean 1.
func Exp(u uint64) float64 { return -Log(open(u)) }

// Between is uniform in [lo, hi); lo when the span is empty.
func (s Seed) Between(purpose uint8, id uint64, attempt uint32, lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	h, _ := bits.Mul64(s.U64(purpose, id, attempt), uint64(hi-lo))
	return lo + time.Duration(h)
}

// LogNormal has the given mean and coefficient of variation (standard deviation
// over mean); a cv of 0 or less returns the mean itself.
func (s Seed) LogNormal(purpose uint8, id uint64, attempt uint32, mean time.Duration, cv float64) time.Duration {
	if cv <= 0 || mean <= 0 {
		return mean
	}
	return LogNormalOf(s.U64(purpose, id, attempt), mean, cv)
}

// LogNormalOf maps a draw to LogNormal's variable, greater draws to greater values.
func LogNormalOf(u uint64, mean time.Duration, cv float64) time.Duration {
	l := LawOf(mean, cv)
	return l.Of(u)
}

// Law is a log-normal law of which many are drawn: what they have in common is reckoned
// once. The zero value gives 0.
type Law struct {
	mean        time.Duration
	sigma, half float64 // half of sigma squared
	constant    bool
}

// LawOf is the law of LogNormalOf.
func LawOf(mean time.Duration, cv float64) Law {
	if cv <= 0 || mean <= 0 {
		return Law{mean: mean, constant: true}
	}
	v := fastLog(1 + float64(cv*cv)) // sigma squared
	return Law{mean: mean, sigma: math.Sqrt(v), half: float64(v * 0.5)}
}

// Of maps a draw to the law's variable, as LogNormalOf does.
func (l *Law) Of(u uint64) time.Duration {
	if l.constant {
		return l.mean
	}
	// |z| < 9 and 1 + cv² < 10^308, so the exponent is below 700.
	x := float64(l.mean) * fastExponential(float64(l.sigma*fastNormal(u))-l.half)
	if !(x < math.MaxInt64/4) {
		return math.MaxInt64 / 4
	}
	return time.Duration(x)
}

// Normal maps a draw to a standard normal variable.
func Normal(u uint64) float64 { return NormalQuantile(open(u)) }
