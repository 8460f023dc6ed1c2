package edge

import (
	"context"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/wire"
)

// Object is one static file as the origin has it.
type Object struct {
	Body       []byte
	ETag       string        // quoted; Tag makes one
	Life       time.Duration // at the edge
	ClientLife time.Duration // in the client; 0 = it must ask again
}

// Origin fetches an object. It fails with a *Refusal when the origin said no.
// The context lives as long as the edge, not as one client.
type Origin interface {
	Fetch(ctx context.Context, path string) (Object, error)
}

// Refusal is an origin's no.
type Refusal struct {
	Outcome    booking.Outcome
	RetryAfter time.Duration
}

// Error implements error.
func (r *Refusal) Error() string { return "the origin answered " + r.Outcome.String() }

// NotFound is the origin's answer for a path that it does not have.
var NotFound = &Refusal{Outcome: booking.Invalid}

// Tag is the entity tag of a body.
func Tag(body []byte) string {
	h := fnv.New64a()
	_, _ = h.Write(body) // a hash never fails
	return `"` + strconv.FormatUint(h.Sum64(), 16) + `"`
}

// Options set an edge.
type Options struct {
	Clock      clock.Clock
	Origin     Origin
	KeyOnQuery bool          // the cache key is the whole URL
	StaleFor   time.Duration // how long past its life a copy may answer while the origin fails; 0 = never
	Entries    int           // bound of the cache; 0 = 4096
}

// Stats are totals since the start.
type Stats struct {
	Hits, Misses, Stale uint64 // replies, by how they were answered
	Fetches, Failures   uint64 // calls of the origin, and how many of them failed
	Coalesced           uint64 // misses that waited for another's fetch
	NotModified         uint64 // replies of 304
	Entries             int
}

// Edge is the cache. It is an http.Handler for the config and the catalogues.
type Edge struct {
	o      Options
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	entries map[string]*entry
	order   []string // keys, oldest first, for the bound
	gen     uint64   // counts purges: a fetch begun before one is not stored

	hits, misses, stale, fetches, failures, coalesced, notModified atomic.Uint64
}

var _ http.Handler = (*Edge)(nil)

type entry struct {
	object   Object
	has      bool
	storedAt time.Duration
	retryAt  time.Duration // the origin failed: leave it alone until then
	failing  bool
	fetch    *fetch // under way
}

// fetch is one call of the origin, shared by all who wait for it.
type fetch struct {
	done   chan struct{}
	object Object
	err    error
}

// New makes an empty edge.
func New(o Options) *Edge {
	if o.Entries <= 0 {
		o.Entries = 4096
	}
	e := &Edge{o: o, entries: map[string]*entry{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Close ends the fetches under way.
func (e *Edge) Close() { e.cancel() }

// Purge forgets every copy.
func (e *Edge) Purge() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.entries, e.order = map[string]*entry{}, nil
	e.gen++
}

// Stats reads the totals.
func (e *Edge) Stats() Stats {
	e.mu.Lock()
	n := len(e.entries)
	e.mu.Unlock()
	return Stats{Hits: e.hits.Load(), Misses: e.misses.Load(), Stale: e.stale.Load(), Fetches: e.fetches.Load(),
		Failures: e.failures.Load(), Coalesced: e.coalesced.Load(), NotModified: e.notModified.Load(), Entries: n}
}

// ServeHTTP answers one GET or HEAD.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	key := path
	if e.o.KeyOnQuery && r.URL.RawQuery != "" {
		key += "?" + r.URL.RawQuery
	}
	object, age, how, err := e.get(r.Context(), key, path)
	if err != nil {
		refusal, ok := err.(*Refusal)
		if !ok {
			refusal = &Refusal{Outcome: booking.Unknown}
		}
		w.Header().Set(wire.HeaderCache, how)
		if refusal == NotFound {
			w.Header().Set(wire.HeaderOutcome, booking.Invalid.String())
			w.WriteHeader(http.StatusNotFound)
			return
		}
		wire.Reply(w, refusal.Outcome, refusal.RetryAfter, false, nil)
		return
	}
	w.Header().Set(wire.HeaderCache, how)
	w.Header().Set("Age", strconv.FormatInt(int64(age/time.Second), 10))
	if Write(w, r, object) {
		e.notModified.Add(1)
	}
}

// Write answers with an object, or with 304 when the client's validator still
// matches; it reports which. The edge uses it, and a gateway without an edge.
func Write(w http.ResponseWriter, r *http.Request, o Object) (notModified bool) {
	h := w.Header()
	h.Set(wire.HeaderOutcome, booking.OK.String())
	h.Set("ETag", o.ETag)
	h.Set("Cache-Control", "public, max-age="+wholeSeconds(o.ClientLife)+", s-maxage="+wholeSeconds(o.Life))
	if matches(r.Header.Get("If-None-Match"), o.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(o.Body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(o.Body) // the client may be gone
	}
	return false
}

// matches is the weak comparison of If-None-Match (RFC 9110 section 13.1.2).
func matches(header, etag string) bool {
	if header == "" {
		return false
	}
	for len(header) > 0 {
		var one string
		one, header, _ = strings.Cut(header, ",")
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// get answers from the cache or by one fetch from the origin.
func (e *Edge) get(ctx context.Context, key, path string) (o Object, age time.Duration, how string, err error) {
	e.mu.Lock()
	now := e.o.Clock.Now()
	n := e.entries[key]
	if n == nil {
		n = &entry{}
		e.store(key, n)
	}
	age = now - n.storedAt
	if n.has && age < n.object.Life {
		o = n.object
		e.mu.Unlock()
		e.hits.Add(1)
		return o, age, "hit", nil
	}
	if n.failing && now < n.retryAt && n.has && e.usable(n, now) {
		o = n.object
		e.mu.Unlock()
		e.stale.Add(1)
		return o, age, "stale", nil
	}
	f, mine := n.fetch, false
	if f == nil {
		f, mine = &fetch{done: make(chan struct{})}, true
		n.fetch = f
	}
	gen := e.gen
	e.mu.Unlock()

	if mine {
		// In a goroutine of its own: a client that leaves must not take the
		// fetch away from those who wait for it.
		go e.fetch(key, path, n, f, gen)
	} else {
		e.coalesced.Add(1)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		e.misses.Add(1)
		return Object{}, 0, "miss", &Refusal{Outcome: booking.Expired}
	}
	if f.err == nil {
		e.misses.Add(1)
		return f.object, 0, "miss", nil
	}
	e.mu.Lock()
	now = e.o.Clock.Now()
	if n.has && e.usable(n, now) && f.err != error(NotFound) {
		o, age = n.object, now-n.storedAt
		e.mu.Unlock()
		e.stale.Add(1)
		return o, age, "stale", nil
	}
	e.mu.Unlock()
	e.misses.Add(1)
	return Object{}, 0, "miss", f.err
}

// usable reports whether a stale copy may stand in for a failing origin.
func (e *Edge) usable(n *entry, now time.Duration) bool {
	return now-n.storedAt < n.object.Life+e.o.StaleFor
}

func (e *Edge) fetch(key, path string, n *entry, f *fetch, gen uint64) {
	e.fetches.Add(1)
	f.object, f.err = e.o.Origin.Fetch(e.ctx, path)
	e.mu.Lock()
	now := e.o.Clock.Now()
	n.fetch = nil
	switch {
	case f.err == nil && gen == e.gen:
		n.object, n.has, n.storedAt, n.failing = f.object, true, now, false
	case f.err != nil:
		e.failures.Add(1)
		n.failing, n.retryAt = true, now+n.object.Life/10
		if !n.has && e.entries[key] == n {
			e.forget(key) // nothing worth an entry
		}
	}
	e.mu.Unlock()
	close(f.done)
}

// store adds an entry and keeps the bound.
func (e *Edge) store(key string, n *entry) {
	for len(e.entries) >= e.o.Entries && len(e.order) > 0 {
		delete(e.entries, e.order[0])
		e.order = e.order[1:]
	}
	e.entries[key] = n
	e.order = append(e.order, key)
}

// forget removes an entry that holds nothing. Its place in the order is a linear
// search, but only failures come here.
func (e *Edge) forget(key string) {
	delete(e.entries, key)
	for i, k := range e.order {
		if k == key {
			e.order = append(e.order[:i], e.order[i+1:]...)
			return
		}
	}
}
