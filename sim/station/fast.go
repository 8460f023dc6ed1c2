package station

import (
	"context"
	"slices"
)

// fastable reports whether the loop below can run the station: first come, first
// served, one class, nobody comes back, and the queue is bounded by places or by
// patience, but not by both (the number waiting is then not known on arrival).
func (c *Config) fastable() bool {
	return c.Order == FIFO && len(c.Classes) <= 1 && c.Retry.Probability == 0 &&
		(c.Places == 0 || c.Patience.Kind == KindNone)
}

// chunk is how many customers are drawn at a time.
const chunk = 256

// fast runs blocks consecutive blocks after one warm-up. It is the recursion of
// Kiefer and Wolfowitz (Trans. AMS 78, 1955, 1-18): a customer needs only the
// moments at which the servers will be free, which the servers' vector holds. A
// customer whose patience ends before that leaves the vector as it is; one who
// finds no place does, too.
//
// Starts of service never decrease, so the customer n admissions back has begun
// exactly when fewer than n wait: that is how a full station is known.
func (r *run) fast(ctx context.Context, tallies []*tally) error {
	var (
		gaps, service, patience [chunk]int64

		t         int64                   // the present arrival
		free      = newServers(r.Servers) // when each server will be free
		starts    = make([]int64, 1024)   // of admitted customers, a ring by admission
		admitted  uint64
		leaves    []int64 // moments at which the impatient leave, some past
		queueArea wide    // of all so far, their future included
		workArea  wide
		scratch   = new(tally) // the warm-up's
		now       = scratch
		id        uint64
		boundary  = uint64(r.warm)
		block     = -1
		impatient = r.Patience.Kind != KindNone
		room      = uint64(r.Places - r.Servers) // that may wait, when places are bounded
	)
	for i := range starts {
		starts[i] = -1
	}
	for {
		r.gaps(gaps[:], id)
		if id == boundary {
			// The areas up to this arrival: everything, less what lies beyond it.
			at := t + gaps[0]
			q, w := queueArea, workArea
			mask := uint64(len(starts) - 1)
			for n := admitted; n > 0 && starts[(n-1)&mask] > at; n-- {
				q = q.minus(wide{0, uint64(starts[(n-1)&mask] - at)})
			}
			leaves = slices.DeleteFunc(leaves, func(l int64) bool { return l <= at })
			for _, l := range leaves {
				q = q.minus(wide{0, uint64(l - at)})
			}
			for _, f := range free.times {
				if f > at {
					w = w.minus(wide{0, uint64(f - at)})
				}
			}
			if block >= 0 {
				now.span += at
				now.queueArea = q.minus(now.queueArea)
				now.serviceArea = w.minus(now.serviceArea)
			}
			if block++; block == len(tallies) {
				return nil
			}
			now = tallies[block]
			now.span, now.queueArea, now.serviceArea = -at, q, w
			boundary += uint64(r.Customers)
		}
		if id&(1<<16-1) < chunk {
			if err := ctx.Err(); err != nil {
				return err
			}
			r.tell(id)
		}
		n := int(min(chunk, boundary-id))
		r.service.fill(service[:n], r.seed, forService, id)

		// Double the ring while an admission of this chunk could overwrite a start to come.
		for size := uint64(len(starts)); starts[(admitted+chunk-1)&(size-1)] > t; size *= 2 {
			bigger := make([]int64, 2*size)
			for i := range bigger {
				bigger[i] = -1
			}
			for i := admitted - min(admitted, size); i < admitted; i++ {
				bigger[i&(2*size-1)] = starts[i&(size-1)]
			}
			starts = bigger
		}
		mask := uint64(len(starts) - 1)

		var waits, sojourns, queued, work, served uint64
		var most int64
		least := int64(1<<63 - 1)
		mostStay, leastStay := most, least
		// Whose start the ring has forgotten has begun: fewer than room wait then.
		bounded := r.Places > 0 && room < uint64(len(starts))
		if impatient {
			r.patience.fill(patience[:n], r.seed, forPatience, id)
		}
		for i := range n {
			t += gaps[i]
			start := max(t, free.times[0])
			wait := start - t
			if impatient && wait > patience[i] {
				now.abandoned++
				queued += uint64(patience[i])
				leaves = append(leaves, t+patience[i])
				continue
			}
			if bounded && wait > 0 && (room == 0 || admitted >= room && starts[(admitted-room)&mask] > t) {
				now.blocked++
				continue
			}
			s := service[i]
			free.replace(start + s)
			starts[admitted&mask] = start
			admitted++
			served++
			waits += uint64(wait)
			work += uint64(s)
			sojourns += uint64(wait + s)
			now.wait.counts[bucketOf(wait)]++
			now.sojourn.counts[bucketOf(wait+s)]++
			least, most = min(least, wait), max(most, wait)
			leastStay, mostStay = min(leastStay, wait+s), max(mostStay, wait+s)
		}
		now.wait.take(served, waits, least, most)
		now.sojourn.take(served, sojourns, leastStay, mostStay)
		now.customers += uint64(n)
		now.served += served
		queueArea.add(waits + queued)
		workArea.add(work)
		if len(leaves) > 4096 {
			leaves = slices.DeleteFunc(leaves, func(l int64) bool { return l <= t })
		}
		id += uint64(n)
	}
}

// take books n values that were counted already.
func (h *hist) take(n, sum uint64, least, most int64) {
	if n == 0 {
		return
	}
	if h.n == 0 || least < h.min {
		h.min = least
	}
	h.max = max(h.max, most)
	h.n += n
	h.sum.add(sum)
}

// servers holds when each server will be free, the earliest first: in ascending
// order while they are few, as a heap when many.
type servers struct{ times []int64 }

// sorted is up to how many servers an ordered list is the faster: measured, see
// BenchmarkServers.
const sorted = 48

func newServers(c int) servers { return servers{make([]int64, c)} }

// replace gives the earliest server work until end.
func (s *servers) replace(end int64) {
	if len(s.times) <= sorted {
		insert(s.times, end)
	} else {
		sift(s.times, end)
	}
}

func insert(f []int64, end int64) {
	i := 0
	for i+1 < len(f) && f[i+1] < end {
		f[i] = f[i+1]
		i++
	}
	f[i] = end
}

func sift(f []int64, end int64) {
	i := 0
	for {
		child := 2*i + 1
		if child >= len(f) {
			break
		}
		if child+1 < len(f) && f[child+1] < f[child] {
			child++
		}
		if f[child] >= end {
			break
		}
		f[i] = f[child]
		i = child
	}
	f[i] = end
}
