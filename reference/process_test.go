package reference

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"spillway/internal/booking"
)

// What a booking keeps in an embedded Redis, with the watch's own notes of it, is what
// the samples of the heap leave out: within a third, since maps grow by doubling.
func TestBookingBytes(t *testing.T) {
	c := sale()
	const first, all = 1_000, 5_000
	c.Stock.Items, c.Queue.Depth = []int{all}, 0
	s := serve(t, c)
	book := func(from, to int) float64 {
		var wg sync.WaitGroup
		for k := range 16 {
			wg.Go(func() {
				for user := from + k; user < to; user += 16 {
					want(t, "submit", s.submitAs(t, user, fmt.Sprintf("%032d", user), 0), booking.Queued)
				}
			})
		}
		wg.Wait()
		until(t, "all written", func() bool { return s.writer.Stats().Rows >= int64(to) })
		http.DefaultClient.CloseIdleConnections()
		runtime.GC()
		runtime.GC() // what had finalizers goes in the second
		return live()
	}
	before := book(0, first)
	per := (book(first, all) - before) / (all - first)
	t.Logf("%.0f bytes a booking", per)
	if per < bookingBytes*2/3 || per > bookingBytes*4/3 {
		t.Errorf("%.0f bytes a booking, reckoned with %d", per, bookingBytes)
	}
}
