package window

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// spins is how often a member looks for work before it sleeps, about a tenth of a
// millisecond: waking it costs as much.
const spins = 500_000

// Crew does the tasks of a step side by side, each once, and waits for all of them
// before the next step. Make one with NewCrew and Close it.
type Crew struct {
	tasks []task
	homes [][]int // by member: the tasks in the order in which it looks at them
	left  atomic.Int64
	step  atomic.Uint64 // of the tasks that may be taken
	over  atomic.Bool
	spare func() bool

	mu       sync.Mutex
	wake     sync.Cond
	sleeping int
	members  sync.WaitGroup
}

// task is done by whoever takes it first: every member begins with its own, whose
// data are in its core's cache, and then helps the others.
type task struct {
	f    func()
	done atomic.Uint64 // the last step in which somebody took it
	_    [48]byte      // a line of its own
}

// NewCrew makes a crew of so many members, the caller of Step being the first of
// them: of one, it does the tasks itself, in order. The tasks are shared out in the
// order given, the first half to the first of two members and so on; each member
// begins with its own first, the others' are taken from the last one backwards. Whoever
// has to wait for the others calls spare, unless it is nil: a piece of work that may be
// done at any time, by several members at once; it reports whether there was any.
func NewCrew(members int, spare func() bool, tasks ...func()) *Crew {
	members = max(1, min(members, len(tasks)))
	c := &Crew{spare: spare, tasks: make([]task, len(tasks)), homes: make([][]int, members)}
	for i, f := range tasks {
		c.tasks[i].f = f
	}
	for m := range c.homes {
		from, to := len(tasks)*m/members, len(tasks)*(m+1)/members
		for i := from; i < to; i++ {
			c.homes[m] = append(c.homes[m], i)
		}
		for i := len(tasks) - 1; i >= 0; i-- {
			if i < from || i >= to {
				c.homes[m] = append(c.homes[m], i)
			}
		}
	}
	c.wake.L = &c.mu
	for m := range members - 1 {
		c.members.Add(1)
		go c.member(m + 1)
	}
	return c
}

// Alone does every task once, in order, without the others: for a step so short
// that to call them would take longer.
func (c *Crew) Alone() {
	for i := range c.tasks {
		c.tasks[i].f()
	}
}

// Step does every task once. What one step wrote, every task of the next one sees.
func (c *Crew) Step() {
	c.left.Store(int64(len(c.tasks)))
	step := c.step.Add(1)
	c.mu.Lock()
	if c.sleeping > 0 {
		c.wake.Broadcast()
	}
	c.mu.Unlock()
	c.work(0, step)
	for n := 0; c.left.Load() > 0; n++ {
		if c.spare != nil && c.spare() {
			n = 0
		}
		if n > spins {
			runtime.Gosched() // the other thread may have lost its core
		}
	}
}

// Close ends the members and waits for them.
func (c *Crew) Close() {
	c.over.Store(true)
	c.mu.Lock()
	c.step.Add(1)
	c.wake.Broadcast()
	c.mu.Unlock()
	c.members.Wait()
}

// work takes whatever tasks of a step nobody has taken. A member that comes late
// finds them all taken, and never one of a later step: that one begins when all of
// this are done, with another number.
func (c *Crew) work(member int, step uint64) {
	for _, i := range c.homes[member] {
		t := &c.tasks[i]
		if t.done.Load() < step && t.done.CompareAndSwap(step-1, step) {
			t.f()
			c.left.Add(-1)
		}
	}
}

func (c *Crew) member(m int) {
	defer c.members.Done()
	var seen uint64
	for !c.over.Load() {
		now := c.step.Load()
		for n := 0; now == seen && n < spins; n++ {
			if c.spare != nil && c.spare() {
				n = 0
			}
			now = c.step.Load()
		}
		if now == seen {
			c.mu.Lock()
			for c.step.Load() == seen {
				c.sleeping++
				c.wake.Wait()
				c.sleeping--
			}
			c.mu.Unlock()
			continue
		}
		if c.over.Load() {
			return // the last step is none: see Close
		}
		seen = now
		c.work(m, now)
	}
}
