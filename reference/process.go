package reference

import (
	"math"
	"runtime/metrics"
)

// live is what this process's heap held after the last collection and its stacks
// hold now, in bytes. What the runtime keeps back for later is not in it, so it comes
// down when what took it is gone; resident memory hardly does.
func live() float64 {
	read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(read)
	sum := 0.0
	for _, m := range read {
		if m.Value.Kind() != metrics.KindUint64 { // a runtime that no longer tells
			return math.NaN()
		}
		sum += float64(m.Value.Uint64())
	}
	return sum
}
