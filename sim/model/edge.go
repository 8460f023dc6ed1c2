package model

import (
	"slices"
	"time"

	"spillway/internal/booking"
)

// edgeEntries bounds the copies that the edge keeps, as the reference edge does.
const edgeEntries = 4096

// edge is the cache in front of config and catalogues: copies with a stated life,
// one fetch from the gateways for any number of misses at once, and a stale copy
// while the origin fails.
type edge struct {
	on       bool
	onQuery  bool // the cache key includes the query, which changes every millisecond
	staleFor time.Duration
	entries  map[edgeKey]*copied
	order    []edgeKey // oldest first
	changed  int       // how often an entry came or went
	alone    bool      // its fetches fail

	hits, misses, stale uint64
}

type edgeKey struct {
	object uint8
	query  int64
}

const (
	objectConfig uint8 = iota
	objectChinese
	objectEnglish
)

// copied is one object at the edge.
type copied struct {
	key      edgeKey
	life     time.Duration
	has      bool
	failing  bool
	fetching bool
	version  uint32 // of the config
	storedAt time.Duration
	retryAt  time.Duration
	waiting  []uint32 // requests that wait for the fetch
}

func (e *evening) openEdge() {
	c := e.sc.Edge
	e.edge = edge{on: e.sc.On("edge"), onQuery: c.CacheKey == "url", entries: map[edgeKey]*copied{},
		staleFor: 10 * max(c.ConfigLife, c.CatalogueLife)}
}

// fromEdge answers a request for a static object.
func (e *evening) fromEdge(i uint32, r *request) {
	d, now := &e.edge, r.arrived
	key, life := edgeKey{object: objectChinese}, e.sc.Edge.CatalogueLife
	switch {
	case r.step == booking.StepConfig:
		key, life = edgeKey{object: objectConfig}, e.sc.Edge.ConfigLife
		if d.onQuery {
			key.query = r.sent.Milliseconds()
		}
	case r.english:
		key.object = objectEnglish
	}
	n := d.entries[key]
	if n == nil {
		n = &copied{key: key, life: life}
		for len(d.entries) >= edgeEntries && len(d.order) > 0 {
			delete(d.entries, d.order[0])
			d.order = d.order[1:]
		}
		d.entries[key] = n
		d.changed++
		d.order = append(d.order, key)
	}
	age := now - n.storedAt
	switch {
	case n.has && age < n.life:
		d.hits++
		r.version = n.version
		e.answer(i, r, booking.OK, now)
		return
	case n.failing && now < n.retryAt && n.has && d.usable(n, now):
		d.stale++
		r.version = n.version
		e.answer(i, r, booking.OK, now)
		return
	}
	n.waiting = append(n.waiting, i)
	e.arm(i, r)
	if n.fetching {
		return
	}
	n.fetching = true
	f, q := e.take()
	q.exempt, q.step, q.copy, q.arrived, q.priority, q.units = true, r.step, n, now, 1, e.sc.Edge.OriginUnits
	if d.alone {
		e.fetchFailed(f, booking.Unknown)
		return
	}
	if q.units <= 0 {
		q.version = e.admission.now.Version
		e.fetched(f, q)
		return
	}
	if o := e.gateway.enter(f, q, now); o != booking.OK {
		e.fetchFailed(f, o)
	}
}

// usable reports whether a stale copy may stand in for a failing origin.
func (d *edge) usable(n *copied, now time.Duration) bool {
	return now-n.storedAt < n.life+d.staleFor
}

// fetched stores what the origin gave and answers those who wait.
func (e *evening) fetched(f uint32, q *request) {
	n, version := q.copy, q.version
	e.give(f)
	n.has, n.failing, n.version, n.storedAt = true, false, version, e.kernel.Now()
	e.release(n, func(uint32, *request) (booking.Outcome, bool) { return booking.OK, false })
}

// fetchFailed leaves the origin alone for a while and answers those who wait with
// the old copy, or with the origin's refusal.
func (e *evening) fetchFailed(f uint32, o booking.Outcome) {
	n, d, now := e.all[f].copy, &e.edge, e.kernel.Now()
	e.give(f)
	n.failing = true
	if n.has {
		n.retryAt = now + n.life/10
	} else {
		n.retryAt = now
		if d.entries[n.key] == n { // nothing worth an entry
			delete(d.entries, n.key)
			d.changed++
			d.order = slices.DeleteFunc(d.order, func(k edgeKey) bool { return k == n.key })
		}
	}
	stale := n.has && d.usable(n, now)
	e.release(n, func(uint32, *request) (booking.Outcome, bool) {
		if stale {
			return booking.OK, true
		}
		return o, false
	})
}

// release answers everybody who waits for a fetch, in the order of their visits.
func (e *evening) release(n *copied, what func(uint32, *request) (booking.Outcome, bool)) {
	waiting := n.waiting
	n.waiting, n.fetching = nil, false
	slices.SortFunc(waiting, func(a, b uint32) int {
		if e.all[a].visit < e.all[b].visit {
			return -1
		}
		return 1
	})
	now := e.kernel.Now()
	for _, i := range waiting {
		r := &e.all[i]
		o, stale := what(i, r)
		if stale {
			e.edge.stale++
		} else {
			e.edge.misses++
		}
		r.version = n.version
		e.answer(i, r, o, now)
	}
}
