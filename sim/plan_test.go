package sim

import (
	"errors"
	"testing"
)

// Wherever the edge and the start are, the search finds the edge, asks no level
// twice, and no more than doubling and bisection need.
func TestSearch(t *testing.T) {
	for n := 1; n <= 40; n++ {
		for edge := 0; edge <= n; edge++ { // n: nothing holds
			for start := range n {
				asked := map[int]int{}
				first, ok, err := Search(n, start, func(l int) (bool, error) {
					asked[l]++
					return l >= edge, nil
				})
				if err != nil || ok != (edge < n) || ok && first != edge {
					t.Fatalf("%d levels, edge %d, start %d: %d, %v, %v", n, edge, start, first, ok, err)
				}
				if len(asked) > 14 {
					t.Fatalf("%d levels, edge %d, start %d: %d asked", n, edge, start, len(asked))
				}
				for l, times := range asked {
					if times > 1 {
						t.Fatalf("%d levels, edge %d, start %d: level %d asked %d times", n, edge, start, l, times)
					}
				}
			}
		}
	}
}

// An island: what holds ends upwards as well. The lower edge of it is found.
func TestSearchOnAnIsland(t *testing.T) {
	for start := range 30 {
		first, ok, err := Search(100, start, func(l int) (bool, error) { return l >= 30 && l < 70, nil })
		if err != nil || !ok || first != 30 {
			t.Errorf("from %d: %d, %v, %v", start, first, ok, err)
		}
	}
	first, ok, _ := Search(100, 80, func(l int) (bool, error) { return l >= 30 && l < 70, nil })
	if !ok || first != 30 {
		t.Errorf("from above: %d, %v", first, ok)
	}
}

func TestSearchStopsAtAnError(t *testing.T) {
	broken, n := errors.New("broken"), 0
	_, ok, err := Search(100, 50, func(int) (bool, error) { n++; return true, broken })
	if ok || !errors.Is(err, broken) || n != 1 {
		t.Errorf("%v, %v, %d asked", ok, err, n)
	}
}
