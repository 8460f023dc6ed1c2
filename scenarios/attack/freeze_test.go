package attack

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/record"
)

// freezer is a server that answers after serve, but for one freeze: what arrives
// in it is answered serve after its end. It measures itself.
type freezer struct {
	clk      clock.Wall // offset 0 is the run's
	from, to time.Duration
	serve    time.Duration

	mu   sync.Mutex
	took []span // of each request, as the handler saw it
}

type span struct{ from, to time.Duration }

// freezerReply is all that it ever says.
var freezerReply = []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

// listen serves until l is closed and every client is gone. It is no net/http
// server: a thousand answers at the end of the freeze are to cost the machine, and
// so the truth, as little as can be.
func (f *freezer) listen(l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer c.Close()
			buf := make([]byte, 2048)
			for n := 0; ; {
				m, err := c.Read(buf[n:])
				if err != nil {
					return
				}
				if n += m; !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
					continue
				}
				n = 0
				if !f.answer(c) {
					return
				}
			}
		})
	}
}

func (f *freezer) answer(c net.Conn) bool {
	from := f.clk.Now()
	wait := f.serve
	if from >= f.from && from < f.to {
		wait += f.to - from
	}
	time.Sleep(wait)
	_, err := c.Write(freezerReply)
	to := f.clk.Now()
	f.mu.Lock()
	f.took = append(f.took, span{from, to})
	f.mu.Unlock()
	return err == nil
}

// service is the server's own median service time outside the freeze and its
// aftermath, its mean while the backlog drains, right after the freeze, and how long
// after the freeze's end those were answered, in the mean, who had waited for it: a
// thousand answers at once take a slow machine 50 ms.
func (f *freezer) service(drain time.Duration) (usual, draining, thaw time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calm []time.Duration
	var sum, thawed time.Duration
	n, frozen := 0, 0
	for _, s := range f.took {
		if s.from >= f.from && s.from < f.to {
			thawed += s.to - f.to
			frozen++
		}
		switch {
		case s.to < f.from || s.from > f.to+drain:
			calm = append(calm, s.to-s.from)
		case s.from >= f.to:
			sum += s.to - s.from
			n++
		}
	}
	slices.Sort(calm)
	usual = calm[len(calm)/2]
	if n > 0 {
		draining = sum / time.Duration(n)
	} else {
		draining = usual
	}
	return usual, draining, thawed / time.Duration(max(frozen, 1))
}

// truth derives the response times: workers serve in order of arrival, each for s
// (draining once the freeze is over and until the backlog is gone), and whatever
// reaches the server in the freeze is answered thaw after its end. No worker limit is 0.
func truth(at []time.Duration, f *freezer, workers int, usual, draining, thaw time.Duration) *record.Hist {
	var h record.Hist
	free := make([]time.Duration, workers)
	for _, due := range at {
		start, w := due, -1
		if workers > 0 {
			w = 0
			for i := range free {
				if free[i] < free[w] {
					w = i
				}
			}
			start = max(due, free[w])
		}
		s := usual
		if start > due {
			s = draining
		}
		done := start + s
		if start >= f.from && start < f.to {
			done = f.to + thaw
		}
		if w >= 0 {
			free[w] = done
		}
		h.Add(done - due)
	}
	return &h
}

// persist gives a comparison with the wall clock three chances: a machine that
// stalls for 30 ms for somebody else's sake spoils one of them, a generator that
// hides a freeze fails them all.
func persist(tb testing.TB, once func() error) {
	tb.Helper()
	for try := 1; ; try++ {
		err := once()
		if err == nil {
			return
		}
		if try == 3 {
			tb.Error(err)
			return
		}
		tb.Logf("try %d: %v", try, err)
	}
}

// freeze runs n requests, gap apart, against a server that freezes, and returns
// what was measured beside the derived truth.
func freeze(tb testing.TB, gap time.Duration, n int, from, length time.Duration, workers int) (got, want *record.Hist, usual time.Duration) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	at := every(gap, n)
	s := newSchedule(at)
	f := &freezer{from: from, to: from + length, serve: time.Millisecond}
	done := make(chan struct{})
	f.clk = clock.WallFrom(time.Now().Add(50 * time.Millisecond))
	go func() { f.listen(l); close(done) }()
	cap := workers
	if cap == 0 {
		cap = DefaultInFlight
	}
	driveFrom(tb, f.clk, "http://"+l.Addr().String(), s, cap, whenDone)
	_ = l.Close()
	<-done
	usual, draining, thaw := f.service(time.Second)
	got = s.hist(record.Response, booking.OK)
	if int(got.Count()) != n {
		tb.Fatalf("%d of %d requests were answered", got.Count(), n)
	}
	return got, truth(at, f, workers, usual, draining, thaw), usual
}

// judgeFreeze compares the tail with the truth, 3 % each way, and the median with
// the server's own service time, 1 ms each way.
func judgeFreeze(got, want *record.Hist, usual time.Duration) error {
	for _, q := range []float64{0.95, 0.99, 0.999, 1} {
		g, w := got.Quantile(q), want.Quantile(q)
		if math.Abs(float64(g-w)) > 0.03*float64(w) {
			return fmt.Errorf("p%v = %v, truth is %v", q*100, g, w)
		}
	}
	if p50 := got.Quantile(0.5); p50-usual > time.Millisecond || usual-p50 > time.Millisecond {
		return fmt.Errorf("p50 = %v, the server took %v", p50, usual)
	}
	return nil
}

// The coordinated-omission test: 500 requests a second for 20 s, and a server that
// freezes for 2 s. Of the 1,000 that are due in the freeze, number i waits 2,000 -
// 2i ms; so of 10,000 the 500th slowest takes 1.001 s, the 100th 1.801 s, the 10th
// 1.981 s and the slowest 2.001 s. With 10 workers the others' wait for a worker,
// while the backlog drains, belongs to the truth as well.
func TestFreeze(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 s")
	}
	for _, workers := range []int{0, 10} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			t.Parallel()
			from := 12 * time.Second
			if workers > 0 {
				from -= 4 * time.Second // not at the moment when the other one's backlog comes back
			}
			var got, want *record.Hist
			var usual time.Duration
			persist(t, func() error {
				got, want, usual = freeze(t, 2*time.Millisecond, 10_000, from, 2*time.Second, workers)
				if workers == 0 {
					for q, w := range map[float64]float64{0.95: 1.001, 0.99: 1.801, 0.999: 1.981, 1: 2.001} {
						w += want.Max().Seconds() - 2.001 // what the thaw takes longer
						if d := want.Quantile(q).Seconds(); math.Abs(d-w) > 0.01 || w < 1 {
							t.Errorf("derived p%v is %v s, by hand it is %v s", q*100, d, w)
						}
					}
				}
				return judgeFreeze(got, want, usual)
			})
			t.Logf("p50 %v p95 %v p99 %v p99.9 %v max %v; truth %v %v %v %v; server's own median %v", got.Quantile(0.5), got.Quantile(0.95),
				got.Quantile(0.99), got.Quantile(0.999), got.Max(), want.Quantile(0.95), want.Quantile(0.99), want.Quantile(0.999), want.Max(), usual)
		})
	}
}

// A freeze shows wherever in the run it falls, as long as its backlog can drain:
// the same derivation on a shorter run, several of them side by side.
func TestFreezeAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 s")
	}
	for i, from := range []time.Duration{0, 700, 1300, 2000, 2700} {
		t.Run(fmt.Sprintf("at=%dms", from), func(t *testing.T) {
			t.Parallel()
			persist(t, func() error {
				// 100/s for 4 s, frozen for 1 s: the slowest 100 of 400 wait 1,000 - 10i ms.
				got, want, usual := freeze(t, 10*time.Millisecond, 400, from*time.Millisecond, time.Second, i%2*10)
				return judgeFreeze(got, want, usual)
			})
		})
	}
}
