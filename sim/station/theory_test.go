package station

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"spillway/internal/record"
)

// keys names the figures that the checks of the suite read.
var keys = map[string]string{"wait mean": "wait.mean", "wait p50": "wait.p50", "wait p95": "wait.p95", "wait p99": "wait.p99",
	"sojourn mean": "sojourn.mean", "sojourn p99": "sojourn.p99", "utilisation": "utilisation", "lost": "lost", "blocked": "blocked",
	"abandoned": "abandoned", "attempts": "attempts", "in queue": "in_queue", "in system": "in_system", "in orbit": "in_orbit",
	"wait class 1": "class.1.wait", "wait class 2": "class.2.wait"}

// What the command prints as theory, Config.Theory, must be what the suite's own
// formulas say, which are written another way: every comparison of every case.
func TestTheoryEqualsTheSuite(t *testing.T) {
	compared := 0
	for _, c := range theories() {
		th := c.c.Theory()
		for _, k := range c.checks {
			e := th.Of(keys[k.what])
			if e == nil {
				t.Errorf("%s: theory says nothing about %s", c.name, k.what)
				continue
			}
			compared++
			if math.Abs(e.Value-k.theory) > 1e-6*math.Abs(k.theory) {
				t.Errorf("%s: %s is %.12g by %s, %.12g by the suite", c.name, k.what, e.Value, e.Formula, k.theory)
			}
		}
	}
	if compared < 60 {
		t.Errorf("only %d comparisons", compared)
	}
}

// The formulas that the suite does not have, held to the simulator or to another
// formula.
func TestTheoryBeyondTheSuite(t *testing.T) {
	near := func(what string, a, b, tolerance float64) {
		t.Helper()
		if !(math.Abs(a-b) <= tolerance*math.Abs(b)) {
			t.Errorf("%s: %.10g and %.10g", what, a, b)
		}
	}
	// Erlang A with bounded places is Erlang A when the bound is far away; its waits
	// come from stages there, from an integral here.
	a := Config{Servers: 10, Rate: 1100, Service: Exponential(S), Patience: Exponential(30 * time.Millisecond)}
	far := a
	far.Places = 600
	x, y := a.Theory(), far.Theory()
	for _, key := range []string{"wait.mean", "abandoned", "in_queue", "utilisation", "sojourn.mean"} {
		near("Erlang A "+key, x.Of(key).Value, y.Of(key).Value, 1e-6)
	}
	// A far bound is none for M/M/c either, and the waits' law says so in every place.
	c := Config{Servers: 4, Rate: 320, Service: Exponential(S)}
	k := c
	k.Places = 400
	x, y = c.Theory(), k.Theory()
	for _, key := range []string{"wait.mean", "wait.p50", "wait.p99", "in_system"} {
		near("M/M/c "+key, x.Of(key).Value, y.Of(key).Value, 1e-6)
	}
	near("M/M/c tail", x.WaitBeyond(0.02), y.WaitBeyond(0.02), 1e-6)
	// M/M/1's sojourn is exponential of rate μ-λ, and its mean the integral of the tail.
	one := Config{Servers: 1, Rate: 70, Service: Exponential(S)}.Theory()
	near("M/M/1 sojourn", one.SojournBeyond(0.05), math.Exp(-30*0.05), 1e-9)
	for name, c := range map[string]Config{
		"M/M/4": c, "M/M/2 rates alike": {Servers: 2, Rate: 100, Service: Exponential(S)}, "M/D/1 load 0.95": {Servers: 1, Rate: 95, Service: Constant(S)},
		"D/M/1": {Servers: 1, Rate: 90, Regular: true, Service: Exponential(S)}, "M/M/4/40": {Servers: 4, Places: 40, Rate: 420, Service: Exponential(S)},
		"M/M/3+D": {Servers: 3, Rate: 330, Service: Exponential(S), Patience: Constant(20 * time.Millisecond)}, "M/M/3+LN": {Servers: 3, Rate: 330, Service: Exponential(S), Patience: LogNormal(20*time.Millisecond, 1)},
	} {
		th := c.Theory()
		for key, tail := range map[string]func(float64) float64{"wait": th.WaitBeyond, "sojourn": th.SojournBeyond} {
			if tail == nil {
				continue
			}
			var sum float64
			const step = 1e-5
			for i := 0; i < 300_000; i++ {
				sum += (tail(float64(i)*step) + tail(float64(i+1)*step)) / 2 * step
			}
			near(name+" mean "+key+" as the integral of its tail", sum, th.Of(key+".mean").Value, 1e-4)
		}
	}
	// An empirical patience of one value is a constant one; many exponential quantiles
	// are nearly an exponential one.
	d := Config{Servers: 3, Rate: 330, Service: Exponential(S), Patience: Constant(20 * time.Millisecond)}
	e := d
	e.Patience = Empirical([]time.Duration{20 * time.Millisecond})
	near("M/M/c+D", d.Theory().Of("abandoned").Value, e.Theory().Of("abandoned").Value, 1e-9)
	var values []time.Duration
	h := &record.Hist{}
	for i := range 4000 {
		v := time.Duration(-20e6 * math.Log(1-(float64(i)+0.5)/4000))
		values = append(values, v)
		h.Add(v)
	}
	d.Patience, e.Patience = Exponential(20*time.Millisecond), Empirical(values)
	near("M/M/c+G", e.Theory().Of("abandoned").Value, d.Theory().Of("abandoned").Value, 1e-3)
	e.Patience = FromBuckets(h.Buckets())
	near("M/M/c+G of buckets", e.Theory().Of("abandoned").Value, d.Theory().Of("abandoned").Value, 3e-3)
	// Pollaczek and Khinchine need two moments of measured services only.
	g := Config{Servers: 1, Rate: 60, Service: Empirical(values)}
	near("M/G/1 of values", g.Theory().Of("wait.mean").Value, 60*secondMoment(values)/2/(1-60*meanOf(values)), 1e-9)
	g.Service = FromBuckets(h.Buckets())
	near("M/G/1 of buckets", g.Theory().Of("wait.mean").Value, 60*secondMoment(values)/2/(1-60*meanOf(values)), 1e-2)
}

func meanOf(values []time.Duration) (m float64) {
	for _, v := range values {
		m += v.Seconds() / float64(len(values))
	}
	return m
}

func secondMoment(values []time.Duration) (m float64) {
	for _, v := range values {
		m += v.Seconds() * v.Seconds() / float64(len(values))
	}
	return m
}

// Where a formula applies it must be right: stations that the suite does not have
// are simulated, and every figure of theory lies inside intervals so wide that luck
// fails the test once in 10,000 seeds.
func TestTheoryAgainstTheSimulator(t *testing.T) {
	ms := time.Millisecond
	cases := map[string]Config{
		"regular arrivals, no places":   {Servers: 4, Places: 4, Rate: 380, Regular: true, Service: Exponential(S)},
		"patience with bounded places":  {Servers: 4, Places: 9, Rate: 500, Service: Exponential(S), Patience: Exponential(15 * ms)},
		"retrial, places and patience":  {Servers: 2, Places: 5, Rate: 230, Service: Exponential(S), Patience: Exponential(20 * ms), Retry: Retry{Probability: 0.6, Delay: Exponential(30 * ms)}},
		"retrial with places, for ever": {Servers: 2, Places: 4, Rate: 150, Service: Exponential(S), Retry: Retry{Probability: 1, Delay: Exponential(30 * ms)}},
		"log-normal patience":           {Servers: 5, Rate: 600, Service: Exponential(S), Patience: LogNormal(20*ms, 1.5)},
		"empirical patience":            {Servers: 5, Rate: 600, Service: Exponential(S), Patience: Empirical([]time.Duration{ms, 10 * ms, 10 * ms, 60 * ms})},
		"overload that patience holds":  {Servers: 20, Rate: 4000, Service: Exponential(S), Patience: Constant(30 * ms)},
		"last come first served":        {Servers: 3, Rate: 240, Service: Exponential(S), Order: LIFO},
		"last come, exponential leave":  {Servers: 3, Rate: 330, Service: Exponential(S), Order: LIFO, Patience: Exponential(25 * ms)},
		"classes on several servers":    {Servers: 3, Rate: 240, Service: Exponential(S), Classes: []float64{1, 2, 1}},
		"classes, log-normal service":   {Servers: 1, Rate: 60, Service: LogNormal(S, 0.7), Classes: []float64{0.5, 0.5}},
		"constant service, high load":   {Servers: 1, Rate: 90, Service: Constant(S)},
		"empirical service":             {Servers: 1, Rate: 70, Service: Empirical([]time.Duration{2 * ms, 5 * ms, 23 * ms})},
		"several servers, any service":  {Servers: 3, Rate: 200, Service: LogNormal(S, 1)},
	}
	comparisons := 0
	for _, c := range cases {
		comparisons += len(c.Theory().Exact)
	}
	for name, c := range cases {
		c.Seed, c.Blocks, c.Customers = 4711, 20, 20_000
		c.Confidence = 1 - (1-luck)/float64(comparisons)
		if testing.Short() {
			c.Customers = 5_000
		}
		r, err := Run(context.Background(), c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		th := c.Theory()
		if len(th.Exact) == 0 {
			t.Errorf("%s: no theory", name)
		}
		for _, f := range r.Figures() {
			e := th.Of(f.Key)
			if e != nil && !math.IsNaN(f.Value) && math.Abs(f.Value-e.Value) > f.Half+1e-9 {
				t.Errorf("%s: %s = %v ± %v, %s says %v", name, f.Name, f.Value, f.Half, e.Formula, e.Value)
			}
		}
	}
	t.Logf("%d comparisons", comparisons)
}

// Every key that theory uses is one of a figure.
func TestTheoryKeys(t *testing.T) {
	r := &Result{ClassWait: make([]Estimate, 2)}
	known := map[string]bool{}
	for _, f := range r.Figures() {
		if known[f.Key] || f.Name == "" || f.Unit == 0 {
			t.Errorf("figure %+v", f)
		}
		known[f.Key] = true
	}
	for _, c := range theories() {
		seen := map[string]bool{}
		for _, e := range c.c.Theory().Exact {
			if !known[e.Key] || seen[e.Key] || e.Formula == "" || e.Book == "" {
				t.Errorf("%s: %+v", c.name, e)
			}
			seen[e.Key] = true
		}
	}
}

// An interrupted run keeps its first replications, which are those of a shorter run,
// and progress reaches the end of one that is not.
func TestPartial(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // two replications at a time
	c := Config{Servers: 2, Rate: 150, Service: Exponential(S), Blocks: 12, Customers: 200_000, Seed: 5}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.Progress = func(came, all uint64) {
		if came > all/2 {
			cancel()
		}
	}
	r, err := Run(ctx, c)
	if err == nil || r == nil || !r.Partial || r.Blocks < 2 || r.Blocks >= 12 {
		t.Fatalf("%+v, %v", r, err)
	}
	var watch sync.Mutex
	var last, all uint64
	c.Blocks, c.Progress = r.Blocks, func(n, of uint64) {
		watch.Lock()
		defer watch.Unlock()
		last, all = max(last, n), of
	}
	whole, err := Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Partial || whole.Wait != r.Wait || whole.Utilisation != r.Utilisation {
		t.Errorf("partial %v, the same replications alone %v", r.Wait, whole.Wait)
	}
	if last != all {
		t.Errorf("progress ended at %d of %d", last, all)
	}
	c.Method = BatchMeans
	c.Progress = nil
	if r, err := Run(ctx, c); err == nil || r != nil {
		t.Errorf("batch means were kept: %v", r)
	}
}
