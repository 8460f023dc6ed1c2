package model

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
)

func TestDbg(t *testing.T) {
	sc := scaled(t, "suikang-2020-01-31", 1, 1, 1, "window.from", "-60s", "window.to", "120s")
	e, err := newEvening(sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	var peak uint64
	n := 0
	e.opt.Progress = func(p Progress) {
		n++
		if n%100 == 0 {
			runtime.ReadMemStats(&m)
			if m.HeapInuse > peak {
				peak = m.HeapInuse
			}
			fmt.Println(p.Elapsed, "inuse", m.HeapInuse>>20, "alloc", m.HeapAlloc>>20, "sys", m.Sys>>20, "alive", p.Alive, "gc", m.NumGC)
		}
	}
	e.run(context.Background())
	runtime.GC()
	f, _ := os.Create("/tmp/heap.prof")
	pprof.WriteHeapProfile(f)
	f.Close()
	w := e.windows
	fmt.Println("kernel", e.kernel.Counts(), "handed", w.handed, "moved slab", len(w.moved), "places", e.made, "reqs", len(e.requests.all))
}
