package model

import (
	"context"
	"fmt"
	"testing"
)

func TestDbg(t *testing.T) {
	sc := scaled(t, "suikang-2020-01-31", 0.1, 1, 1, "window.from", "-2h", "window.to", "4h")
	for _, sh := range []uint{30, 28, 27, 26} {
		e, err := newEvening(sc, Options{windowShift: sh})
		if err != nil {
			t.Fatal(err)
		}
		e.run(context.Background())
		fmt.Println(sh, "kernel", e.kernel.Counts(), "handed", e.windows.handed, "returned", e.windows.returned, "begun server", e.begun, "quiet", e.windows.nquiet, "lent", e.windows.nlent, "moved slab", len(e.windows.moved))
	}
}
