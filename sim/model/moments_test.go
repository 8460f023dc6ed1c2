package model

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Moments are a map's, whatever comes and goes.
func TestMomentsAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m moments
		want := map[uint32]time.Duration{}
		visits := rapid.Uint32Range(1, 300).Draw(t, "visits") // few, so that they collide and come back
		for i := range rapid.IntRange(0, 600).Draw(t, "steps") {
			visit := rapid.Uint32Range(0, visits).Draw(t, "visit") * 0x01000193
			old, known := want[visit]
			if m.has(visit) != known {
				t.Fatalf("visit %d: has says %v", visit, !known)
			}
			if rapid.Bool().Draw(t, "take") {
				if at, ok := m.take(visit); ok != known || at != old {
					t.Fatalf("visit %d: %v, %v, want %v, %v", visit, at, ok, old, known)
				}
				delete(want, visit)
			} else {
				m.add(visit, time.Duration(i))
				if !known {
					want[visit] = time.Duration(i)
				}
			}
		}
		for visit, at := range want {
			if got, ok := m.take(visit); !ok || got != at {
				t.Fatalf("visit %d: %v, %v at the end, want %v", visit, got, ok, at)
			}
		}
		if m.n != 0 {
			t.Fatalf("%d are left", m.n)
		}
	})
}
