package station

import (
	"context"
	"fmt"
	"time"

	"spillway/sim/des"
)

// Priorities of events at one moment: a service that ends makes room for all
// others, a patience that ends at the moment a server comes free was long enough.
const (
	first  = -2 // a service ends
	second = -1 // a patience ends
	third  = 0  // a first attempt
	fourth = 1  // a later attempt
)

// none is no customer.
const none = ^uint32(0)

// customer is one in the station or in the orbit.
type customer struct {
	id             uint64
	came, entered  time.Duration // first attempt, present attempt
	block          int32         // -1 = not measured
	attempt        uint32
	class          uint8
	patience       des.Event
	next, previous uint32 // in the queue
}

// queue is one class's, a list so that the impatient can leave from its middle.
type queue struct{ head, tail uint32 }

// model is the station on the kernel: every rule spelled out, one event at a time.
type model struct {
	*run
	ctx     context.Context
	k       *des.Kernel
	tallies []*tally
	all     []customer
	spare   []uint32
	queues  []queue
	shares  []float64 // cumulative, of the classes

	waiting, busy, orbit              uint64
	served, lost                      uint64
	last                              time.Duration // up to where the areas are summed
	queueArea, serviceArea, orbitArea wide
	id                                uint64 // of the next first attempt
	block                             int
	open                              uint64 // measured customers whose fate is not known
	err                               error
}

// kernel runs blocks consecutive blocks after one warm-up on the plain kernel.
func (r *run) kernel(ctx context.Context, tallies []*tally) error {
	m := &model{run: r, ctx: ctx, k: des.New(), tallies: tallies, block: -1,
		open: uint64(len(tallies)) * uint64(r.Customers)}
	m.queues = make([]queue, max(len(r.Classes), 1))
	for i := range m.queues {
		m.queues[i] = queue{none, none}
	}
	var upTo float64
	for _, share := range r.Classes {
		upTo += share
		m.shares = append(m.shares, upTo)
	}
	if len(r.Classes) > 1 {
		for _, t := range tallies {
			t.classes = make([]sum, len(r.Classes))
		}
	}
	m.k.AtArg(time.Duration(r.gap(0)), third, m.arrive, 0)
	if err := m.k.Run(des.Forever); err != nil {
		return err
	}
	if m.err == nil && m.id != m.served+m.lost+m.waiting+m.busy+m.orbit {
		m.err = fmt.Errorf("%w: %d came, %d served, %d lost, %d wait, %d in service, %d in the orbit",
			ErrBalance, m.id, m.served, m.lost, m.waiting, m.busy, m.orbit)
	}
	return m.err
}

// sum brings the areas up to the present.
func (m *model) sum() {
	now := m.k.Now()
	if d := uint64(now - m.last); d > 0 {
		m.queueArea.addProduct(d, m.waiting)
		m.serviceArea.addProduct(d, m.busy)
		m.orbitArea.addProduct(d, m.orbit)
		m.last = now
	}
}

func (m *model) arrive(uint64) {
	m.sum()
	now := m.k.Now()
	id := m.id
	m.id++
	if id >= uint64(m.warm) && (id-uint64(m.warm))%uint64(m.Customers) == 0 && m.block < len(m.tallies) {
		if m.block >= 0 {
			b := m.tallies[m.block]
			b.span += int64(now)
			b.queueArea = m.queueArea.minus(b.queueArea)
			b.serviceArea = m.serviceArea.minus(b.serviceArea)
			b.orbitArea = m.orbitArea.minus(b.orbitArea)
		}
		if m.block++; m.block < len(m.tallies) {
			b := m.tallies[m.block]
			b.span, b.queueArea, b.serviceArea, b.orbitArea = -int64(now), m.queueArea, m.serviceArea, m.orbitArea
		}
	}
	if id&(1<<12-1) == 0 {
		m.tell(id)
		if m.ctx.Err() != nil {
			m.err = m.ctx.Err()
			m.k.Halt()
		}
	}
	var i uint32
	if n := len(m.spare); n > 0 {
		i = m.spare[n-1]
		m.spare = m.spare[:n-1]
	} else {
		i = uint32(len(m.all))
		m.all = append(m.all, customer{})
	}
	c := customer{id: id, came: now, block: -1, next: none, previous: none}
	if m.block >= 0 && m.block < len(m.tallies) {
		c.block = int32(m.block)
		m.tallies[m.block].customers++
	}
	if n := len(m.shares); n > 1 {
		u := m.seed.Uniform(forClass, id, 1) * m.shares[n-1]
		for int(c.class) < n-1 && u >= m.shares[c.class] {
			c.class++
		}
	}
	m.all[i] = c
	m.k.AtArg(now+time.Duration(m.gap(m.id)), third, m.arrive, 0)
	m.try(i)
}

// again is a later attempt.
func (m *model) again(i uint64) {
	m.sum()
	m.orbit--
	m.try(uint32(i))
}

func (m *model) try(i uint32) {
	c := &m.all[i]
	c.attempt++
	c.entered = m.k.Now()
	if c.block >= 0 {
		m.tallies[c.block].attempts++
	}
	switch {
	case m.busy < uint64(m.Servers):
		m.begin(i)
	case m.Places == 0 || m.busy+m.waiting < uint64(m.Places):
		m.push(i)
		if m.Patience.Kind != KindNone {
			p := m.patience.at(m.seed.U64(forPatience, c.id, c.attempt))
			c.patience = m.k.AtArg(c.entered+time.Duration(p), second, m.abandon, uint64(i))
		}
	default:
		if c.block >= 0 {
			m.tallies[c.block].blocked++
		}
		m.refuse(i)
	}
}

func (m *model) abandon(i uint64) {
	m.sum()
	c := &m.all[i]
	m.remove(uint32(i))
	if c.block >= 0 {
		m.tallies[c.block].abandoned++
	}
	m.refuse(uint32(i))
}

// refuse sends a customer into the orbit or away.
func (m *model) refuse(i uint32) {
	c := &m.all[i]
	if m.Retry.Probability > 0 && (m.Retry.Attempts == 0 || int(c.attempt) < m.Retry.Attempts) &&
		m.seed.Uniform(forCoin, c.id, c.attempt) < m.Retry.Probability {
		m.orbit++
		d := m.delay.at(m.seed.U64(forDelay, c.id, c.attempt))
		m.k.AtArg(m.k.Now()+time.Duration(d), fourth, m.again, uint64(i))
		return
	}
	m.lost++
	if c.block >= 0 {
		m.tallies[c.block].lost++
	}
	m.gone(i)
}

func (m *model) begin(i uint32) {
	c := &m.all[i]
	m.busy++
	now := m.k.Now()
	if c.block >= 0 {
		b := m.tallies[c.block]
		b.wait.add(int64(now - c.entered))
		if b.classes != nil {
			b.classes[c.class].n++
			b.classes[c.class].total.add(uint64(now - c.entered))
		}
	}
	s := m.service.at(m.seed.U64(forService, c.id, c.attempt))
	m.k.AtArg(now+time.Duration(s), first, m.end, uint64(i))
}

func (m *model) end(i uint64) {
	m.sum()
	c := &m.all[i]
	m.busy--
	m.served++
	if c.block >= 0 {
		b := m.tallies[c.block]
		b.served++
		b.sojourn.add(int64(m.k.Now() - c.came))
	}
	m.gone(uint32(i))
	for q := range m.queues {
		next := m.queues[q].head
		if m.Order == LIFO {
			next = m.queues[q].tail
		}
		if next != none {
			m.remove(next)
			m.all[next].patience.Stop()
			m.begin(next)
			return
		}
	}
}

// gone forgets a customer, and ends the run with the last one measured.
func (m *model) gone(i uint32) {
	if m.all[i].block >= 0 {
		m.open--
	}
	m.spare = append(m.spare, i)
	if m.open == 0 && m.block == len(m.tallies) {
		m.k.Halt()
	}
}

func (m *model) push(i uint32) {
	q, c := &m.queues[m.all[i].class], &m.all[i]
	c.next, c.previous = none, q.tail
	if q.tail == none {
		q.head = i
	} else {
		m.all[q.tail].next = i
	}
	q.tail = i
	m.waiting++
}

func (m *model) remove(i uint32) {
	q, c := &m.queues[m.all[i].class], &m.all[i]
	if c.previous == none {
		q.head = c.next
	} else {
		m.all[c.previous].next = c.next
	}
	if c.next == none {
		q.tail = c.previous
	} else {
		m.all[c.next].previous = c.previous
	}
	m.waiting--
}
