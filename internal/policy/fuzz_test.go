package policy

import "testing"

func FuzzParseGate(f *testing.F) {
	for _, s := range []string{"off", "original", "coin", "", "Coin"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := ParseGate(s); err == nil && g.String() != s {
			t.Fatalf("%q reads as %v", s, g)
		}
	})
}
