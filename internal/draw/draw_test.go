package draw

import (
	"math"
	"testing"
	"time"
)

func TestExactFunctionsAgreeWithMath(t *testing.T) {
	for i := -3000; i <= 3000; i++ {
		x := math.Pow(1.21, float64(i)/10)
		if got, want := Log(x), math.Log(x); math.Abs(got-want) > 4e-16*math.Max(1, math.Abs(want)) {
			t.Fatalf("Log(%g) = %g, want %g", x, got, want)
		}
		y := float64(i) / 5
		if got, want := Exponential(y), math.Exp(y); math.Abs(got-want) > 1e-13*want {
			t.Fatalf("Exponential(%g) = %g, want %g", y, got, want)
		}
	}
}

func TestNormalQuantileInvertsErf(t *testing.T) {
	for _, p := range []float64{1e-300, 1e-12, 1e-4, 0.02425, 0.075, 0.3, 0.5, 0.7, 0.95, 0.999, 1 - 1e-9} {
		z := NormalQuantile(p)
		back := math.Erfc(-z/math.Sqrt2) / 2
		if math.Abs(back-p) > 1e-12*p {
			t.Errorf("Phi(NormalQuantile(%g)) = %g", p, back)
		}
	}
}

// The moments of a million draws; each bound is six standard errors wide, so a
// good generator fails by luck less than once in 10^8 seeds, and the seed is fixed.
func TestMoments(t *testing.T) {
	const n = 1 << 20
	s := Seed(7)
	var sum, sum2, exp, ln, ln2 float64
	var ones [64]int
	for i := range uint64(n) {
		u := s.U64(1, i, 0)
		for b := range ones {
			ones[b] += int(u >> b & 1)
		}
		f := Unit(s.U64(2, 9, uint32(i))) // attempts vary as well as ids
		sum += f
		sum2 += f * f
		exp += Exp(u)
		d := s.LogNormal(3, i, 0, 3*time.Second, 0.6).Seconds()
		ln += d
		ln2 += d * d
	}
	near := func(what string, got, want, se float64) {
		if math.Abs(got-want) > 6*se {
			t.Errorf("%s = %v, want %v ± %v", what, got, want, 6*se)
		}
	}
	r := math.Sqrt(n)
	near("mean", sum/n, 0.5, math.Sqrt(1.0/12)/r)
	near("second moment", sum2/n, 1.0/3, math.Sqrt(4.0/45)/r)
	near("exponential mean", exp/n, 1, 1/r)
	near("log-normal mean", ln/n, 3, 1.8/r)
	near("log-normal cv", math.Sqrt(ln2/n-ln/n*ln/n)/3, 0.6, 2/r)
	for b, c := range ones {
		near("bit "+string(rune('0'+b%10)), float64(c)/n, 0.5, 0.5/r)
	}
}

// Neighbouring keys must not be correlated: purposes, ids, attempts and seeds
// that differ by one. Six standard errors, fixed seed.
func TestNeighboursAreIndependent(t *testing.T) {
	const n = 1 << 18
	pairs := map[string]func(i uint64) (uint64, uint64){
		"id":      func(i uint64) (uint64, uint64) { return Seed(1).U64(5, i, 0), Seed(1).U64(5, i+1, 0) },
		"purpose": func(i uint64) (uint64, uint64) { return Seed(1).U64(5, i, 0), Seed(1).U64(6, i, 0) },
		"attempt": func(i uint64) (uint64, uint64) { return Seed(1).U64(5, i, 0), Seed(1).U64(5, i, 1) },
		"seed":    func(i uint64) (uint64, uint64) { return Seed(1).U64(5, i, 0), Seed(2).U64(5, i, 0) },
		"swap":    func(i uint64) (uint64, uint64) { return Seed(1).U64(5, i, 7), Seed(1).U64(5, 7, uint32(i)) },
	}
	for name, f := range pairs {
		var c float64
		for i := range uint64(n) {
			a, b := f(i)
			c += (Unit(a) - 0.5) * (Unit(b) - 0.5)
		}
		if r := c / n * 12; math.Abs(r) > 6/math.Sqrt(n) {
			t.Errorf("%s: correlation %v", name, r)
		}
	}
}

// Frozen values: any change here changes every seed's meaning, so every record.
func TestFrozen(t *testing.T) {
	got := []uint64{Seed(0).U64(1, 0, 0), Seed(1).U64(1, 0, 0), Seed(20200131).U64(7, 123456, 3)}
	want := []uint64{frozen0, frozen1, frozen2}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("draw %d = %#x, want %#x", i, got[i], want[i])
		}
	}
}

func BenchmarkU64(b *testing.B) {
	var x uint64
	for i := range b.N {
		x ^= Seed(1).U64(3, uint64(i), 1)
	}
	sink = x
}

func BenchmarkLogNormal(b *testing.B) {
	var x time.Duration
	for i := range b.N {
		x ^= Seed(1).LogNormal(3, uint64(i), 1, 3*time.Second, 0.6)
	}
	sink = uint64(x)
}

var sink uint64

const frozen0, frozen1, frozen2 uint64 = 0x4e5efdf325b99e59, 0xbdb523ccfa3fb615, 0x48555df1ea491520

// A series gives the draws that asking for each gives.
func TestSeries(t *testing.T) {
	for i := range uint64(1000) {
		seed := Seed(Seed(5).U64(1, i, 0))
		purpose, id := uint8(seed.U64(1, 1, 1)), seed.U64(1, 1, 2)>>(i%64)
		r := seed.Series(purpose, id)
		for n := range uint32(20) {
			attempt := n << (i % 28)
			if got, want := r.U64(attempt), seed.U64(purpose, id, attempt); got != want {
				t.Fatalf("seed %d, purpose %d, id %d, attempt %d: %#x, want %#x", seed, purpose, id, attempt, got, want)
			}
			lo, hi := time.Duration(n)*time.Second, 5*time.Second
			if got, want := r.Between(attempt, lo, hi), seed.Between(purpose, id, attempt, lo, hi); got != want {
				t.Fatalf("seed %d, purpose %d, id %d, attempt %d, %v to %v: %v, want %v", seed, purpose, id, attempt, lo, hi, got, want)
			}
		}
	}
}
