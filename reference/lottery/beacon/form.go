package beacon

import (
	"fmt"
	"math"
)

// Limits of a form.
const (
	countMax  = 1000      // values; ten times what 128 bits from coins need
	numberMax = 1<<53 - 1 // the largest whole number that every JSON reader keeps exactly
)

// BitsMin is the least entropy of a source, in bits. With fewer somebody can try
// every value before the seal: a car-plate draw that was seeded with six decimal
// digits had 20 bits, a million outcomes.
const BitsMin = 128

// Form is what values will look like: how many whole numbers and from which range.
type Form struct {
	Count    int   `json:"count"`              // from 1 to 1,000
	Min      int64 `json:"min"`                // smallest number that can come, at least 0
	Max      int64 `json:"max"`                // largest number that can come, above Min, below 2^53
	Distinct bool  `json:"distinct,omitempty"` // no number comes twice: balls that are not put back
}

func (f Form) validate() error {
	switch {
	case f.Count < 1 || f.Count > countMax:
		return fmt.Errorf("count %d: want 1 to %d values", f.Count, countMax)
	case f.Min < 0 || f.Max > numberMax || f.Min >= f.Max:
		return fmt.Errorf("range %d to %d: want 0 <= min < max < 2^53", f.Min, f.Max)
	case f.Distinct && int64(f.Count) > f.Max-f.Min+1:
		return fmt.Errorf("count %d: there are only %d distinct values", f.Count, f.Max-f.Min+1)
	}
	return nil
}

// check says which of the values does not have the form; the first is number 1.
func (f Form) check(values []int64) error {
	if len(values) != f.Count {
		return fmt.Errorf("%d values: the seal names %d", len(values), f.Count)
	}
	seen := make(map[int64]bool, len(values))
	for i, v := range values {
		if v < f.Min || v > f.Max {
			return fmt.Errorf("value %d: %d is outside %d to %d", i+1, v, f.Min, f.Max)
		}
		if f.Distinct && seen[v] {
			return fmt.Errorf("value %d: %d has come before", i+1, v)
		}
		seen[v] = true
	}
	return nil
}

// bits is the entropy of the values in the order in which they come, in bits,
// when each is equally likely. It is 0 for a form that is not valid.
func (f Form) bits() float64 {
	if f.validate() != nil {
		return 0
	}
	n := float64(f.Max - f.Min + 1)
	if !f.Distinct {
		return float64(f.Count) * math.Log2(n)
	}
	sum := 0.0
	for i := range f.Count {
		sum += math.Log2(n - float64(i))
	}
	return sum
}

// bitsSorted is the min-entropy that is left when the values are sorted, which
// RFC 3797 does: the likeliest set of values has as few repetitions as can be,
// and can come in count!/Π(repetitions!) orders.
func (f Form) bitsSorted() float64 {
	if f.validate() != nil {
		return 0
	}
	bits := f.bits() - log2Factorial(f.Count)
	if n := f.Max - f.Min + 1; !f.Distinct && int64(f.Count) > n {
		each, more := f.Count/int(n), f.Count%int(n)
		bits += float64(int(n)-more)*log2Factorial(each) + float64(more)*log2Factorial(each+1)
	}
	return max(0, bits)
}

func log2Factorial(n int) float64 {
	sum := 0.0
	for i := 2; i <= n; i++ {
		sum += math.Log2(float64(i))
	}
	return sum
}

func (f Form) String() string {
	distinct := ""
	if f.Distinct {
		distinct = "distinct "
	}
	return fmt.Sprintf("%d %sfrom %d to %d", f.Count, distinct, f.Min, f.Max)
}
