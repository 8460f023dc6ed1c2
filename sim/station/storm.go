package station

import (
	"fmt"
	"math"
	"time"

	"spillway/internal/draw"
	"spillway/sim/des"
)

// Storm is a station in the open: users who wait no longer than their timeout and
// then try again, while the station, not told that they left, serves their old
// requests all the same. A trigger, a spike of arrivals or a pause after which
// everybody comes at once, can push it into a metastable failure: overload that
// feeds on itself and outlives its cause. The defences are those one compares.
type Storm struct {
	Servers int
	Service Law
	Rate    float64       // users per second, Poisson, 1e-6 to 1e9
	Length  time.Duration // of the arrivals; the run goes on until every user knows

	SpikeAt, SpikeFor time.Duration // arrivals at Spike × Rate for this long; For 0 = no spike
	Spike             float64
	HoldAt, HoldFor   time.Duration // users of this span all come at its end; For 0 = no hold

	Timeout            time.Duration // of each attempt, > 0
	Attempts           int           // of a user in all, at least 1
	RetryMin, RetryMax time.Duration // pause before the next attempt, uniform
	Backoff            bool          // pause uniform in (0, RetryMax × 2^failures) instead: full jitter
	Budget             float64       // retries allowed per first attempt, all users pooled; 0 = no budget
	BudgetMost         float64       // retries that may be saved up; used with Budget

	Queue    int           // requests that may wait; beyond, refused at once; 0 = no bound
	Drop     time.Duration // a request that waited longer is dropped when its turn comes; 0 = served
	Silent   bool          // a dropped request gets no answer: the user waits until the timeout
	Adaptive bool          // newest first while more than Newest wait, else in order
	Newest   int

	Seed draw.Seed
}

// StormResult is what became of the users. "Served" is in time: an answer after
// the timeout is work done for nobody.
type StormResult struct {
	Users, Served           int
	SpikeUsers, SpikeServed int // came during the spike
	LastUsers, LastServed   int // came in the last quarter of Length
	Attempts                int
	Wasted                  int           // services that ended after their user had left
	P50, P99                time.Duration // of the attempts served in time; 0 when fewer than ten lie beyond
}

// Tipped reports whether the failure outlived its trigger: fewer than half of the
// users of the last quarter were served.
func (r StormResult) Tipped() bool { return 2*r.LastServed < r.LastUsers }

// Check reports the first fault, nil when the storm can be run; errors wrap ErrConfig.
func (s Storm) Check() error {
	switch {
	case s.Servers < 1, !(s.Rate >= 1e-6 && s.Rate <= 1e9), s.Length <= 0, s.Timeout <= 0, s.Attempts < 1:
		return fmt.Errorf("%w: storm: servers %d, rate %v, length %v, timeout %v, attempts %d: each must be above 0, the rate 1e-6 to 1e9",
			ErrConfig, s.Servers, s.Rate, s.Length, s.Timeout, s.Attempts)
	case s.RetryMin < 0, s.RetryMax < s.RetryMin, s.Queue < 0, s.Drop < 0, !(s.Budget >= 0), !(s.BudgetMost >= 0):
		return fmt.Errorf("%w: storm: pauses, queue, drop and budget must be 0 or more, RetryMin at most RetryMax", ErrConfig)
	case s.SpikeFor > 0 && !(s.Spike > 0 && s.Spike <= 1e6):
		return fmt.Errorf("%w: storm: spike of %v, give a factor above 0, at most 1e6", ErrConfig, s.Spike)
	}
	for _, d := range []time.Duration{s.SpikeAt, s.SpikeFor, s.HoldAt, s.HoldFor, s.Length, s.Timeout, s.RetryMax, s.Drop} {
		if d < 0 || d > longest {
			return fmt.Errorf("%w: storm: %v, every time must lie between 0 and %v", ErrConfig, d, longest)
		}
	}
	return s.Service.check("storm: service")
}

// Purposes of the draws of a storm.
const (
	stormGap uint8 = iota + 1
	stormService
	stormPause
)

// request is one attempt. A user has one at most that somebody waits for.
type request struct {
	user           uint64
	came           time.Duration // the user's first attempt, which decides where the user is counted
	entered        time.Duration
	attempt        uint32
	gone           bool // the user has left
	dropped        bool // and the user not told
	timeout        des.Event
	next, previous uint32
}

type storm struct {
	Storm
	k       *des.Kernel
	service sampler
	all     []request
	spare   []uint32
	queue   queue
	waiting int
	idle    int
	tokens  float64
	user    uint64
	t       float64 // of the arrivals, nanoseconds
	r       StormResult
	stay    hist
}

// Run simulates the storm on the plain kernel.
func (s Storm) Run() (StormResult, error) {
	if err := s.Check(); err != nil {
		return StormResult{}, err
	}
	m := &storm{Storm: s, k: des.New(), service: s.Service.sampler(), queue: queue{none, none}, idle: s.Servers, tokens: s.BudgetMost}
	m.nextUser()
	if err := m.k.Run(des.Forever); err != nil {
		return m.r, err
	}
	if m.idle != s.Servers || m.waiting != 0 || len(m.spare) != len(m.all) {
		return m.r, fmt.Errorf("%w: %d servers idle of %d, %d wait, %d requests open at the end", ErrBalance, m.idle, s.Servers, m.waiting, len(m.all)-len(m.spare))
	}
	q := func(p float64) time.Duration {
		if x := m.stay.quantile(p); !math.IsNaN(x) {
			return time.Duration(x)
		}
		return 0
	}
	m.r.P50, m.r.P99 = q(0.5), q(0.99)
	return m.r, nil
}

// nextUser schedules the next first attempt: exponential gaps of unit rate on the
// clock of the cumulative rate, so a spike needs no thinning and the same users
// come whatever the defence.
func (m *storm) nextUser() {
	need := draw.FastExp(m.Seed.U64(stormGap, m.user, 0)) * 1e9 / m.Rate
	if m.SpikeFor > 0 {
		from, to := float64(m.SpikeAt), float64(m.SpikeAt+m.SpikeFor)
		if m.t < from {
			d := min(need, from-m.t)
			m.t += d
			need -= d
		}
		if need > 0 && m.t < to {
			d := min(need, float64((to-m.t)*m.Spike))
			m.t += d / m.Spike
			need -= d
		}
	}
	m.t += need
	at := time.Duration(m.t)
	if at >= m.Length {
		return
	}
	if at >= m.HoldAt && at < m.HoldAt+m.HoldFor {
		at = m.HoldAt + m.HoldFor
	}
	m.k.AtArg(at, third, m.arrive, m.user)
	m.user++
}

func (m *storm) arrive(user uint64) {
	now := m.k.Now()
	m.nextUser()
	m.tokens = min(m.tokens+m.Budget, m.BudgetMost)
	m.r.Users++
	if m.inSpike(now) {
		m.r.SpikeUsers++
	}
	if m.isLast(now) {
		m.r.LastUsers++
	}
	m.send(user, now, 1)
}

func (m *storm) inSpike(t time.Duration) bool { return t >= m.SpikeAt && t < m.SpikeAt+m.SpikeFor }
func (m *storm) isLast(t time.Duration) bool  { return t >= m.Length-m.Length/4 }

func (m *storm) send(user uint64, came time.Duration, attempt uint32) {
	m.r.Attempts++
	var i uint32
	if n := len(m.spare); n > 0 {
		i = m.spare[n-1]
		m.spare = m.spare[:n-1]
	} else {
		i = uint32(len(m.all))
		m.all = append(m.all, request{})
	}
	now := m.k.Now()
	m.all[i] = request{user: user, came: came, entered: now, attempt: attempt, next: none, previous: none}
	switch {
	case m.idle > 0:
		m.all[i].timeout = m.k.AtArg(now+m.Timeout, second, m.leave, uint64(i))
		m.begin(i)
	case m.Queue == 0 || m.waiting < m.Queue:
		m.all[i].timeout = m.k.AtArg(now+m.Timeout, second, m.leave, uint64(i))
		r := &m.all[i]
		r.previous = m.queue.tail
		if m.queue.tail == none {
			m.queue.head = i
		} else {
			m.all[m.queue.tail].next = i
		}
		m.queue.tail = i
		m.waiting++
	default:
		m.fail(i)
		m.free(i)
	}
}

// leave: the user's patience is over. The station does not learn of it.
func (m *storm) leave(i uint64) {
	m.all[i].gone = true
	m.fail(uint32(i))
	if m.all[i].dropped {
		m.free(uint32(i))
	}
}

// fail lets the user try again, if attempts and budget allow.
func (m *storm) fail(i uint32) {
	r := m.all[i]
	if int(r.attempt) >= m.Attempts {
		return
	}
	if m.Budget > 0 {
		if m.tokens < 1 {
			return
		}
		m.tokens--
	}
	lo, hi := m.RetryMin, m.RetryMax
	if m.Backoff {
		lo = 0
		for n := uint32(0); n < r.attempt && hi < longest; n++ {
			hi *= 2
		}
	}
	pause := m.Seed.Between(stormPause, r.user, r.attempt, lo, hi)
	m.k.At(m.k.Now()+pause, func() { m.send(r.user, r.came, r.attempt+1) })
}

func (m *storm) begin(i uint32) {
	r := &m.all[i]
	m.idle--
	s := m.service.at(m.Seed.U64(stormService, r.user, r.attempt))
	m.k.AtArg(m.k.Now()+time.Duration(s), first, m.end, uint64(i))
}

func (m *storm) end(i uint64) {
	m.idle++
	r := &m.all[i]
	if r.gone {
		m.r.Wasted++
	} else {
		r.timeout.Stop()
		m.r.Served++
		m.stay.add(int64(m.k.Now() - r.entered))
		if m.inSpike(r.came) {
			m.r.SpikeServed++
		}
		if m.isLast(r.came) {
			m.r.LastServed++
		}
	}
	m.free(uint32(i))
	for m.waiting > 0 {
		i := m.queue.head
		if m.Adaptive && m.waiting > m.Newest {
			i = m.queue.tail
		}
		m.take(i)
		if m.Drop > 0 && m.k.Now()-m.all[i].entered > m.Drop {
			m.discard(i)
			continue
		}
		m.begin(i)
		return
	}
}

// discard drops a request whose turn has come.
func (m *storm) discard(i uint32) {
	r := &m.all[i]
	switch {
	case r.gone:
		m.free(i)
	case m.Silent: // the user waits on, until the timeout
		r.dropped = true
	default:
		r.timeout.Stop()
		m.fail(i)
		m.free(i)
	}
}

// take removes a waiting request from the queue.
func (m *storm) take(i uint32) {
	r := &m.all[i]
	if r.previous == none {
		m.queue.head = r.next
	} else {
		m.all[r.previous].next = r.next
	}
	if r.next == none {
		m.queue.tail = r.previous
	} else {
		m.all[r.next].previous = r.previous
	}
	m.waiting--
}

func (m *storm) free(i uint32) { m.spare = append(m.spare, i) }
