package window

import (
	"sync"
	"sync/atomic"
)

// spins is how often a member looks for work before it sleeps, about a millisecond:
// waking it costs a tenth of that.
const spins = 500_000

// Crew plays windows side by side: some followers, and a leader behind them. Everyone
// plays windows 0, 1, 2, … in order; the leader plays one when all followers have, and
// a follower does so when the leader has played the last but one. So nobody waits for
// a step of all: a follower may be done with the next window before another has begun
// with it. Fill it in and Run it.
type Crew struct {
	Lead    func(window int64) (more bool) // false ends the run with the next window
	Follow  []func(window int64)
	Ready   func(window int64) bool // whether followers may play it yet; nil = always
	Small   func(window int64) bool // of one that is ready: so little to do that one member does all; nil = never
	Spare   func() (done bool)      // work for whoever waits, at any time, by several at once; nil = none
	members int

	mu       sync.Mutex // guards what follows
	wake     sync.Cond
	played   []int64 // by follower: windows played
	busy     []bool  // and whether it is at the next
	led      int64   // windows that the leader has played
	leading  bool
	windows  int64 // to play
	sleeping int

	offers atomic.Uint64 // changes when there is something to do for whoever waits
}

// Run plays so many windows with so many members, the caller being the first of them,
// and returns how many were played: fewer if the leader ended the run. Every window's
// writes are seen by whoever may only play after it.
func (c *Crew) Run(members int, windows int64) (played int64) {
	c.members = max(1, min(members, len(c.Follow)+1))
	c.wake.L = &c.mu
	c.played, c.busy = make([]int64, len(c.Follow)), make([]bool, len(c.Follow))
	c.windows = windows
	var others sync.WaitGroup
	for m := 1; m < c.members; m++ {
		others.Go(func() { c.work(m) })
	}
	c.work(0)
	others.Wait()
	return c.windows
}

// leader is the leader's place among the followers.
const leader = -1

// work plays what there is until all is played.
func (c *Crew) work(member int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.led < c.windows {
		who, ok := c.find(member)
		if ok {
			c.take(who)
		}
		c.offer(member)
		if ok {
			c.play(who)
		} else {
			c.wait()
		}
	}
	c.offers.Add(1)
	c.wake.Broadcast()
}

// find is whom a member may play: of the followers the one that is furthest behind, and
// of those its own, whose data are in its core's cache.
func (c *Crew) find(member int) (who int, ok bool) {
	if first := c.slowest(); !c.leading && c.led < first && c.suits(member, c.led) {
		return leader, true
	}
	n, home := len(c.Follow), member*len(c.Follow)/c.members
	for i := range n {
		i = (home + i) % n
		if c.busy[i] || c.played[i] >= c.windows || c.played[i] > c.led+1 || ok && c.played[i] >= c.played[who] {
			continue
		}
		if (c.Ready == nil || c.Ready(c.played[i])) && c.suits(member, c.played[i]) {
			who, ok = i, true
		}
	}
	return who, ok
}

func (c *Crew) suits(member int, window int64) bool {
	return member == 0 || c.Small == nil || !c.Small(window)
}

// slowest is how many windows all followers have played.
func (c *Crew) slowest() int64 {
	first := c.windows
	for _, n := range c.played {
		first = min(first, n)
	}
	return first
}

func (c *Crew) take(who int) {
	if who == leader {
		c.leading = true
	} else {
		c.busy[who] = true
	}
}

// offer tells those who wait if there is something for them.
func (c *Crew) offer(member int) {
	for m := range c.members {
		if m == member {
			continue
		}
		if _, ok := c.find(m); ok {
			c.offers.Add(1)
			if c.sleeping > 0 {
				c.wake.Broadcast()
			}
			return
		}
	}
}

// play plays a window. It is called with the lock, as wait is, and does without it
// meanwhile.
func (c *Crew) play(who int) {
	if who != leader {
		n := c.played[who]
		c.mu.Unlock()
		c.Follow[who](n)
		c.mu.Lock()
		c.busy[who] = false
		c.played[who]++
		return
	}
	n := c.led
	c.mu.Unlock()
	more := c.Lead(n)
	c.mu.Lock()
	c.leading = false
	c.led++
	if !more { // a follower may be at the next window, and at none beyond
		c.windows = min(c.windows, c.led+1)
	}
}

// wait does what is to spare until something is offered.
func (c *Crew) wait() {
	seen := c.offers.Load()
	c.mu.Unlock()
	spared := false
	for n := 0; n < spins && !spared && c.offers.Load() == seen; n++ {
		spared = c.Spare != nil && c.Spare()
	}
	c.mu.Lock()
	if spared {
		return // it may have made something ready
	}
	for c.offers.Load() == seen {
		c.sleeping++
		c.wake.Wait()
		c.sleeping--
	}
}
