package sweep

import (
	"strings"
	"testing"

	"spillway/scenarios"
)

// Any arguments make axes and samples of the size asked for, or one line of error.
func FuzzAxes(f *testing.F) {
	f.Add("queue.depth=10..1000/3log", "admission.probability=5%,20%", 4, uint64(1))
	f.Add("queue.depth=1..2", "queue.depth=1", 2, uint64(0))
	f.Add("=", "a=..", -1, uint64(9))
	spec, err := scenarios.Load("smoke")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b string, n int, seed uint64) {
		vary := []string{a, b}
		for _, err := range []error{func() error { _, err := ParseAxes(spec, vary); return err }(), func() error {
			points, err := Hypercube(spec, vary, n, seed)
			if err == nil && len(points) != n {
				t.Fatalf("%q: %d points, want %d", vary, len(points), n)
			}
			return err
		}()} {
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q: more than one line: %q", vary, err)
			}
		}
	})
}
