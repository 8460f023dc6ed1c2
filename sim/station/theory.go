package station

import (
	"cmp"
	"math"
	"slices"

	"spillway/internal/draw"
)

// Exact is a figure of a station that theory knows.
type Exact struct {
	Key     string  // of the Figure that measures it
	Value   float64 // in the figure's unit
	Formula string
	Book    string // where it is to be found
}

// Theory is what is known about a station without simulating it.
type Theory struct {
	Exact []Exact
	// WaitBeyond and SojournBeyond are the probabilities that a wait (of who is
	// served) and a sojourn take longer than so many seconds; nil where no formula
	// says.
	WaitBeyond, SojournBeyond func(seconds float64) float64
}

// Of is what theory says about a figure; nil when it says nothing.
func (t Theory) Of(key string) *Exact {
	for i := range t.Exact {
		if t.Exact[i].Key == key {
			return &t.Exact[i]
		}
	}
	return nil
}

// formula is a result and where it is printed.
type formula struct{ name, book string }

// The formulas. The tests of this package write the same results a second time, in
// another way (sums for recursions, relaxation for elimination, series for
// integrals), and hold the two together.
var (
	erlangBFormula = formula{"Erlang B", "Kleinrock, Queueing Systems 1 (1975), §3.7; any service law: Gross et al., Fundamentals of Queueing Theory, 4th ed. (2008), §5.2.2"}
	takacsFormula  = formula{"GI/M/c/c", "Takács, Introduction to the Theory of Queues (1962), ch. 4"}
	erlangCFormula = formula{"Erlang C", "Kleinrock, Queueing Systems 1 (1975), §3.5; distribution of waits: Gross et al., Fundamentals of Queueing Theory, 4th ed. (2008), §2.3"}
	cobhamFormula  = formula{"Cobham's priorities", "Cobham, Operations Research 2 (1954), 70-76; Kleinrock, Queueing Systems 2 (1976), ch. 3"}
	erlangAFormula = formula{"Erlang A", "Palm 1957; density of the offered wait: Baccelli, Hebuterne, Performance '81, 159-179"}
	mmcgFormula    = formula{"M/M/c+G", "Baccelli, Hebuterne, Performance '81, 159-179; Zeltyn, Mandelbaum, Queueing Systems 51 (2005)"}
	finiteFormula  = formula{"M/M/c/K", "Gross et al., Fundamentals of Queueing Theory, 4th ed. (2008), §2.5; waits by conditioning on the number found"}
	finiteAFormula = formula{"M/M/c/K+M", "births and deaths, Gross et al., Fundamentals of Queueing Theory, 4th ed. (2008), §2.10; waits by conditioning on the number found"}
	pkFormula      = formula{"Pollaczek-Khinchine", "Kleinrock, Queueing Systems 1 (1975), §5.6"}
	mdFormula      = formula{"M/D/1", "Erlang 1909; Franx, Operations Research Letters 29 (2001), 221-229"}
	dmFormula      = formula{"GI/M/1", "Kleinrock, Queueing Systems 1 (1975), §6.4"}
	retrialFormula = formula{"M/G/1 retrial", "Falin, Templeton, Retrial Queues (1997), ch. 1"}
	orbitFormula   = formula{"M/M/c/K retrial", "balance equations, Falin, Templeton, Retrial Queues (1997), ch. 2; solved level by level: Gaver, Jacobs, Latouche, Adv. Appl. Prob. 16 (1984)"}
	workFormula    = formula{"Little's law", "for the servers: Kleinrock, Queueing Systems 1 (1975), §2.1"}
)

// theorist collects the results about one station. Times in seconds.
type theorist struct {
	c            Config
	lambda, mean float64 // customers/s; mean service
	second       float64 // second moment of the service
	mu, load     float64
	order        bool // first come, first served, in one class
	out          Theory
}

// Theory is every closed form that applies to the station, nothing where none
// does. The configuration must pass Check.
func (c Config) Theory() Theory {
	c = c.withDefaults()
	s := c.Service.sampler()
	t := &theorist{c: c, lambda: c.Rate, mean: s.average() / 1e9, second: s.second() / 1e18, order: c.Order == FIFO && len(c.Classes) <= 1}
	t.mu, t.load = 1/t.mean, c.Rate*s.average()/1e9/float64(c.Servers)
	var (
		memoryless = c.Service.Kind == KindExponential
		patient    = c.Patience.Kind == KindNone
		unbounded  = c.Places == 0
		single     = len(c.Classes) <= 1
	)
	switch {
	case c.Retry.Probability > 0:
		t.retrial(memoryless, patient, single)
	case c.Places == c.Servers && !c.Regular:
		t.loss(erlangBFormula, erlangBOf(c.Servers, t.lambda*t.mean))
	case c.Places == c.Servers && memoryless:
		t.loss(takacsFormula, takacs(c.Servers, t.lambda, t.mu))
	case unbounded && patient && memoryless && !c.Regular:
		t.erlangC()
	case unbounded && memoryless && !c.Regular:
		t.impatient()
	case memoryless && !c.Regular && (patient || c.Patience.Kind == KindExponential) && c.Places <= 1e6:
		t.bounded()
	case unbounded && patient && c.Servers == 1 && !c.Regular:
		t.singleServer()
	case unbounded && patient && c.Servers == 1 && memoryless && single && c.Order == FIFO:
		t.regularArrivals()
	case unbounded && patient:
		t.served(workFormula, 1)
	}
	return t.out
}

func (t *theorist) add(f formula, key string, value float64) {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		t.out.Exact = append(t.out.Exact, Exact{key, value, f.name, f.book})
	}
}

// served adds what follows from the share of customers that are served.
func (t *theorist) served(f formula, share float64) {
	t.add(f, "utilisation", t.load*share)
	t.add(f, "in_service", t.load*share*float64(t.c.Servers))
	t.add(f, "throughput", t.lambda*share)
}

// quantiles adds the percentiles of a time by the probability of exceeding it.
func (t *theorist) quantiles(f formula, of string, beyond func(float64) float64) {
	for i, q := range quantiles {
		t.add(f, of+[]string{".p50", ".p90", ".p95", ".p99"}[i], quantileOf(beyond, q))
	}
}

// quantileOf is the least time that at most a share 1-q exceeds.
func quantileOf(beyond func(float64) float64, q float64) float64 {
	if beyond(0) <= 1-q {
		return 0
	}
	lo, hi := 0.0, 1e-9
	for beyond(hi) > 1-q && hi < 1e12 {
		lo, hi = hi, 2*hi
	}
	for range 100 {
		if mid := (lo + hi) / 2; beyond(mid) > 1-q {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// loss is a station without waiting places: who finds no server is lost.
func (t *theorist) loss(f formula, b float64) {
	t.add(f, "blocked", b)
	t.add(f, "lost", b)
	t.served(f, 1-b)
	t.add(f, "in_system", t.load*(1-b)*float64(t.c.Servers))
	t.add(f, "sojourn.mean", t.mean)
	if t.c.Service.Kind == KindExponential {
		t.out.SojournBeyond = func(x float64) float64 { return math.Exp(-t.mu * x) }
		t.quantiles(f, "sojourn", t.out.SojournBeyond)
	}
}

// erlangBOf is the loss of c servers offered a erlangs, by its recursion from none.
func erlangBOf(c int, a float64) float64 {
	b := 1.0
	for n := 1; n <= c; n++ {
		b = a * b / (float64(n) + a*b)
	}
	return b
}

// takacs is the loss of regular arrivals at c exponential servers:
// 1/B = Σ C(c,k) Π (1-φ(jμ))/φ(jμ), φ the transform of the time between arrivals.
func takacs(c int, lambda, mu float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1; k <= c; k++ {
		term *= float64(c-k+1) / float64(k) * math.Expm1(float64(k)*mu/lambda)
		sum += term
	}
	return 1 / sum
}

// waiting adds what follows from the mean wait where everybody is served.
func (t *theorist) waiting(f formula, wait float64) {
	t.add(f, "wait.mean", wait)
	t.add(f, "sojourn.mean", wait+t.mean)
	t.served(f, 1)
	t.add(f, "in_queue", t.lambda*wait)
	t.add(f, "in_system", t.lambda*(wait+t.mean))
}

// classes adds the mean wait of each class: the wait until the present work is
// done, residual, over the shares of the classes before and up to it.
func (t *theorist) classes(residual float64) {
	var all, before float64
	for _, share := range t.c.Classes {
		all += share
	}
	if len(t.c.Classes) < 2 {
		return
	}
	for i, share := range t.c.Classes {
		upTo := before + t.load*share/all
		t.add(cobhamFormula, classKey(i), residual/(1-before)/(1-upTo))
		before = upTo
	}
}

func (t *theorist) erlangC() {
	c := float64(t.c.Servers)
	b := erlangBOf(t.c.Servers, t.lambda/t.mu)
	p := b / (1 - t.load*(1-b)) // of waiting
	spare := c*t.mu - t.lambda
	t.waiting(erlangCFormula, p/spare)
	t.classes(p / (c * t.mu))
	if !t.order {
		return
	}
	t.out.WaitBeyond = func(x float64) float64 { return p * math.Exp(-spare*x) }
	t.out.SojournBeyond = func(x float64) float64 {
		served := math.Exp(-t.mu * x)
		both := (1 + t.mu*x) * served
		if d := spare - t.mu; math.Abs(d) > 1e-6*t.mu {
			both = (spare*served - t.mu*math.Exp(-spare*x)) / d
		}
		return (1-p)*served + p*both
	}
	t.quantiles(erlangCFormula, "wait", t.out.WaitBeyond)
	t.quantiles(erlangCFormula, "sojourn", t.out.SojournBeyond)
}

// impatient is M/M/c+G. The offered wait, the time after which a server would be
// free for one who never leaves, has mass on 0 and density
// v(x) = λ π(c-1) exp(λH(x) - cμx), H(x) the mean of the shorter of patience and x.
// As v' = (λ·P(patience > x) - cμ)v, every integral over the patience's tail is one
// over v alone.
func (t *theorist) impatient() {
	f := mmcgFormula
	if t.c.Patience.Kind == KindExponential {
		f = erlangAFormula
	} else if !t.order {
		return // who leaves depends on the order then
	}
	h := t.c.Patience.shorter()
	full := float64(t.c.Servers) * t.mu
	phi := func(x float64) float64 { return t.lambda*h(x) - full*x }
	// φ is concave: its top lies between where it still grows and twice that.
	hi := 1e-9
	for phi(2*hi) > phi(hi) && hi < 1e9 {
		hi *= 2
	}
	lo := 0.0
	hi *= 2
	for range 200 {
		if a, b := lo+(hi-lo)/3, hi-(hi-lo)/3; phi(a) < phi(b) {
			lo = a
		} else {
			hi = b
		}
	}
	at := (lo + hi) / 2
	top := max(phi(at), 0)
	end := max(at, 1e-9)
	for phi(end) > top-45 {
		end *= 1.1
	}
	v := func(x float64) float64 { return math.Exp(phi(x) - top) } // × λ π(c-1) e^top
	const panels = 1 << 14
	step := end / panels
	upTo := make([]float64, panels+1) // ∫ v
	var ofX, ofH float64              // ∫ x v, ∫ H v
	piece := func(a, b float64) (plain, x, hv float64) {
		m := (a + b) / 2
		va, vm, vb := v(a), v(m), v(b)
		w := (b - a) / 6
		return w * (va + 4*vm + vb), w * (a*va + 4*m*vm + b*vb), w * (h(a)*va + 4*h(m)*vm + h(b)*vb)
	}
	for i := range panels {
		p, x, hv := piece(float64(i)*step, float64(i+1)*step)
		upTo[i+1] = upTo[i] + p
		ofX, ofH = ofX+x, ofH+hv
	}
	all := upTo[panels]
	// In units of λ π(c-1) e^top: the probability that a server is free, with
	// π(n-1) = π(n)·n/a downwards from c-1.
	free, term := 0.0, math.Exp(-top)/t.lambda
	for n := t.c.Servers - 1; n >= 0; n-- {
		free += term
		term *= float64(n) * t.mu / t.lambda
	}
	norm := free + all
	start := v(0)
	servedLater := func(x, integral float64) float64 { return (v(x) - start + full*integral) / t.lambda }
	served := free + servedLater(end, all)
	share := served / norm
	t.add(f, "abandoned", 1-share)
	t.add(f, "lost", 1-share)
	t.served(f, share)
	queue := t.lambda * ofH / norm
	t.add(f, "in_queue", queue)
	t.add(f, "in_system", queue+t.lambda*share*t.mean)
	if !t.order {
		return
	}
	wait := (full*ofX - all) / t.lambda / served
	t.add(f, "wait.mean", wait)
	t.add(f, "sojourn.mean", wait+t.mean)
	t.out.WaitBeyond = func(x float64) float64 {
		if x >= end {
			return 0
		}
		i := int(x / step)
		p, _, _ := piece(float64(i)*step, x)
		return max(0, 1-(free+servedLater(x, upTo[i]+p))/served)
	}
	t.quantiles(f, "wait", t.out.WaitBeyond)
}

// shorter is x ↦ the mean of the shorter of the law and x, in seconds.
func (l Law) shorter() func(float64) float64 {
	s := l.sampler()
	mean := s.average() / 1e9
	switch l.Kind {
	case KindExponential:
		return func(x float64) float64 { return -mean * math.Expm1(-x/mean) }
	case KindConstant:
		return func(x float64) float64 { return min(x, mean) }
	case KindLogNormal:
		mu, sigma := s.mu-draw.Log(1e9), s.sigma
		below := func(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }
		return func(x float64) float64 {
			if x <= 0 {
				return 0
			}
			z := (math.Log(x) - mu) / sigma
			return mean*below(z-sigma) + x*below(-z)
		}
	}
	var values []float64
	for _, v := range s.values {
		values = append(values, float64(v)/1e9)
	}
	if values == nil {
		return func(x float64) float64 {
			var sum, n float64
			var before uint64
			for i, upTo := range s.sums {
				lo, hi, count := float64(s.lows[i])/1e9, float64(s.tops[i])/1e9, float64(upTo-before)
				switch {
				case x >= hi:
					sum += count * (lo + hi) / 2
				case x <= lo:
					sum += count * x
				default: // uniform inside
					sum += count * ((x*x-lo*lo)/2 + x*(hi-x)) / (hi - lo)
				}
				n, before = n+count, upTo
			}
			return sum / n
		}
	}
	slices.Sort(values)
	sums := make([]float64, len(values)+1)
	for i, v := range values {
		sums[i+1] = sums[i] + v
	}
	return func(x float64) float64 {
		i, _ := slices.BinarySearchFunc(values, x, cmp.Compare[float64])
		return (sums[i] + x*float64(len(values)-i)) / float64(len(values))
	}
}

// bounded is M/M/c/K, with exponential patience or without: a chain of births and
// deaths.
func (t *theorist) bounded() {
	c, k := t.c.Servers, t.c.Places
	f, theta := finiteFormula, 0.0
	if t.c.Patience.Kind == KindExponential {
		f, theta = finiteAFormula, 1e9/float64(t.c.Patience.Mean)
	}
	pi := make([]float64, k+1)
	pi[0] = 1
	var queue, all float64
	for n := 1; n <= k; n++ {
		pi[n] = pi[n-1] * t.lambda / (t.mu*float64(min(n, c)) + theta*float64(max(n-c, 0)))
		if pi[n] > 1e200 {
			for i := range n + 1 {
				pi[i] *= 1e-200
			}
		}
	}
	for _, p := range pi {
		all += p
	}
	for n := range pi {
		pi[n] /= all
		queue += pi[n] * float64(max(n-c, 0))
	}
	left := theta * queue / t.lambda
	t.add(f, "blocked", pi[k])
	if theta > 0 {
		t.add(f, "abandoned", left)
	}
	t.add(f, "lost", pi[k]+left)
	share := 1 - pi[k] - left
	t.served(f, share)
	t.add(f, "in_queue", queue)
	t.add(f, "in_system", queue+t.lambda*share*t.mean)
	if !t.order {
		if theta == 0 {
			t.add(f, "wait.mean", queue/t.lambda/share)
			t.add(f, "sojourn.mean", queue/t.lambda/share+t.mean)
		}
		return
	}
	// Who finds n ≥ c waits for n-c+1 departures of those before; with j of them
	// left to go, one goes at rate cμ+jθ, oneself at θ. The product of not leaving
	// oneself telescopes to cμ/(cμ+(n-c+1)θ).
	var wait, step float64
	full := float64(c) * t.mu
	for n := c; n < k; n++ {
		stage := full + float64(n-c+1)*theta
		step += 1 / stage
		wait += pi[n] * full / stage * step
	}
	wait /= share
	t.add(f, "wait.mean", wait)
	t.add(f, "sojourn.mean", wait+t.mean)
	if theta > 0 || k-c > 500 { // e^-x below loses its last digits with long queues
		return
	}
	t.out.WaitBeyond = func(x float64) float64 {
		var sum, below float64
		term := math.Exp(-full * x)
		for n := c; n < k; n++ {
			below += term // P(at most n-c departures in x)
			sum += pi[n] * below
			term *= full * x / float64(n-c+1)
		}
		return sum / share
	}
	t.quantiles(f, "wait", t.out.WaitBeyond)
}

// singleServer is M/G/1.
func (t *theorist) singleServer() {
	residual := t.lambda * t.second / 2
	t.waiting(pkFormula, residual/(1-t.load))
	t.classes(residual)
	if t.c.Service.Kind != KindConstant || !t.order {
		return
	}
	// Customers left behind at departures, by Ramaswami's recursion, which adds
	// positive terms only; what arrives during a service is Poisson of mean ρ.
	rho := t.load
	var tail []float64 // P(at least i arrivals)
	for term, rest := math.Exp(-rho), 1.0; rest > 1e-18 && len(tail) < 200; {
		tail = append(tail, rest)
		rest -= term
		term *= rho / float64(len(tail))
	}
	at := func(i int) float64 {
		if i < len(tail) {
			return tail[i]
		}
		return 0
	}
	x := []float64{1 - rho}
	upTo := []float64{1 - rho}
	for i := 1; i < 100_000 && upTo[i-1] < 1-1e-13; i++ {
		v := x[0] * at(i)
		for j := max(1, i+2-len(tail)); j < i; j++ {
			v += x[j] * at(i+1-j)
		}
		x = append(x, v/math.Exp(-rho))
		upTo = append(upTo, upTo[i-1]+x[i])
	}
	waiting := func(m int) float64 { return upTo[min(m+1, len(upTo)-1)] } // P(at most m in the queue)
	t.out.WaitBeyond = func(s float64) float64 {
		k := int(s/t.mean) + 1
		y := t.lambda * (float64(k)*t.mean - s)
		var sum float64
		for j, term := 0, math.Exp(-y); j < k && (term > 0 || j == 0); j++ {
			sum += waiting(k-1-j) * term
			term *= y / float64(j+1)
		}
		return max(0, 1-sum)
	}
	t.out.SojournBeyond = func(s float64) float64 {
		if s < t.mean {
			return 1
		}
		return t.out.WaitBeyond(s - t.mean)
	}
	t.quantiles(mdFormula, "wait", t.out.WaitBeyond)
	t.quantiles(mdFormula, "sojourn", t.out.SojournBeyond)
}

// regularArrivals is D/M/1: who comes finds a geometric number, of ratio σ.
func (t *theorist) regularArrivals() {
	// σ is the root below 1 of σ = e^(-(1-σ)/ρ); the right side is convex, so above the
	// root it lies below the diagonal.
	lo, hi := 0.0, 1.0
	for range 200 {
		if mid := (lo + hi) / 2; math.Exp(-(1-mid)/t.load) > mid {
			lo = mid
		} else {
			hi = mid
		}
	}
	sigma := lo
	rate := t.mu * (1 - sigma)
	t.waiting(dmFormula, sigma/rate)
	t.out.WaitBeyond = func(x float64) float64 { return sigma * math.Exp(-rate*x) }
	t.out.SojournBeyond = func(x float64) float64 { return math.Exp(-rate * x) }
	t.quantiles(dmFormula, "wait", t.out.WaitBeyond)
	t.quantiles(dmFormula, "sojourn", t.out.SojournBeyond)
}

// retrial is a station whose customers come back.
func (t *theorist) retrial(memoryless, patient, single bool) {
	r := t.c.Retry
	forever := r.Probability == 1 && r.Attempts == 0
	poisson := !t.c.Regular && r.Delay.Kind == KindExponential && r.Attempts == 0
	nu := 1e9 / float64(r.Delay.Mean)
	switch {
	case poisson && forever && patient && t.c.Servers == 1 && t.c.Places == 1:
		orbit := t.lambda*t.lambda*t.second/2/(1-t.load) + t.lambda*t.load/nu/(1-t.load)
		f := retrialFormula
		t.add(f, "in_orbit", orbit)
		t.add(f, "attempts", 1+nu*orbit/t.lambda)
		t.add(f, "sojourn.mean", orbit/t.lambda+t.mean)
		t.add(f, "in_system", t.load)
		t.served(f, 1)
	case poisson && memoryless && single && t.c.Places > 0 && t.c.Places <= 24 && (patient || t.c.Patience.Kind == KindExponential):
		theta := 0.0
		if !patient {
			theta = 1e9 / float64(t.c.Patience.Mean)
		}
		m, ok := orbits(t.c.Servers, t.c.Places, t.lambda, t.mu, nu, theta, r.Probability)
		if !ok {
			return
		}
		f := orbitFormula
		all := t.lambda + nu*m.orbit // attempts per second
		t.add(f, "in_orbit", m.orbit)
		t.add(f, "attempts", all/t.lambda)
		t.add(f, "blocked", (t.lambda*m.full+nu*m.fullOrbit)/all)
		if theta > 0 {
			t.add(f, "abandoned", theta*m.queue/all)
		}
		if t.c.Places > t.c.Servers {
			t.add(f, "in_queue", m.queue)
		}
		t.add(f, "in_service", m.busy)
		t.add(f, "in_system", m.busy+m.queue)
		t.add(f, "utilisation", m.busy/float64(t.c.Servers))
		t.add(f, "throughput", m.busy*t.mu)
		if forever {
			t.add(f, "sojourn.mean", (m.orbit+m.busy+m.queue)/t.lambda)
		} else {
			t.add(f, "lost", 1-m.busy*t.mu/t.lambda)
		}
	case forever:
		t.served(workFormula, 1)
	}
}

// orbitMeans are the means of a retrial queue in balance.
type orbitMeans struct {
	orbit, busy, queue float64
	full, fullOrbit    float64 // P(no place is free), and the mean of the orbit where that is so
}

// orbits solves the balance equations of M/M/c/K with exponential patience (rate
// theta) whose failed attempts go to the orbit with probability p and come back at
// rate nu each. The state is the orbit n and the station b, a level each n:
// π(n) = π(n-1) R(n), with R from the last level back to the first. The orbit is cut
// where it is practically never; ok is false when that is too far away.
func orbits(c, k int, lambda, mu, nu, theta, p float64) (orbitMeans, bool) {
	size := k + 1
	matrix := func() [][]float64 {
		m := make([][]float64, size)
		for i := range m {
			m[i] = make([]float64, size)
		}
		return m
	}
	leave := func(b int) float64 { return theta * float64(max(b-c, 0)) }
	up := matrix() // n → n+1, the same at every level
	up[k][k] = lambda * p
	for b := c + 1; b <= k; b++ {
		up[b][b-1] = leave(b) * p
	}
	down := func(n int) [][]float64 { // n → n-1
		m, back := matrix(), nu*float64(n)
		for b := range k {
			m[b][b+1] = back
		}
		m[k][k] = back * (1 - p)
		return m
	}
	local := func(n, last int) [][]float64 {
		m := matrix()
		for b := 0; b <= k; b++ {
			if b < k {
				m[b][b+1] = lambda
			}
			if b > 0 {
				m[b][b-1] = mu*float64(min(b, c)) + leave(b)*(1-p)
			}
			out := mu*float64(min(b, c)) + leave(b)
			if b < k {
				out += lambda + nu*float64(n)
			} else {
				out += lambda*p + nu*float64(n)*(1-p)
			}
			if n == last { // who would leave the last level stays
				out -= sum64(up[b])
				if b > c {
					m[b][b-1] += up[b][b-1]
					out += up[b][b-1]
				}
			}
			m[b][b] = -out
		}
		return m
	}
	for last := 256; last <= 1<<14; last *= 4 {
		r := make([][][]float64, last+1)
		// At each level: (local + R(n+1)·down(n+1)) is what stays of it.
		stays := func(n int) [][]float64 {
			m := local(n, last)
			if n < last {
				addProduct(m, r[n+1], down(n+1))
			}
			return m
		}
		for n := last; n > 0; n-- {
			r[n] = rightDivide(up, stays(n))
		}
		pi := nullVector(stays(0))
		var m orbitMeans
		var all, end float64
		for n := 0; n <= last; n++ {
			if n > 0 {
				next := make([]float64, size)
				for i, x := range pi {
					for j := range next {
						next[j] += x * r[n][i][j]
					}
				}
				pi = next
			}
			end = 0
			for b, x := range pi {
				end += x
				m.orbit += float64(n) * x
				m.busy += float64(min(b, c)) * x
				m.queue += float64(max(b-c, 0)) * x
			}
			m.full += pi[k]
			m.fullOrbit += float64(n) * pi[k]
			all += end
		}
		if end < 1e-12*all {
			return orbitMeans{m.orbit / all, m.busy / all, m.queue / all, m.full / all, m.fullOrbit / all}, true
		}
	}
	return orbitMeans{}, false
}

func sum64(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

// addProduct adds a·b to m.
func addProduct(m, a, b [][]float64) {
	for i := range a {
		for l, x := range a[i] {
			if x == 0 {
				continue
			}
			for j, y := range b[l] {
				m[i][j] += x * y
			}
		}
	}
}

// rightDivide is -a·m⁻¹: the solution X of X·m = -a, by elimination with pivots.
func rightDivide(a, m [][]float64) [][]float64 {
	n := len(m)
	// Transposed: mᵀ·Xᵀ = -aᵀ, one right side for each row of a.
	work := make([][]float64, n)
	for i := range work {
		work[i] = make([]float64, 2*n)
		for j := range n {
			work[i][j], work[i][n+j] = m[j][i], -a[j][i]
		}
	}
	for col := range n {
		best := col
		for i := col + 1; i < n; i++ {
			if math.Abs(work[i][col]) > math.Abs(work[best][col]) {
				best = i
			}
		}
		work[col], work[best] = work[best], work[col]
		for i := range n {
			if i == col || work[i][col] == 0 {
				continue
			}
			f := work[i][col] / work[col][col]
			for j := col; j < 2*n; j++ {
				work[i][j] -= f * work[col][j]
			}
		}
	}
	x := make([][]float64, n)
	for i := range x {
		x[i] = make([]float64, n)
		for j := range n {
			x[i][j] = work[j][n+i] / work[j][j]
		}
	}
	return x
}

// nullVector is the x with x·m = 0 and x[0] = 1; m is a generator's.
func nullVector(m [][]float64) []float64 {
	n := len(m)
	if n == 1 {
		return []float64{1}
	}
	// Without the first equation, which the others imply, and x[0] = 1 put in.
	rest, right := make([][]float64, n-1), make([][]float64, n-1)
	for i := range rest {
		rest[i] = slices.Clone(m[i+1][1:])
		right[i] = make([]float64, n-1)
	}
	copy(right[0], m[0][1:])
	return append([]float64{1}, rightDivide(right, rest)[0]...)
}

// second is the second moment of a law, in square nanoseconds.
func (s *sampler) second() float64 {
	switch s.kind {
	case KindExponential:
		return 2 * s.mean * s.mean
	case KindConstant:
		return s.mean * s.mean
	case KindLogNormal:
		return s.mean * s.mean * math.Exp(s.sigma*s.sigma)
	}
	var sum, n float64
	for _, v := range s.values {
		sum += float64(v) * float64(v)
		n++
	}
	var before uint64
	for i, upTo := range s.sums {
		count, lo, hi := float64(upTo-before), float64(s.lows[i]), float64(s.tops[i])
		sum += count * (lo*lo + lo*hi + hi*hi) / 3
		n, before = n+count, upTo
	}
	return sum / n
}
