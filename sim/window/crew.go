package window

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// spins is how often a member looks for work before it sleeps, about a tenth of a
// millisecond: waking it costs as much.
const spins = 100_000

// Crew does the tasks of a step side by side, each once, and waits for all of them
// before the next step. Make one with NewCrew and Close it.
type Crew struct {
	tasks []func()
	next  atomic.Int64 // the next task to be taken
	left  atomic.Int64 // tasks of the step not yet done
	step  atomic.Uint64
	over  atomic.Bool

	mu       sync.Mutex
	wake     sync.Cond
	sleeping int
	members  sync.WaitGroup
}

// NewCrew makes a crew of so many members, the caller of Step being one of them: of
// one, it does the tasks itself, in order. Tasks are begun in the order given, so
// the longest should come first.
func NewCrew(members int, tasks ...func()) *Crew {
	c := &Crew{tasks: tasks}
	c.next.Store(int64(len(tasks)))
	c.wake.L = &c.mu
	for range min(members, len(tasks)) - 1 {
		c.members.Add(1)
		go c.member()
	}
	return c
}

// Alone does every task once, in order, without the others: for a step so short
// that to call them would take longer.
func (c *Crew) Alone() {
	for _, t := range c.tasks {
		t()
	}
}

// Step does every task once. What one step wrote, every task of the next one sees.
func (c *Crew) Step() {
	c.left.Store(int64(len(c.tasks)))
	c.next.Store(0)
	c.step.Add(1)
	c.mu.Lock()
	if c.sleeping > 0 {
		c.wake.Broadcast()
	}
	c.mu.Unlock()
	c.work()
	for n := 0; c.left.Load() > 0; n++ {
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

func (c *Crew) work() {
	for {
		i := c.next.Add(1) - 1
		if i >= int64(len(c.tasks)) {
			return
		}
		c.tasks[i]()
		c.left.Add(-1)
	}
}

func (c *Crew) member() {
	defer c.members.Done()
	var seen uint64
	for !c.over.Load() {
		now := c.step.Load()
		for n := 0; now == seen && n < spins; n++ {
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
		seen = now
		c.work()
	}
}
