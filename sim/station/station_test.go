package station

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"testing"
	"time"

	"spillway/internal/draw"
	"spillway/internal/record"
)

// same runs a station on both engines and wants every figure equal, to the last bit.
func same(t *testing.T, c Config) {
	t.Helper()
	c.Kernel = false
	a, err := Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	c.Kernel = true
	b, err := Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if a.Engine != "recursion" || b.Engine != "kernel" {
		t.Fatalf("engines %s and %s", a.Engine, b.Engine)
	}
	a.Engine, b.Engine = "", ""
	if fmt.Sprintf("%#v", a) != fmt.Sprintf("%#v", b) {
		t.Errorf("%+v\nthe recursion gives\n%v\nthe kernel\n%v", c, a, b)
	}
}

// The recursion is held to the kernel, its oracle: random stations of every kind
// that it can run, all figures equal.
func TestRecursionEqualsKernel(t *testing.T) {
	stations := 60
	if testing.Short() {
		stations = 20
	}
	for i := range uint64(stations) {
		same(t, randomStation(draw.Seed(9), i))
	}
}

// randomStation is one that the recursion can run.
func randomStation(seed draw.Seed, i uint64) Config {
	pick := func(purpose uint8, n int) int { return int(seed.Uniform(purpose, i, 0) * float64(n)) }
	mean := 10 * time.Millisecond
	c := Config{Servers: []int{1, 2, 3, 16, 60, 200}[pick(1, 6)], Seed: draw.Seed(i), Regular: pick(2, 3) == 0,
		Blocks: 2 + pick(3, 4), Customers: 300 + pick(4, 3000), WarmUp: []int{-1, 0, 777}[pick(5, 3)],
		Method: Method(pick(6, 2))}
	switch pick(7, 4) {
	case 0:
		c.Service = Exponential(mean)
	case 1:
		c.Service = LogNormal(mean, 0.3+seed.Uniform(8, i, 0)*2)
	case 2:
		c.Service = Constant(mean)
	case 3:
		c.Service = Empirical([]time.Duration{0, time.Millisecond, 5 * time.Millisecond, 34 * time.Millisecond})
	}
	load := 0.3 + 0.65*seed.Uniform(9, i, 0)
	switch pick(10, 3) {
	case 0:
		load *= 1.5
		c.Places = c.Servers + []int{0, 1, 7, 500}[pick(11, 4)]
	case 1:
		load *= 1.5
		c.Patience = []Law{Exponential(2 * mean), Constant(mean), LogNormal(3*mean, 2)}[pick(12, 3)]
	}
	c.Rate = load * float64(c.Servers) / mean.Seconds()
	return c
}

// Ties are the rule here: arrivals, services and patience are multiples of one
// another, so every order of events at one moment is met.
func TestRecursionEqualsKernelOnTies(t *testing.T) {
	for _, c := range []Config{
		{Servers: 2, Rate: 100, Regular: true, Service: Constant(30 * time.Millisecond), Patience: Constant(10 * time.Millisecond)},
		{Servers: 2, Rate: 100, Regular: true, Service: Constant(30 * time.Millisecond), Places: 3},
		{Servers: 3, Rate: 100, Regular: true, Service: Empirical([]time.Duration{10 * time.Millisecond, 40 * time.Millisecond}), Places: 5},
		{Servers: 1, Rate: 100, Regular: true, Service: Empirical([]time.Duration{0, 20 * time.Millisecond}), Patience: Empirical([]time.Duration{0, 10 * time.Millisecond, 30 * time.Millisecond})},
	} {
		c.Customers, c.Blocks = 2000, 3
		same(t, c)
	}
}

// A long queue makes the ring of starts grow, in an overload that nothing but a
// distant bound on places or on patience holds.
func TestRecursionWithLongQueues(t *testing.T) {
	same(t, Config{Servers: 2, Rate: 400, Service: Exponential(10 * time.Millisecond), Places: 30_000, Customers: 25_000, Blocks: 4, Method: BatchMeans})
	same(t, Config{Servers: 2, Rate: 400, Service: Exponential(10 * time.Millisecond), Patience: Constant(time.Minute), Customers: 25_000, Blocks: 4, Method: BatchMeans})
	// More places than memory: they cost nothing until they are taken.
	same(t, Config{Servers: 2, Rate: 190, Service: Exponential(10 * time.Millisecond), Places: 1 << 60, Customers: 5000, Blocks: 2})
	same(t, Config{Servers: 2, Rate: 300, Service: Exponential(10 * time.Millisecond), Places: 1025, Customers: 5000, Blocks: 2})
	same(t, Config{Servers: 2, Rate: 300, Service: Exponential(10 * time.Millisecond), Places: 1026, Customers: 5000, Blocks: 2})
	same(t, Config{Servers: 1, Rate: 99.9, Service: LogNormal(10*time.Millisecond, 5), Customers: 50_000, Blocks: 2})
}

// Everything at once, on the kernel: every customer and every attempt must end in
// exactly one way, in every block.
func TestConservation(t *testing.T) {
	seed := draw.Seed(77)
	for i := range uint64(60) {
		c := randomStation(seed, i).withDefaults()
		u := func(purpose uint8) float64 { return seed.Uniform(purpose, i, 1) }
		c.Rate *= 1 + u(1)
		c.Places = c.Servers + int(u(2)*20)
		c.Patience = LogNormal(20*time.Millisecond, 0.1+u(3))
		c.Retry = Retry{Probability: u(4), Delay: Exponential(50 * time.Millisecond), Attempts: int(u(5) * 5)}
		c.Order = Order(u(6) * 2)
		c.Classes = []float64{u(7), u(8), 1}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		r := &run{Config: c, seed: seed, warm: c.warmUp(), meanGap: 1e9 / c.Rate, service: c.Service.sampler(), patience: c.Patience.sampler(), delay: c.Retry.Delay.sampler()}
		blocks := []*tally{new(tally), new(tally), new(tally)}
		if err := r.kernel(context.Background(), blocks); err != nil {
			t.Fatalf("station %d: %v", i, err)
		}
		for _, b := range blocks {
			var byClass uint64
			for _, s := range b.classes {
				byClass += s.n
			}
			if b.customers != uint64(c.Customers) || b.customers != b.served+b.lost || b.attempts != b.served+b.blocked+b.abandoned ||
				b.wait.n != b.served || b.sojourn.n != b.served || byClass != b.served {
				t.Errorf("station %d: %d came, %d served, %d lost; %d attempts, %d blocked, %d abandoned; %d waits, %d sojourns, %d by class",
					i, b.customers, b.served, b.lost, b.attempts, b.blocked, b.abandoned, b.wait.n, b.sojourn.n, byClass)
			}
			if busy := b.serviceArea.float(); b.span <= 0 || busy > float64(b.span)*float64(c.Servers) || b.queueArea.float() > float64(b.span)*float64(c.Places-c.Servers) {
				t.Errorf("station %d: areas beyond the station's size", i)
			}
		}
	}
}

// A stated confidence of 95 % must be one: of 400 small runs the interval holds the
// truth in 380 ± 4.4; below 355 or above 397 (82 of 100 in the
// short form) luck has less than one chance in a million.
func TestCoverage(t *testing.T) {
	runs, least, most := 400, 355, 397
	if testing.Short() {
		runs, least, most = 100, 82, 100
	}
	for _, method := range []Method{Replications, BatchMeans} {
		holds := 0
		for seed := range draw.Seed(runs) {
			r, err := Run(context.Background(), Config{Servers: 1, Rate: 50, Service: Exponential(10 * time.Millisecond), Seed: 4000 + seed, Method: method, Customers: 3000, Blocks: 20})
			if err != nil {
				t.Fatal(err)
			}
			if r.Wait.Mean.Holds(0.01) { // ρ/(μ-λ)
				holds++
			}
		}
		if t.Logf("%v: %d of %d intervals hold the truth", method, holds, runs); holds < least || holds > most {
			t.Errorf("%v: %d of %d intervals of 95 %% hold the truth, want %d to %d", method, holds, runs, least, most)
		}
	}
}

func ExampleRun() {
	r, err := Run(context.Background(), Config{Servers: 4, Places: 12, Rate: 340, Service: Exponential(10 * time.Millisecond)})
	fmt.Print(r)
	fmt.Println(err)
	_, err = Run(context.Background(), Config{Servers: 4, Rate: 500, Service: Exponential(10 * time.Millisecond)})
	fmt.Println(err)
	// Output:
	// load 0.85 · 20 independent replications of 100000 customers, the first 10000 of each run discarded · 95 % intervals, Student's t · engine: recursion
	// wait mean                          5.677 ± 0.056 ms
	// wait p50                           2.518 ± 0.079 ms
	// wait p90                           16.39 ± 0.11 ms
	// wait p95                           20.59 ± 0.15 ms
	// wait p99                           28.81 ± 0.24 ms
	// sojourn mean                       15.682 ± 0.066 ms
	// sojourn p50                        13.017 ± 0.068 ms
	// sojourn p90                        32.17 ± 0.13 ms
	// sojourn p95                        39.34 ± 0.15 ms
	// sojourn p99                        55.43 ± 0.26 ms
	// utilisation                        82.21 ± 0.14 %
	// lost (of customers)                3.338 ± 0.087 %
	// blocked (of attempts)              3.338 ± 0.087 %
	// abandoned (of attempts)            0 %
	// attempts per customer              1
	// mean number waiting                1.866 ± 0.019
	// mean number in service             3.2884 ± 0.0055
	// mean number in system              5.154 ± 0.024
	// mean number in orbit               0
	// throughput                         328.68 ± 0.51/s
	// <nil>
	// station: no steady state: load 1.25 with no bound on places and no patience: the queue would grow for ever; lower the rate, add servers, or bound places or patience
}

func TestDeterminism(t *testing.T) {
	c := Config{Servers: 3, Places: 6, Rate: 350, Service: LogNormal(10*time.Millisecond, 1), Patience: Exponential(20 * time.Millisecond),
		Retry: Retry{Probability: 0.7, Delay: Exponential(100 * time.Millisecond), Attempts: 4}, Customers: 2000, Blocks: 6, Seed: 5}
	var want *Result
	for _, n := range []int{1, 2, 8} {
		old := runtime.GOMAXPROCS(n)
		got, err := Run(context.Background(), c)
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("with %d processors\n%v\nwith 1\n%v", n, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	good := Config{Servers: 2, Rate: 100, Service: Exponential(10 * time.Millisecond)}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"load of one":      func(c *Config) { c.Rate = 200 },
		"overload":         func(c *Config) { c.Rate = 1000 },
		"retries for ever": func(c *Config) { c.Rate, c.Places, c.Retry = 300, 2, Retry{Probability: 1, Delay: Constant(1)} },
		"patient for ever": func(c *Config) { c.Rate, c.Regular = 201, true },
		"impatient, but again": func(c *Config) {
			c.Rate, c.Patience, c.Retry = 300, Constant(1), Retry{Probability: 1, Delay: Constant(1)}
		},
	} {
		c := good
		change(&c)
		_, err := Run(context.Background(), c)
		if !errors.Is(err, ErrUnstable) || !errors.Is(err, ErrConfig) {
			t.Errorf("%s: error %v, want ErrUnstable", name, err)
		}
	}
	for name, change := range map[string]func(*Config){
		"no servers":     func(c *Config) { c.Servers = 0 },
		"few places":     func(c *Config) { c.Places = 1 },
		"no rate":        func(c *Config) { c.Rate = math.NaN() },
		"one block":      func(c *Config) { c.Blocks = 1 },
		"no service":     func(c *Config) { c.Service = Law{} },
		"zero service":   func(c *Config) { c.Service = Constant(0) },
		"no cv":          func(c *Config) { c.Service = LogNormal(1, 0) },
		"empty list":     func(c *Config) { c.Service = Empirical(nil) },
		"falling tops":   func(c *Config) { c.Service = FromBuckets([]record.Bucket{{Top: 5, Count: 1}, {Top: 5, Count: 1}}) },
		"probability":    func(c *Config) { c.Retry.Probability = 1.5 },
		"no delay":       func(c *Config) { c.Retry.Probability = 0.5 },
		"confidence":     func(c *Config) { c.Confidence = 1 },
		"negative class": func(c *Config) { c.Classes = []float64{1, -1} },
		"too long":       func(c *Config) { c.Rate, c.Customers = 1e-6, 1e10 },
		"too rare":       func(c *Config) { c.Rate = 1e-9 },
		"too slow":       func(c *Config) { c.Rate, c.Service = 1e-6, Constant(1<<63-1) },
		"too patient":    func(c *Config) { c.Patience = Empirical([]time.Duration{1<<63 - 1}) },
	} {
		c := good
		change(&c)
		if _, err := Run(context.Background(), c); !errors.Is(err, ErrConfig) || errors.Is(err, ErrUnstable) {
			t.Errorf("%s: error %v, want ErrConfig", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, kernel := range []bool{false, true} {
		good.Kernel = kernel
		if _, err := Run(ctx, good); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled run gave %v", err)
		}
	}
}

// Means and spreads of the laws, 2^18 draws each: six standard errors, fixed seed.
func TestLaws(t *testing.T) {
	var h record.Hist
	values := []time.Duration{time.Millisecond, 2 * time.Millisecond, 50 * time.Millisecond, 90 * time.Millisecond}
	for i, v := range values {
		h.AddN(v, uint64(i+1))
	}
	ms := func(x float64) float64 { return x * 1e6 }
	for _, c := range []struct {
		law      Law
		mean, sd float64
	}{
		{Exponential(3 * time.Millisecond), ms(3), ms(3)},
		{LogNormal(3*time.Millisecond, 1.5), ms(3), ms(4.5)},
		{Constant(3 * time.Millisecond), ms(3), 0},
		{Empirical(values), ms(143.0 / 4), ms(37.0566)},
		{FromBuckets(h.Buckets()), ms(51.5), ms(37.0506)},
	} {
		if err := c.law.check("law"); err != nil {
			t.Fatal(err)
		}
		s := c.law.sampler()
		const n = 1 << 18
		var sum, squares float64
		block := make([]int64, n)
		s.fill(block, 3, forService, 0)
		for i, x := range block {
			if x != s.at(draw.Seed(3).U64(forService, uint64(i), 1)) {
				t.Fatalf("kind %d: fill and at differ", c.law.Kind)
			}
			sum += float64(x)
			squares += (float64(x) - c.mean) * (float64(x) - c.mean)
		}
		tolerance := 6*c.sd/math.Sqrt(n) + c.mean/300 // buckets are right to 1/256
		if c.law.Buckets == nil {
			tolerance = 6 * c.sd / math.Sqrt(n)
		}
		if math.Abs(sum/n-c.mean) > tolerance {
			t.Errorf("kind %d: mean %v, want %v ± %v", c.law.Kind, sum/n, c.mean, tolerance)
		}
		if got := math.Sqrt(squares / n); math.Abs(got-c.sd) > 0.03*c.sd {
			t.Errorf("kind %d: spread %v, want %v", c.law.Kind, got, c.sd)
		}
	}
}

// Quantiles of Student's t against printed tables (Abramowitz and Stegun, table 26.10).
func TestStudentT(t *testing.T) {
	for _, c := range []struct {
		p    float64
		dof  int
		want float64
	}{{0.975, 1, 12.706}, {0.975, 2, 4.303}, {0.975, 9, 2.262}, {0.995, 10, 3.169}, {0.95, 19, 1.729}, {0.9995, 4, 8.610}, {0.975, 120, 1.980}} {
		if got := studentT(c.p, c.dof); math.Abs(got-c.want) > 6e-4 {
			t.Errorf("t(%v, %d) = %v, want %v", c.p, c.dof, got, c.want)
		}
	}
}

func TestHistQuantile(t *testing.T) {
	var h hist
	for i := range int64(100_000) {
		h.add(i * 1000)
	}
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99} {
		if got, want := h.quantile(q), q*1e8; math.Abs(got-want) > 0.001*want+2000 {
			t.Errorf("quantile(%v) = %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(h.quantile(0.99999)) {
		t.Error("one value carries a quantile")
	}
	for _, v := range []int64{0, 511, 512, 513, 1e6, math.MaxInt64} {
		if lo, hi := bucketEdges(bucketOf(v)); v < lo || v > hi {
			t.Errorf("%d is not in its bucket, %d to %d", v, lo, hi)
		}
	}
}

// Goal: ten million customers a second on M/M/16 at load 0.9, one core.
func BenchmarkStation(b *testing.B) {
	for _, c := range []struct {
		name string
		Config
	}{
		{"M_M_16/recursion", Config{Servers: 16, Rate: 1440, Service: Exponential(10 * time.Millisecond)}},
		{"M_M_16/kernel", Config{Servers: 16, Rate: 1440, Service: Exponential(10 * time.Millisecond), Kernel: true}},
		{"M_M_1/recursion", Config{Servers: 1, Rate: 90, Service: Exponential(10 * time.Millisecond)}},
		{"M_M_1024/recursion", Config{Servers: 1024, Rate: 0.9 * 102400, Service: Exponential(10 * time.Millisecond)}},
		{"M_G_16/recursion", Config{Servers: 16, Rate: 1440, Service: LogNormal(10*time.Millisecond, 1)}},
		{"M_M_16_K/recursion", Config{Servers: 16, Places: 32, Rate: 1800, Service: Exponential(10 * time.Millisecond)}},
		{"retrial/kernel", Config{Servers: 16, Places: 16, Rate: 1440, Service: Exponential(10 * time.Millisecond), Retry: Retry{Probability: 1, Delay: Exponential(time.Second)}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := &run{Config: c.Config, seed: 1, warm: 10_000, meanGap: 1e9 / c.Rate, service: c.Service.sampler(), delay: c.Retry.Delay.sampler()}
			r.Customers = max(b.N, 1)
			f := r.fast
			if c.Kernel || !c.fastable() {
				f = r.kernel
			}
			if err := f(context.Background(), []*tally{new(tally)}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(1e3*float64(b.N+r.warm)/float64(b.Elapsed().Nanoseconds()), "Mcustomers/s")
		})
	}
}

// BenchmarkServers finds where an ordered list of the servers loses to a heap.
func BenchmarkServers(b *testing.B) {
	for _, n := range []int{8, 16, 32, 64, 128} {
		for _, how := range []struct {
			name string
			f    func([]int64, int64)
		}{{"list", insert}, {"heap", sift}} {
			b.Run(fmt.Sprint(n, "/", how.name), func(b *testing.B) {
				free := make([]int64, n)
				var service [4096]int64
				s := Exponential(10 * time.Millisecond).sampler()
				s.fill(service[:], 1, forService, 0)
				for i := range b.N {
					how.f(free, free[0]+service[i&4095])
				}
			})
		}
	}
}
