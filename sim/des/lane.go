package des

import "time"

// Lane is a queue beside the heap for events of one kind whose moments hardly ever
// go back, such as what follows a constant delay: adding and running one takes a few
// nanoseconds instead of a walk through the heap. The order of events is the same;
// one that would stand before the lane's last goes to the heap. They cannot be stopped,
// but see Forget.
type Lane struct {
	k       *Kernel
	ring    []laneEvent // a power of two
	head, n int
	place   int // among the kernel's heads
	dead    func(arg uint64) bool
}

type laneEvent struct {
	at    time.Duration
	order uint64
	f     func(uint64)
	arg   uint64
}

// NewLane makes a lane of the kernel. Every lane is looked at for every event, so
// there should be few.
func (k *Kernel) NewLane() *Lane {
	l := &Lane{k: k, ring: make([]laneEvent, 64), place: len(k.lanes)}
	k.lanes, k.heads = append(k.lanes, l), append(k.heads, nobody)
	return l
}

// Forget has the lane ask of every event, before it runs, whether it has become
// pointless: such ones count as stopped and leave no trace. So whoever schedules
// many and stops most of them need not find them again.
func (l *Lane) Forget(dead func(arg uint64) bool) { l.dead = dead }

// AtArg is Kernel.AtArg.
func (l *Lane) AtArg(t time.Duration, priority int8, f func(arg uint64), arg uint64) {
	l.add(t, priority, l.k.c.Scheduled, f, arg)
}

// AtKey is Kernel.AtKey.
func (l *Lane) AtKey(t time.Duration, priority int8, key uint64, f func(arg uint64), arg uint64) {
	if key > KeyMax {
		l.k.AtKey(t, priority, key, f, arg) // says what is wrong
		return
	}
	l.add(t, priority, keyed|key, f, arg)
}

// TryKey is AtKey for an event that fits behind the lane's last; else it schedules
// nothing and says so.
func (l *Lane) TryKey(t time.Duration, priority int8, key uint64, f func(arg uint64), arg uint64) bool {
	if key > KeyMax || t < l.k.now || l.n > 0 && l.last().after(t, orderOf(priority, keyed|key)) {
		return false
	}
	l.add(t, priority, keyed|key, f, arg)
	return true
}

func (l *Lane) last() *laneEvent { return &l.ring[(l.head+l.n-1)&(len(l.ring)-1)] }

func (e *laneEvent) after(t time.Duration, order uint64) bool {
	return t < e.at || t == e.at && order < e.order
}

func (l *Lane) add(t time.Duration, priority int8, within uint64, f func(uint64), arg uint64) {
	k := l.k
	order := orderOf(priority, within)
	if t < k.now || f == nil {
		k.place(t, priority, within, slot{g: f, arg: arg}) // says what is wrong
		return
	}
	if l.n > 0 && l.last().after(t, order) {
		k.place(t, priority, within, slot{g: f, arg: arg})
		return
	}
	if l.n == len(l.ring) {
		ring := make([]laneEvent, 2*l.n)
		for i := range l.n {
			ring[i] = l.ring[(l.head+i)&(l.n-1)]
		}
		l.ring, l.head = ring, 0
	}
	k.comes(t, order, l)
	l.ring[(l.head+l.n)&(len(l.ring)-1)] = laneEvent{t, order, f, arg}
	if l.n++; l.n == 1 {
		k.heads[l.place] = head{t, order}
	}
	k.c.Scheduled++
}

func (l *Lane) pop() laneEvent {
	e := l.ring[l.head]
	l.head = (l.head + 1) & (len(l.ring) - 1)
	l.n--
	first := nobody
	if l.n > 0 {
		first = head{l.ring[l.head].at, l.ring[l.head].order}
	}
	l.k.heads[l.place] = first
	return e
}
