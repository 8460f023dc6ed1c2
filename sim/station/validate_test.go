package station

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"spillway/internal/draw"
)

// The validation suite: every case is a station with a known answer. The closed
// forms below are written plainly from the books, share no code with the
// simulator and use seconds. A case fails when the theory's value lies outside the
// simulator's own interval. The intervals are so wide (Bonferroni over all
// comparisons of the suite) that all of them together hold with probability
// luck; the seeds are fixed, so a suite that passes keeps passing.
//
//	go test -run Validate -v ./sim/station                          # the table
//	SPILLWAY_VALIDATE=long go test -run Validate -v ./sim/station   # 25 times the customers, intervals a fifth as wide
//
// Books: Kleinrock, Queueing Systems, vol. 1 (1975) and 2 (1976); Gross, Shortle,
// Thompson, Harris, Fundamentals of Queueing Theory, 4th ed. (2008); Falin,
// Templeton, Retrial Queues (1997).
const luck = 1 - 1e-4

// check is one comparison of a case.
type check struct {
	what   string
	got    func(*Result) Estimate
	theory float64
}

type theory struct {
	name, book string
	c          Config
	checks     []check
}

// What the checks read.
func wait(r *Result) Estimate     { return r.Wait.Mean }
func waitP50(r *Result) Estimate  { return r.Wait.P50 }
func waitP95(r *Result) Estimate  { return r.Wait.P95 }
func waitP99(r *Result) Estimate  { return r.Wait.P99 }
func stay(r *Result) Estimate     { return r.Sojourn.Mean }
func stayP99(r *Result) Estimate  { return r.Sojourn.P99 }
func using(r *Result) Estimate    { return r.Utilisation }
func losing(r *Result) Estimate   { return r.Lost }
func blocking(r *Result) Estimate { return r.Blocked }
func leaving(r *Result) Estimate  { return r.Abandoned }
func trying(r *Result) Estimate   { return r.Attempts }
func queued(r *Result) Estimate   { return r.InQueue }
func inside(r *Result) Estimate   { return r.InSystem }
func orbiting(r *Result) Estimate { return r.InOrbit }
func class(i int) func(*Result) Estimate {
	return func(r *Result) Estimate { return r.ClassWait[i] }
}

// S is the mean service of every case, 10 ms, and mu its rate.
const (
	S  = 10 * time.Millisecond
	mu = 100.0
)

func theories() []theory {
	var all []theory
	add := func(name, book string, c Config, checks ...check) {
		c.Seed = draw.Seed(1000 + len(all))
		all = append(all, theory{name, book, c, checks})
	}

	// Erlang B, and its insensitivity: only the mean of the service counts.
	b := erlangB(10, 8)
	for _, s := range []Law{Exponential(S), LogNormal(S, 2), Constant(S)} {
		kind := map[Kind]string{KindExponential: "M", KindLogNormal: "LN", KindConstant: "D"}[s.Kind]
		add("M/"+kind+"/10/10", "Erlang B; Kleinrock 1, §3.7; insensitive to the law, Gross §5.2.2", Config{Servers: 10, Places: 10, Rate: 800, Service: s},
			check{"blocked", blocking, b}, check{"utilisation", using, 0.8 * (1 - b)}, check{"in system", inside, 8 * (1 - b)})
	}

	// Erlang C: waits are 0 or exponential of rate cμ-λ.
	for _, c := range []struct {
		servers int
		load    float64
	}{{1, 0.7}, {4, 0.8}, {16, 0.9}} {
		lambda := c.load * float64(c.servers) * mu
		p := erlangC(c.servers, lambda/mu)
		spare := float64(c.servers)*mu - lambda
		checks := []check{{"wait mean", wait, p / spare}, {"wait p95", waitP95, math.Log(p/0.05) / spare}, {"wait p99", waitP99, math.Log(p/0.01) / spare},
			{"in queue", queued, lambda * p / spare}, {"sojourn mean", stay, p/spare + 1/mu}, {"utilisation", using, c.load}}
		if c.servers == 1 {
			checks = append(checks, check{"sojourn p99", stayP99, math.Log(100) / spare})
		}
		add(fmt.Sprintf("M/M/%d load %g", c.servers, c.load), "Erlang C; Kleinrock 1, §3.5; waits Gross §2.3", Config{Servers: c.servers, Rate: lambda, Service: Exponential(S)}, checks...)
	}

	// Last come, first served: the same numbers, other waits with the same mean.
	add("M/M/1 LIFO load 0.7", "Kleinrock 1, §3.2 and Little", Config{Servers: 1, Rate: 70, Service: Exponential(S), Order: LIFO},
		check{"wait mean", wait, 0.7 / 30}, check{"in system", inside, 0.7 / 0.3})

	// M/M/c/K below and above saturation.
	for _, lambda := range []float64{340, 480} {
		pi, q := births(4, 12, lambda, mu, 0)
		admitted := lambda * (1 - pi[12])
		add(fmt.Sprintf("M/M/4/12 load %g", lambda/400), "Gross §2.5; waits by conditioning on the number found", Config{Servers: 4, Places: 12, Rate: lambda, Service: Exponential(S)},
			check{"blocked", blocking, pi[12]}, check{"wait mean", wait, q / admitted}, check{"wait p95", waitP95, finiteWait(pi, 4, mu, 0.95)},
			check{"in queue", queued, q}, check{"utilisation", using, admitted / 400})
	}

	// Erlang A, under and over load.
	for _, lambda := range []float64{900, 1200} {
		_, q := births(10, 2000, lambda, mu, 1/0.030)
		left := q / 0.030 / lambda
		add(fmt.Sprintf("M/M/10+M load %g", lambda/1000), "Erlang A; Palm 1957; Gross §2.10; Mandelbaum, Zeltyn 2007", Config{Servers: 10, Rate: lambda, Service: Exponential(S), Patience: Exponential(30 * time.Millisecond)},
			check{"abandoned", leaving, left}, check{"in queue", queued, q}, check{"utilisation", using, lambda * (1 - left) / 1000})
	}

	// Constant patience: the virtual wait has density λπ₀·exp(λ·min(x,D)-μx).
	{
		const lambda, d = 120.0, 0.05
		grow := lambda - mu
		before := lambda * (math.Exp(grow*d) - 1) / grow
		beyond := lambda * math.Exp(grow*d) / mu
		all := 1 + before + beyond
		add("M/M/1+D load 1.2", "Baccelli, Hebuterne, Performance '81, 159-179", Config{Servers: 1, Rate: lambda, Service: Exponential(S), Patience: Constant(50 * time.Millisecond)},
			check{"abandoned", leaving, beyond / all}, check{"lost", losing, beyond / all}, check{"utilisation", using, 1 - 1/all})
	}

	// One server, any service.
	add("M/D/1 load 0.8", "Pollaczek-Khinchine, Kleinrock 1, §5.6; waits Erlang 1909", Config{Servers: 1, Rate: 80, Service: Constant(S)},
		check{"wait mean", wait, pk(80, 0.01, 0)}, check{"wait p50", waitP50, mdWait(80, 0.01, 0.5)}, check{"wait p99", waitP99, mdWait(80, 0.01, 0.99)}, check{"in queue", queued, 80 * pk(80, 0.01, 0)})
	for _, cv := range []float64{0.5, 1} { // beyond, block means are too skew for Student's t to hold at 10^-6
		add(fmt.Sprintf("M/LN/1 cv %g load 0.6", cv), "Pollaczek-Khinchine, Kleinrock 1, §5.6", Config{Servers: 1, Rate: 60, Service: LogNormal(S, cv)},
			check{"wait mean", wait, pk(60, 0.01, cv)}, check{"in queue", queued, 60 * pk(60, 0.01, cv)}, check{"utilisation", using, 0.6})
	}
	{
		sigma := 0.5 // of σ = exp(-(1-σ)/ρ)
		for range 500 {
			sigma = math.Exp(-(1 - sigma) / 0.8)
		}
		add("D/M/1 load 0.8", "GI/M/1; Kleinrock 1, §6.4", Config{Servers: 1, Rate: 80, Regular: true, Service: Exponential(S)},
			check{"wait mean", wait, sigma / mu / (1 - sigma)}, check{"wait p95", waitP95, math.Log(sigma/0.05) / mu / (1 - sigma)}, check{"utilisation", using, 0.8})
	}

	// Two priority classes without preemption.
	{
		rest := 70 * 2 * 0.01 * 0.01 / 2 // λ E[S²]/2
		r1 := 0.7 * 0.3
		add("M/M/1 priorities 0.3 0.7", "Cobham 1954; Kleinrock 2, ch. 3", Config{Servers: 1, Rate: 70, Service: Exponential(S), Classes: []float64{0.3, 0.7}},
			check{"wait class 1", class(0), rest / (1 - r1)}, check{"wait class 2", class(1), rest / (1 - r1) / 0.3}, check{"in queue", queued, 0.7 * 0.7 / 0.3})
	}

	// Retrials. E[orbit] of M/G/1: λ²E[S²]/(2(1-ρ)) + λρ/(ν(1-ρ)).
	for _, s := range []Law{Exponential(S), Constant(S)} {
		const lambda, nu, rho = 60.0, 25.0, 0.6
		second, kind := 2*0.01*0.01, "M"
		if s.Kind == KindConstant {
			second, kind = 0.01*0.01, "D"
		}
		orbit := lambda*lambda*second/2/(1-rho) + lambda*rho/nu/(1-rho)
		add("M/"+kind+"/1 retrial load 0.6", "Falin, Templeton, ch. 1, mean number in orbit", Config{Servers: 1, Places: 1, Rate: lambda, Service: s, Retry: Retry{Probability: 1, Delay: Exponential(40 * time.Millisecond)}},
			check{"in orbit", orbiting, orbit}, check{"attempts", trying, 1 + nu*orbit/lambda}, check{"utilisation", using, rho}, check{"sojourn mean", stay, orbit/lambda + 0.01})
	}
	for _, p := range []float64{1, 0.8} {
		lambda := 210.0
		if p < 1 {
			lambda = 330 // an overload that only giving up holds
		}
		orbit, busy := retrials(3, lambda, mu, 50, p)
		checks := []check{{"in orbit", orbiting, orbit}, {"attempts", trying, 1 + 50*orbit/lambda}, {"utilisation", using, busy / 3}}
		if p < 1 { // who is for ever patient is served
			checks = append(checks, check{"lost", losing, 1 - busy*mu/lambda})
		}
		add(fmt.Sprintf("M/M/3 retrial, again %g", p), "Falin, Templeton, ch. 2, balance equations solved",
			Config{Servers: 3, Places: 3, Rate: lambda, Service: Exponential(S), Retry: Retry{Probability: p, Delay: Exponential(20 * time.Millisecond)}}, checks...)
	}
	return all
}

// Sizes: customers in each of the blocks.
const (
	validateBlocks = 40
	shortCustomers = 100_000
	longFactor     = 25
)

// TestValidate holds the simulator to the theory, and to Little's law.
func TestValidate(t *testing.T) {
	all := theories()
	comparisons := 0
	for _, c := range all {
		comparisons += len(c.checks) + 1 // and Little's law
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-26s %-13s %11s %11s %9s %9s\n", "station", "quantity", "theory", "simulated", "error", "interval")
	failed := 0
	for _, c := range all {
		r := validate(t, c, comparisons)
		for _, k := range c.checks {
			e := k.got(r)
			verdict := ""
			if !e.Holds(k.theory) {
				verdict = " OUTSIDE"
				failed++
				t.Errorf("%s (%s): %s = %v ± %v, theory says %v", c.name, c.book, k.what, e.Value, e.Half, k.theory)
			}
			fmt.Fprintf(&table, "%-26s %-13s %11.5g %11.5g %8.2f%% ±%7.2f%%%s\n", c.name, k.what, k.theory, e.Value,
				100*(e.Value/k.theory-1), 100*e.Half/math.Abs(k.theory), verdict)
		}
		// Little: number in the station and in the orbit = rate × time. Both sides are
		// measured, apart: areas from the events, times from the customers. The
		// customers lost spend time too, so only where none are.
		if r.Lost.Value == 0 {
			left, right := r.InSystem.Value+r.InOrbit.Value, r.Throughput.Value*r.Sojourn.Mean.Value
			half := r.InSystem.Half + r.InOrbit.Half
			if math.Abs(left-right) > half/10 { // the noise is common to both sides; what is left is the ends of the blocks
				t.Errorf("%s: Little's law: L = %v, λW = %v, more apart than %v", c.name, left, right, half/10)
			}
			fmt.Fprintf(&table, "%-26s %-13s %11.5g %11.5g %8.2f%%\n", c.name, "Little: λW, L", right, left, 100*(left/right-1))
		}
	}
	t.Logf("%d comparisons, all within their intervals by luck with probability %v:\n%s", comparisons, luck, table.String())
}

func validate(t *testing.T, c theory, comparisons int) *Result {
	t.Helper()
	c.c.Blocks, c.c.Confidence = validateBlocks, 1-(1-luck)/float64(comparisons)
	c.c.Customers = shortCustomers
	if !c.c.fastable() {
		c.c.Customers /= 2
	}
	if testing.Short() {
		c.c.Customers /= 5
	}
	if os.Getenv("SPILLWAY_VALIDATE") == "long" {
		c.c.Customers *= longFactor
	}
	r, err := Run(context.Background(), c.c)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return r
}

// TestValidateNotices plants an error of one per cent in the service time: the
// suite must notice it in every case, with the same seeds and the same intervals.
func TestValidateNotices(t *testing.T) {
	if testing.Short() {
		t.Skip("as long as the suite itself")
	}
	all := theories()
	comparisons := 0
	for _, c := range all {
		comparisons += len(c.checks) + 1
	}
	for _, c := range all {
		c.c.Service.Mean += c.c.Service.Mean / 100
		r := validate(t, c, comparisons)
		var seen []string
		for _, k := range c.checks {
			if e := k.got(r); !e.Holds(k.theory) {
				seen = append(seen, k.what)
			}
		}
		if len(seen) == 0 {
			t.Errorf("%s: services one per cent too long go unnoticed", c.name)
		}
		t.Logf("%-26s noticed by %s", c.name, strings.Join(seen, ", "))
	}
}

// erlangB is the loss of M/M/c/c offered a erlangs, term by term.
func erlangB(c int, a float64) float64 {
	term, sum := 1.0, 1.0
	for n := 1; n <= c; n++ {
		term *= a / float64(n)
		sum += term
	}
	return term / sum
}

// erlangC is the probability of waiting in M/M/c offered a erlangs.
func erlangC(c int, a float64) float64 {
	term, sum := 1.0, 1.0
	for n := 1; n < c; n++ {
		term *= a / float64(n)
		sum += term
	}
	top := term * a / float64(c) * float64(c) / (float64(c) - a)
	return top / (sum + top)
}

// births solves the birth-death chain of M/M/c/K whose waiting customers each
// leave at rate theta: the state probabilities and the mean number waiting.
func births(c, k int, lambda, mu, theta float64) (pi []float64, queue float64) {
	pi = make([]float64, k+1)
	pi[0] = 1
	sum := 1.0
	for n := 1; n <= k; n++ {
		pi[n] = pi[n-1] * lambda / (mu*float64(min(n, c)) + theta*float64(max(n-c, 0)))
		sum += pi[n]
	}
	for n := range pi {
		pi[n] /= sum
		queue += pi[n] * float64(max(n-c, 0))
	}
	return pi, queue
}

// finiteWait is a quantile of the wait of who is admitted to M/M/c/K: finding n >= c
// means waiting for n-c+1 services at rate cμ.
func finiteWait(pi []float64, c int, mu, q float64) float64 {
	k := len(pi) - 1
	beyond := func(t float64) float64 {
		p := 0.0
		for n := c; n < k; n++ {
			term, sum := math.Exp(-float64(c)*mu*t), 0.0
			for j := 0; j <= n-c; j++ {
				sum += term
				term *= float64(c) * mu * t / float64(j+1)
			}
			p += pi[n] * sum
		}
		return p / (1 - pi[k])
	}
	return bisect(func(t float64) bool { return beyond(t) > 1-q })
}

// pk is the mean wait of M/G/1 by Pollaczek and Khinchine.
func pk(lambda, s, cv float64) float64 {
	return lambda * s * s * (1 + cv*cv) / 2 / (1 - lambda*s)
}

// mdWait is a quantile of the wait of M/D/1, by Erlang's sum.
func mdWait(lambda, d, q float64) float64 {
	upTo := func(t float64) float64 {
		sum := 0.0
		for j := 0; float64(j)*d <= t; j++ {
			x := lambda * (float64(j)*d - t)
			term := math.Exp(-x)
			for i := 1; i <= j; i++ {
				term *= x / float64(i)
			}
			sum += term
		}
		return (1 - lambda*d) * sum
	}
	// The sum alternates: beyond some twenty services its terms cancel below double precision.
	return bisect(func(t float64) bool { return t < 20*d && upTo(t) < q })
}

func bisect(below func(float64) bool) float64 {
	lo, hi := 0.0, 1.0
	for range 100 {
		if mid := (lo + hi) / 2; below(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// retrials solves M/M/c without waiting places whose blocked customers go to an
// orbit with probability p and try again at rate nu each: the mean number in
// orbit and in service. Gauss-Seidel on the balance equations, the orbit cut at a size that is practically never reached.
func retrials(c int, lambda, mu, nu, p float64) (orbit, busy float64) {
	const most = 400
	pi := make([][]float64, most+1)
	for n := range pi {
		pi[n] = make([]float64, c+1)
		pi[n][0] = math.Pow(0.9, float64(n))
	}
	at := func(n, b int) float64 {
		if n < 0 || n > most || b < 0 || b > c {
			return 0
		}
		return pi[n][b]
	}
	for range 20_000 {
		change, size := 0.0, 0.0
		for n := range pi {
			for b := 0; b <= c; b++ {
				in := lambda*at(n, b-1) + nu*float64(n+1)*at(n+1, b-1) + mu*float64(b+1)*at(n, b+1)
				out := mu * float64(b)
				if b < c {
					out += lambda + nu*float64(n)
				} else {
					in += lambda*p*at(n-1, c) + nu*(1-p)*float64(n+1)*at(n+1, c)
					out += nu * (1 - p) * float64(n)
					if n < most {
						out += lambda * p
					}
				}
				x := in / out
				change = math.Max(change, math.Abs(x-pi[n][b]))
				size = math.Max(size, x)
				pi[n][b] = x
			}
		}
		if change < 1e-13*size {
			break
		}
	}
	sum := 0.0
	for n := range pi {
		for b, x := range pi[n] {
			sum += x
			orbit += float64(n) * x
			busy += float64(b) * x
		}
	}
	return orbit / sum, busy / sum
}
