package record

import (
	"testing"

	"pgregory.net/rapid"

	"spillway/internal/booking"
)

// Every presser is in one part, the parts differ by one at the most, and
// the earliest are in the first.
func TestDeciles(t *testing.T) {
	if Deciles(nil) != nil {
		t.Error("nobody pressed, and there are deciles")
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		ps := make([]Presser, n)
		for i := range ps {
			ps[i] = Presser{At: 1, Visit: booking.VisitID(n - i), Confirmed: i >= n-n/10} // the last are the earliest
		}
		ds := Deciles(ps)
		var all, won uint64
		low, high := ds[0].Pressers, ds[0].Pressers
		for _, d := range ds {
			all, won = all+d.Pressers, won+d.Confirmed
			low, high = min(low, d.Pressers), max(high, d.Pressers)
		}
		if len(ds) != 10 || all != uint64(n) || won != uint64(n/10) || high-low > 1 {
			t.Fatalf("%d pressers make %v", n, ds)
		}
		if ds[0].Confirmed != won {
			t.Fatalf("the earliest won, and the first part has %d of %d", ds[0].Confirmed, won)
		}
	})
}
