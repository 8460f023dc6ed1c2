package des

import "time"

// Lane is a queue beside the heap for events of one kind whose moments hardly ever
// go back, such as what follows a constant delay: adding and running one takes a few
// nanoseconds instead of a walk through the heap. The order of events is the same;
// one that would stand before the lane's last goes to the heap. They cannot be stopped.
type Lane struct {
	k       *Kernel
	ring    []laneEvent // a power of two
	head, n int
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
	l := &Lane{k: k, ring: make([]laneEvent, 64)}
	k.lanes = append(k.lanes, l)
	return l
}

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

func (l *Lane) add(t time.Duration, priority int8, within uint64, f func(uint64), arg uint64) {
	k := l.k
	order := uint64(uint8(priority)^0x80)<<56 | within
	if t < k.now || f == nil {
		k.place(t, priority, within, slot{g: f, arg: arg}) // says what is wrong
		return
	}
	if l.n > 0 {
		if last := &l.ring[(l.head+l.n-1)&(len(l.ring)-1)]; t < last.at || t == last.at && order < last.order {
			k.place(t, priority, within, slot{g: f, arg: arg})
			return
		}
	}
	if l.n == len(l.ring) {
		ring := make([]laneEvent, 2*l.n)
		for i := range l.n {
			ring[i] = l.ring[(l.head+i)&(l.n-1)]
		}
		l.ring, l.head = ring, 0
	}
	l.ring[(l.head+l.n)&(len(l.ring)-1)] = laneEvent{t, order, f, arg}
	l.n++
	k.c.Scheduled++
}

func (l *Lane) pop() laneEvent {
	e := l.ring[l.head]
	l.head = (l.head + 1) & (len(l.ring) - 1)
	l.n--
	return e
}
