package record

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever a Dense was given, histograms filled from it are those filled directly.
func TestDenseIsAHist(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Dense
		for range 2 { // filled again, it has forgotten the first
			var want, a, b Hist
			a.AddN(5, 3)
			want.AddN(5, 3)
			for range rapid.IntRange(0, 40).Draw(t, "additions") {
				v := time.Duration(rapid.Int64Range(-5, 1<<35).Draw(t, "v") >> rapid.IntRange(0, 34).Draw(t, "shift"))
				n := rapid.Uint64Range(0, 1<<33).Draw(t, "n") >> rapid.IntRange(0, 33).Draw(t, "by")
				if want.AddN(v, n); !d.AddN(v, n) {
					a.AddN(v, n)
					b.AddN(v, n)
				}
			}
			b.AddN(5, 3)
			d.MoveTo(&a, &b)
			if !reflect.DeepEqual(a, want) || !reflect.DeepEqual(b, want) {
				t.Fatalf("%+v and %+v, want %+v", a, b, want)
			}
		}
	})
}
