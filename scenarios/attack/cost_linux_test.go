package attack

import (
	"net/http"
	"runtime"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"golang.org/x/sys/unix"
)

// cpu is the user and system time of this process so far.
func cpu(tb testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bare is vegeta alone as its command line runs it: its own client, pacer and
// 30 s timeout.
func bare(tb testing.TB, url string, rate, n, workers int) (perRequest time.Duration) {
	opts := []func(*vegeta.Attacker){vegeta.Workers(uint64(min(startWorkers, workers))), vegeta.MaxWorkers(uint64(workers))}
	var p vegeta.Pacer = vegeta.ConstantPacer{Freq: rate, Per: time.Second}
	d := time.Duration(n) * time.Second / time.Duration(max(rate, 1))
	if rate == 0 {
		p, d = &counted{n: uint64(n)}, 0
	}
	tgt := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: url + "/"})
	before := cpu(tb)
	got := 0
	for r := range vegeta.NewAttacker(opts...).Attack(tgt, p, d, "") {
		if r.Error != "" {
			tb.Fatal(r.Error)
		}
		got++
	}
	return (cpu(tb) - before) / time.Duration(got)
}

// counted sends n hits as fast as the workers take them.
type counted struct{ n uint64 }

func (c *counted) Pace(_ time.Duration, hits uint64) (time.Duration, bool) { return 0, hits >= c.n }
func (c *counted) Rate(time.Duration) float64                              { return 0 }

func ours(tb testing.TB, url string, at []time.Duration, workers int) (perRequest time.Duration, s *schedule) {
	s = newSchedule(at)
	before := cpu(tb)
	drive(tb, url, s, workers, whenDone)
	return (cpu(tb) - before) / time.Duration(len(at)), s
}

// BenchmarkAtRate prints what a request costs the generator at 5,000 a second
// against an idle server in a process of its own, beside vegeta alone, and how
// late the generator is: go test -bench AtRate -benchtime 5x ./scenarios/attack
//
// vegeta alone has all cores, as it ships. The generator is measured with one, as
// the command line runs it beside the bundled backend on two, and with all.
func BenchmarkAtRate(b *testing.B) {
	b.Run("one-core", func(b *testing.B) { atRate(b, 1) })
	b.Run("all-cores", func(b *testing.B) { atRate(b, runtime.GOMAXPROCS(0)) })
}

func atRate(b *testing.B, cores int) {
	url := idleServer(b, 0)
	const rate, n = 5000, 10_000
	at := every(time.Second/rate, n)
	var alone, with time.Duration
	late := newSchedule(nil).tally.late
	b.ResetTimer()
	for range b.N { // alternating, so that the machine's moods hit both
		alone += bare(b, url, rate, n, 1000)
		all := runtime.GOMAXPROCS(cores)
		cost, s := ours(b, url, at, 1000)
		runtime.GOMAXPROCS(all)
		with += cost
		late.Merge(&s.tally.late)
	}
	report(b, alone, with)
	b.ReportMetric(float64(late.Quantile(0.5).Microseconds()), "late-p50-µs")
	b.ReportMetric(float64(late.Quantile(0.99).Microseconds()), "late-p99-µs")
}

// BenchmarkSaturated is the same with 64 workers as fast as they can.
func BenchmarkSaturated(b *testing.B) {
	url := idleServer(b, 0)
	const n = 40_000
	at := every(time.Nanosecond, n)
	var alone, with time.Duration
	b.ResetTimer()
	for range b.N {
		alone += bare(b, url, 0, n, 64)
		cost, _ := ours(b, url, at, 64)
		with += cost
	}
	report(b, alone, with)
}

func report(b *testing.B, alone, with time.Duration) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(alone.Nanoseconds())/float64(b.N)/1e3, "bare-cpu-µs/req")
	b.ReportMetric(float64(with.Nanoseconds())/float64(b.N)/1e3, "cpu-µs/req")
	b.ReportMetric(float64(with)/float64(alone), "ratio")
}
