package draw

import (
	"math"
	"math/big"
	"testing"
)

func TestFastExpIsTheLogarithm(t *testing.T) {
	for i := range uint64(200_000) {
		u := Seed(3).U64(1, i, 0)
		if i%2 == 1 {
			u >>= i / 2 % 64 // small draws give the long values
		}
		x := new(big.Float).SetUint64(u | 1)
		f, _ := x.SetMantExp(x, -64).Float64()
		want := -math.Log(f)
		if f > 0.999 {
			want = -math.Log1p(-float64(-(u | 1)) / (1 << 63) / 2)
		}
		if got := FastExp(u); math.Abs(got-want) > 1e-14*max(1, want/16) || got < 0 {
			t.Fatalf("FastExp(%#x) = %.17g, want %.17g", u, got, want)
		}
	}
	for _, u := range []uint64{0, 1, 1 << 63, math.MaxUint64} {
		if x := FastExp(u); x < 0 || x > 45 || math.IsNaN(x) {
			t.Errorf("FastExp(%#x) = %v", u, x)
		}
	}
}

// The share of draws beyond x is e^-x at every x. 2^20 draws, fixed seed; five
// standard errors at each of twelve points, so luck fails it less than once in 10^5.
func TestFastExpTail(t *testing.T) {
	const n = 1 << 20
	beyond := make([]int, 12)
	for i := range uint64(n) {
		x := FastExp(Seed(8).U64(1, i, 0))
		for j := range beyond {
			if x > float64(j)*0.75 {
				beyond[j]++
			}
		}
	}
	for j, got := range beyond {
		p := math.Exp(-float64(j) * 0.75)
		if se := math.Sqrt(p * (1 - p) / n); math.Abs(float64(got)/n-p) > 5*se+1e-9 {
			t.Errorf("P(X > %v) = %v, want %v ± %v", float64(j)*0.75, float64(got)/n, p, 5*se)
		}
	}
}

// Frozen values, as in TestFrozen: any change here changes what every seed means.
func TestFastExpFrozen(t *testing.T) {
	for u, want := range map[uint64]uint64{
		0x0123456789abcdef: 0x4015aa16394d481f, 0x8000000000000001: 0x3fe62e42fefa39bd, 0xfedcba9876543210: 0x3f723eb991354ecd,
	} {
		if got := math.Float64bits(FastExp(u)); got != want {
			t.Errorf("FastExp(%#x) has the bits %#x, want %#x", u, got, want)
		}
	}
}

func BenchmarkFastExp(b *testing.B) {
	var x float64
	for i := range b.N {
		x += FastExp(uint64(i) * 0x9e3779b97f4a7c15)
	}
	sink = math.Float64bits(x)
}

func BenchmarkExp(b *testing.B) {
	var x float64
	for i := range b.N {
		x += Exp(uint64(i) * 0x9e3779b97f4a7c15)
	}
	sink = math.Float64bits(x)
}

// The fast functions against the exact ones, over the whole range they are used in.
func TestFastFunctionsAreTheExactOnes(t *testing.T) {
	for i := range uint64(200_000) {
		u := Unit(Seed(4).U64(1, i, 0))
		x := math.Ldexp(1+u, int(i%2000)-1000)
		if got, want := fastLog(x), Log(x); math.Abs(got-want) > 4e-16*max(1, math.Abs(want)) {
			t.Fatalf("fastLog(%g) = %.17g, want %.17g", x, got, want)
		}
		y := (u - 0.5) * 1400
		if got, want := fastExponential(y), Exponential(y); math.Abs(got-want) > 8e-16*max(1, math.Abs(y)/2)*want {
			t.Fatalf("fastExponential(%g) = %.17g, want %.17g", y, got, want)
		}
	}
	for _, x := range []float64{1, 2, 1 - 0x1p-53, 1 + 0x1p-52, 0.5, 0x1p-53} {
		if got, want := fastLog(x), Log(x); math.Abs(got-want) > 4e-16*max(1, math.Abs(want)) {
			t.Errorf("fastLog(%g) = %.17g, want %.17g", x, got, want)
		}
	}
	if got := fastExponential(0); got != 1 {
		t.Errorf("fastExponential(0) = %v", got)
	}
}

func TestFastNormalIsNormal(t *testing.T) {
	check := func(u uint64) {
		if got, want := fastNormal(u), Normal(u); math.Abs(got-want) > 1e-13*max(1, math.Abs(want)) {
			t.Fatalf("fastNormal(%#x) = %.17g, want %.17g", u, got, want)
		}
	}
	for i := range uint64(400_000) {
		u := Seed(5).U64(1, i, 0)
		if i%2 == 1 {
			u >>= i / 2 % 64
		}
		check(u)
		check(^u)
	}
	// The edges of every octave and of its first and last interval.
	for k := range 64 {
		for _, d := range []uint64{0, 1, 1 << 11, 1 << 12, 1<<12 + 1} {
			check(1<<k + d)
			check(1<<k - 1 - d)
		}
	}
}
