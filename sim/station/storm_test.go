package station

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"spillway/internal/draw"
)

// spikeStorm is the setting of the table of defences: 25 servers of 10 ms at load
// 0.7, a spike of 2.5 times for 4 s in a run of 60 s, timeout 1 s, three attempts
// about 0.5 s apart, a queue of 2 s of work. Not stated, and chosen here: the
// spike begins at 10 s, pauses are uniform in 0.25 to 0.75 s, a budget saves up
// 100 retries, and a dropped request gets no answer (with one, the users dropped
// after 0.1 s come back into the same spike, and 69.5 % are served in it, not 82.5).
func spikeStorm(seed draw.Seed) Storm {
	return Storm{Servers: 25, Service: Exponential(10 * time.Millisecond), Rate: 0.7 * 2500, Length: time.Minute,
		SpikeAt: 10 * time.Second, SpikeFor: 4 * time.Second, Spike: 2.5, Timeout: time.Second, Attempts: 3,
		RetryMin: 250 * time.Millisecond, RetryMax: 750 * time.Millisecond, Queue: 5000, Seed: seed}
}

// TestDefences holds the simulator to the table of defences of a throw-away
// simulator that shares nothing with this one but the stated parameters.
func TestDefences(t *testing.T) {
	rows := []struct {
		name                               string
		change                             func(*Storm)
		served, spike, last, attempts, p99 float64 // as published
	}{
		{"none", func(*Storm) {}, 0.205, 0.346, 0.007, 2.59, 0.97},
		{"backoff + jitter", func(s *Storm) { s.Backoff, s.RetryMax = true, 500*time.Millisecond }, 0.207, 0.345, 0.014, 2.59, 0.97},
		{"no retries", func(s *Storm) { s.Attempts = 1 }, 0.848, 0.329, 1, 1.00, 0.91},
		{"budget 10 %", func(s *Storm) { s.Budget, s.BudgetMost = 0.1, 100 }, 0.836, 0.346, 1, 1.03, 0.93},
		{"queue 0.2 s", func(s *Storm) { s.Queue = 500 }, 0.953, 0.693, 1, 1.18, 0.23},
		{"queue 0.2 s + budget", func(s *Storm) { s.Queue, s.Budget, s.BudgetMost = 500, 0.1, 100 }, 0.942, 0.613, 1, 1.03, 0.22},
		{"drop > 0.9 timeout", func(s *Storm) { s.Drop, s.Silent = 900*time.Millisecond, true }, 0.987, 0.916, 1, 1.11, 0.93},
		{"drop > 0.1 timeout", func(s *Storm) { s.Drop, s.Silent = 100*time.Millisecond, true }, 0.973, 0.825, 1, 1.17, 0.13},
		{"adaptive LIFO", func(s *Storm) { s.Adaptive = true }, 0.949, 0.669, 1, 1.18, 0.05},
	}
	seeds := draw.Seed(5)
	if testing.Short() {
		seeds = 1
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-22s %14s %14s %14s %14s %14s\n", "defence", "users served", "in spike", "last quarter", "attempts", "p99 / timeout")
	for _, row := range rows {
		var served, spike, last, attempts, p99 float64
		for seed := range seeds {
			s := spikeStorm(seed + 1)
			row.change(&s)
			r, err := s.Run()
			if err != nil {
				t.Fatal(err)
			}
			n := float64(seeds)
			served += float64(r.Served) / float64(r.Users) / n
			spike += float64(r.SpikeServed) / float64(r.SpikeUsers) / n
			last += float64(r.LastServed) / float64(r.LastUsers) / n
			attempts += float64(r.Attempts) / float64(r.Users) / n
			p99 += r.P99.Seconds() / s.Timeout.Seconds() / n
		}
		fmt.Fprintf(&table, "%-22s %6.3f (%5.3f) %6.3f (%5.3f) %6.3f (%5.3f) %6.2f (%5.2f) %6.2f (%5.2f)\n",
			row.name, served, row.served, spike, row.spike, last, row.last, attempts, row.attempts, p99, row.p99)
		// Fixed seeds here, five seeds of unknown value there: the tolerance is some
		// three standard errors of the widest figure, the share served in the spike.
		near := func(what string, got, want, tolerance float64) {
			if testing.Short() {
				tolerance *= 2
			}
			if math.Abs(got-want) > tolerance {
				t.Errorf("%s: %s %.3f, published %.3f ± %.3f", row.name, what, got, want, tolerance)
			}
		}
		near("users served", served, row.served, 0.01)
		near("served in the spike", spike, row.spike, 0.02)
		near("served in the last quarter", last, row.last, 0.01)
		near("attempts per user", attempts, row.attempts, 0.03)
		near("p99", p99, row.p99, 0.015)
	}
	t.Logf("measured (published):\n%s", table.String())
}

// TestMetastable is the thought experiment of HotOS'21 as a simulation: 30 servers of 100 ms, so 300
// a second, timeout 1 s, one retry at once, arrivals held for the outage and then
// released. Outages begin at 20 s of 2 min.
func TestMetastable(t *testing.T) {
	published := map[float64][3]int{280: {9, 10, 10}, 240: {1, 10, 10}, 200: {0, 10, 10}, 160: {0, 10, 10}, 100: {0, 0, 0}}
	seeds := 10
	if testing.Short() {
		seeds = 3
	}
	var table strings.Builder
	for _, load := range []float64{280, 240, 200, 160, 100} {
		fmt.Fprintf(&table, "load %3.0f of 300:", load)
		for j, outage := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second} {
			tipped := 0
			for seed := range draw.Seed(seeds) {
				r, err := Storm{Servers: 30, Service: Exponential(100 * time.Millisecond), Rate: load, Length: 2 * time.Minute,
					HoldAt: 20 * time.Second, HoldFor: outage, Timeout: time.Second, Attempts: 2, Seed: seed + 1}.Run()
				if err != nil {
					t.Fatal(err)
				}
				if r.Tipped() {
					tipped++
				}
			}
			// Where the ten runs agree, so must these. Elsewhere the system stands on the
			// tipping line: ten runs of ours gave 5 where ten gave 9 (Fisher's exact test:
			// 14 %), so only a gross difference counts.
			want := published[load][j]
			if want == 0 && tipped > 0 || want == 10 && tipped < seeds || seeds == 10 && max(tipped-want, want-tipped) > 5 {
				t.Errorf("load %v, outage %v: %d of %d tipped, published %d of 10", load, outage, tipped, seeds, want)
			}
			fmt.Fprintf(&table, "  %v outage %2d (%2d)", outage, tipped, published[load][j])
		}
		table.WriteString("\n")
	}
	t.Logf("tipped of %d seeds (published, of 10):\n%s", seeds, table.String())
}

// tippingStorm is the scale model 1:scale of 500 servers of 10 ms at load 0.5 hit
// by a spike of 2.5 times. Below one server's worth a single slow one stands for it.
func tippingStorm(scale int, spike time.Duration, seed draw.Seed) Storm {
	s := Storm{Servers: 500 / scale, Service: Exponential(10 * time.Millisecond), Rate: 0.5 * 50_000 / float64(scale), Length: time.Minute,
		SpikeAt: 10 * time.Second, SpikeFor: spike, Spike: 2.5, Timeout: time.Second, Attempts: 3,
		RetryMin: 250 * time.Millisecond, RetryMax: 750 * time.Millisecond, Seed: seed}
	if s.Servers == 0 {
		s.Servers, s.Service.Mean = 1, time.Duration(scale)*time.Second/50_000
	}
	return s
}

// TestTipping holds P(tip) to the published table, in which the number of runs is
// not stated: the fractions fit 60, and 16 at 1:10. And it holds the rule for a
// verdict to the simulator: beyond two standard deviations from the tipping line
// at most 5 % of the runs go the other way.
func TestTipping(t *testing.T) {
	published := map[int][]float64{10: {0, 0, 0.19, 1, 1}, 100: {0, 0.17, 0.50, 0.77, 0.98}, 1000: {0.17, 0.52, 0.68, 0.77, 0.90}}
	runs := map[int][2]int{100: {60, 60}, 1000: {200, 60}} // ours, theirs
	if testing.Short() {
		runs = map[int][2]int{1000: {60, 60}}
	}
	if os.Getenv("SPILLWAY_VALIDATE") == "long" {
		runs = map[int][2]int{10: {16, 16}, 100: {600, 60}, 1000: {600, 60}}
	}
	var table strings.Builder
	for _, scale := range []int{10, 100, 1000} {
		n, theirs := runs[scale][0], runs[scale][1]
		if n == 0 {
			continue
		}
		fmt.Fprintf(&table, "1:%-5d", scale)
		for j, spike := range []time.Duration{3000, 4000, 4500, 5000, 6000} {
			spike *= time.Millisecond
			tipped := 0
			for seed := range draw.Seed(n) {
				r, err := tippingStorm(scale, spike, 1+seed).Run()
				if err != nil {
					t.Fatal(err)
				}
				if r.Tipped() {
					tipped++
				}
			}
			got, want := float64(tipped)/float64(n), published[scale][j]
			// Four standard errors of the difference, of 15 comparisons: luck 10^-3 over
			// all seeds, and these are fixed; the last term is for shares of 0 and 1.
			p := (got + want) / 2
			tolerance := 4*math.Sqrt(p*(1-p)*(1/float64(n)+1/float64(theirs))) + 0.01
			if math.Abs(got-want) > tolerance {
				t.Errorf("1:%d, spike of %v: P(tip) %.2f, published %.2f ± %.2f", scale, spike, got, want, tolerance)
			}
			// W = (xρ-1)Δ, σ = √((xρ+1)Δ/(sC)), tipping a little above the timeout of 1 s.
			margin := (0.25*spike.Seconds() - 1.14) / math.Sqrt(2.25*spike.Seconds()/(50_000/float64(scale)))
			if margin > 2 && got < 0.95-tolerance/2 || margin < -2 && got > 0.05+tolerance/2 {
				t.Errorf("1:%d, spike of %v: %.1f σ from the tipping line, yet P(tip) = %.2f", scale, spike, margin, got)
			}
			fmt.Fprintf(&table, "  %v %.2f (%.2f) %+.1fσ", spike, got, want, margin)
		}
		table.WriteString("\n")
	}
	t.Logf("P(tip) by length of the spike (published), and its distance from the tipping line:\n%s", table.String())
}

// Random storms with every defence at once: nobody is lost or served twice.
func TestStormConservation(t *testing.T) {
	for i := range uint64(80) {
		u := func(purpose uint8) float64 { return draw.Seed(5).Uniform(purpose, i, 0) }
		ms := func(x float64) time.Duration { return time.Duration(x * 1e6) }
		s := Storm{Servers: 1 + int(u(1)*8), Service: LogNormal(10*time.Millisecond, 0.5), Length: 10 * time.Second, SpikeAt: 2 * time.Second,
			SpikeFor: ms(2000 * u(2)), Spike: 5 * u(3), HoldAt: 6 * time.Second, HoldFor: ms(1000 * u(4)), Timeout: ms(20 + 500*u(5)),
			Attempts: 1 + int(u(6)*5), RetryMin: ms(50 * u(7)), Backoff: u(8) < 0.3, Budget: max(0, u(9)-0.5), BudgetMost: 50 * u(10),
			Queue: int(u(11) * 200), Drop: ms(300 * max(0, u(12)-0.5)), Silent: u(13) < 0.5, Adaptive: u(14) < 0.5, Newest: int(u(15) * 50), Seed: draw.Seed(i)}
		s.RetryMax = s.RetryMin + ms(100*u(16))
		s.Rate = (0.3 + u(17)) * float64(s.Servers) * 100
		r, err := s.Run()
		if err != nil {
			t.Fatalf("storm %d: %v", i, err)
		}
		if r.Served > r.Users || r.Attempts < r.Users || r.Attempts > r.Users*s.Attempts || r.SpikeServed > r.SpikeUsers ||
			r.LastServed > r.LastUsers || r.Served+r.Wasted > r.Attempts || r.Users == 0 {
			t.Errorf("storm %d: %+v does not add up", i, r)
		}
		again, _ := s.Run()
		if again != r {
			t.Errorf("storm %d: %+v, then %+v", i, r, again)
		}
	}
	for i, change := range []func(*Storm){
		func(s *Storm) { s.Servers = 0 }, func(s *Storm) { s.Rate = math.NaN() }, func(s *Storm) { s.Spike = math.Inf(1) },
		func(s *Storm) { s.Timeout = 1<<63 - 1 }, func(s *Storm) { s.RetryMin = time.Hour }, func(s *Storm) { s.Budget = math.NaN() },
		func(s *Storm) { s.HoldFor = -1 }, func(s *Storm) { s.Service = Law{} },
	} {
		s := spikeStorm(1)
		change(&s)
		if _, err := s.Run(); !errors.Is(err, ErrConfig) {
			t.Errorf("bad storm %d gave %v", i, err)
		}
	}
}

// With users who wait for ever a storm is M/M/c: the percentiles of the sojourn in
// M/M/1 are those of an exponential of rate μ-λ (Kleinrock 1, §5.12). 200,000
// customers at load 0.5: within 5 %, more than ten standard errors.
func TestStormWithoutTimeoutsIsMM1(t *testing.T) {
	r, err := Storm{Servers: 1, Service: Exponential(10 * time.Millisecond), Rate: 50, Length: 4000 * time.Second, Timeout: time.Hour, Attempts: 1, Seed: 3}.Run()
	if err != nil || r.Served != r.Users || r.Wasted != 0 {
		t.Fatalf("%+v, error %v", r, err)
	}
	for _, c := range []struct {
		got  time.Duration
		want float64
	}{{r.P50, math.Log(2) / 50}, {r.P99, math.Log(100) / 50}} {
		if math.Abs(c.got.Seconds()/c.want-1) > 0.05 {
			t.Errorf("sojourn %v, want %v s", c.got, c.want)
		}
	}
}

// TestScaleModels holds the similarity law to the published table: people thinned
// by s, every timer quickened by k, the number of servers and the queue's bound cut
// to match; and what goes wrong when the service time cannot be shrunk by k.
func TestScaleModels(t *testing.T) {
	rows := []modelRow{
		// The tolerances are three published standard deviations, at least 0.01.
		{"1:10", 10, 1, true, 229974, 0.204, 0.335, 2.594, 0.011, 0.967, [3]float64{0.01, 0.024, 0.01}},
		{"1:100, 5 servers", 100, 1, true, 23051, 0.202, 0.322, 2.600, 0.014, 0.962, [3]float64{0.01, 0.081, 0.021}},
		{"1:500, 1 server", 500, 1, true, 4609, 0.198, 0.297, 2.608, 0.036, 0.948, [3]float64{0.021, 0.144, 0.045}},
		{"1:1000, 1 slow server", 1000, 1, true, 2255, 0.205, 0.352, 2.594, 0.071, 0.954, [3]float64{0.045, 0.318, 0.093}},
		{"1:50, 4 × as fast, not S", 50, 4, false, 45903, 0.203, 0.327, 2.597, 0.043, 0.965, [3]float64{0.018, 0.093, 0.036}},
		{"1:50, 10 × as fast, not S", 50, 10, false, 46103, 0.201, 0.315, 2.601, 0.103, 0.966, [3]float64{0.01, 0.06, 0.021}},
		{"1:50, 20 × as fast, not S", 50, 20, false, 46010, 0.194, 0.274, 2.614, 0.187, 0.967, [3]float64{0.01, 0.03, 0.015}},
		{"1:50, 4 × as fast", 50, 4, true, 46427, 0.203, 0.327, 2.598, 0.012, 0.961, [3]float64{0.01, 0.054, 0.018}},
		{"1:50, 20 × as fast", 50, 20, true, 46427, 0.203, 0.327, 2.598, 0.012, 0.961, [3]float64{0.01, 0.054, 0.018}},
	}
	if os.Getenv("SPILLWAY_VALIDATE") == "long" {
		rows[0] = modelRow{"full size", 1, 1, true, 2311950, 0.203, 0.329, 2.598, 0.011, 0.965, rows[0].tolerance}
	}
	seeds := draw.Seed(8)
	if testing.Short() {
		rows, seeds = rows[1:], 4
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-26s %8s %16s %16s %16s %16s %16s\n", "model", "users", "served", "in spike", "attempts", "p50 / timeout", "p99 / timeout")
	var last StormResult
	for i, row := range rows {
		seeds := seeds
		if row.thin <= 10 {
			seeds = 1
		}
		var users, served, spike, attempts, p50, p99 float64
		var r StormResult
		for seed := range seeds {
			s := modelStorm(row.thin, row.quick, row.shrunk, 1+seed)
			var err error
			if r, err = s.Run(); err != nil {
				t.Fatal(err)
			}
			n := float64(seeds)
			users += float64(r.Users) / n
			served += float64(r.Served) / float64(r.Users) / n
			spike += float64(r.SpikeServed) / float64(r.SpikeUsers) / n
			attempts += float64(r.Attempts) / float64(r.Users) / n
			p50 += r.P50.Seconds() / s.Timeout.Seconds() / n
			p99 += r.P99.Seconds() / s.Timeout.Seconds() / n
		}
		near := func(what string, got, want, tolerance float64) {
			if math.Abs(got-want) > tolerance {
				t.Errorf("%s: %s %.3f, published %.3f ± %.3f", row.name, what, got, want, tolerance)
			}
		}
		near("users", users/float64(row.users), 1, 4*math.Sqrt(2/8.0/float64(row.users))+0.01) // Poisson
		near("served", served, row.served, row.tolerance[0])
		near("served in the spike", spike, row.spike, row.tolerance[1])
		near("attempts", attempts, row.attempts, row.tolerance[2])
		near("p50", p50, row.p50, 0.15*row.p50+0.002)
		if r.P99 > 0 { // the smallest models serve too few to carry it
			near("p99", p99, row.p99, 0.02)
		}
		fmt.Fprintf(&table, "%-26s %8.0f %7.3f (%6.3f) %7.3f (%6.3f) %7.3f (%6.3f) %7.3f (%6.3f) %7.3f (%6.3f)\n",
			row.name, users, served, row.served, spike, row.spike, attempts, row.attempts, p50, row.p50, p99, row.p99)
		// Quickening time alone is exact but for the rounding to a nanosecond, which
		// decides who takes the last place of a full queue: the same users come, and
		// about as many of them are served.
		if i == len(rows)-1 && (last.Users != r.Users || last.SpikeUsers != r.SpikeUsers || math.Abs(float64(last.Served)/float64(r.Served)-1) > 0.01) {
			t.Errorf("4 × as fast %+v, 20 × as fast %+v: not the same evening", last, r)
		}
		last = r
	}
	t.Logf("measured (published):\n%s", table.String())
}

type modelRow struct {
	name                              string
	thin, quick                       int
	shrunk                            bool // the service time, too, is divided by quick
	users                             int
	served, spike, attempts, p50, p99 float64    // as published
	tolerance                         [3]float64 // of served, spike, attempts
}

// modelStorm is the spike at full size, 500 servers of 10 ms at load 0.7, as a
// scale model. Not shrunk, the service keeps its 10 ms and there are more servers.
func modelStorm(thin, quick int, shrunk bool, seed draw.Seed) Storm {
	k := time.Duration(quick)
	s := spikeStorm(seed)
	s.Rate = 0.7 * 50_000 / float64(thin) * float64(quick)
	s.Servers = 500 / thin
	s.Queue = 100_000 / thin
	if s.Servers == 0 {
		s.Servers, s.Service.Mean = 1, time.Duration(thin)*time.Second/50_000
	}
	if shrunk {
		s.Service.Mean /= k
	} else {
		s.Servers *= quick
	}
	for _, d := range []*time.Duration{&s.Length, &s.SpikeAt, &s.SpikeFor, &s.Timeout, &s.RetryMin, &s.RetryMax} {
		*d /= k
	}
	return s
}

func ExampleStorm() {
	s := spikeStorm(1)
	for _, drop := range []time.Duration{0, 900 * time.Millisecond} {
		s.Drop = drop
		r, err := s.Run()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("drop after %v: %.0f %% of the users served, %.0f %% of the last ones; tipped: %v\n",
			drop, 100*float64(r.Served)/float64(r.Users), 100*float64(r.LastServed)/float64(r.LastUsers), r.Tipped())
	}
	// Output:
	// drop after 0s: 20 % of the users served, 1 % of the last ones; tipped: true
	// drop after 900ms: 98 % of the users served, 100 % of the last ones; tipped: false
}
