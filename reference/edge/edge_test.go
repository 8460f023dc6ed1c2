package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/wire"
)

// origin is an origin whose objects, speed and health a test sets.
type origin struct {
	mu      sync.Mutex
	version int
	takes   time.Duration
	err     error
	calls   atomic.Int64
}

func (o *origin) Fetch(_ context.Context, path string) (Object, error) {
	o.calls.Add(1)
	time.Sleep(o.takes)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return Object{}, o.err
	}
	if path == "/none" {
		return Object{}, NotFound
	}
	life := 60 * time.Second
	if strings.Contains(path, "en") {
		life = 90 * time.Second
	}
	body := fmt.Appendf(nil, "%s version %d", path, o.version)
	return Object{Body: body, ETag: Tag(body), Life: life, ClientLife: 10 * time.Minute}, nil
}

func (o *origin) set(version int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.version, o.err = version, err
}

func get(e *Edge, url string, pairs ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", url, nil)
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Header.Set(pairs[i], pairs[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// bubble runs a test in virtual time, in which every moment is exact.
func bubble(t *testing.T, o Options, f func(t *testing.T, e *Edge, from *origin)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		from := &origin{version: 1}
		o.Clock, o.Origin = clock.NewWall(), from
		e := New(o)
		defer e.Close()
		f(t, e, from)
	})
}

func check(t *testing.T, w *httptest.ResponseRecorder, how, age, body string) {
	t.Helper()
	if got := w.Header(); got.Get(wire.HeaderCache) != how || got.Get("Age") != age || w.Body.String() != body ||
		got.Get(wire.HeaderOutcome) != booking.OK.String() {
		t.Errorf("got %s, age %q, %q; want %s, age %q, %q", got.Get(wire.HeaderCache), got.Get("Age"), w.Body, how, age, body)
	}
}

// The two languages have lives of their own, so after an update they disagree
// for a while: what users of the original saw.
func TestLives(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, e *Edge, from *origin) {
		check(t, get(e, "/zh"), "miss", "0", "/zh version 1")
		check(t, get(e, "/en"), "miss", "0", "/en version 1")
		from.set(2, nil)
		time.Sleep(60*time.Second - 1)
		check(t, get(e, "/zh?x=1"), "hit", "59", "/zh version 1")
		time.Sleep(time.Nanosecond)
		check(t, get(e, "/zh"), "miss", "0", "/zh version 2")
		check(t, get(e, "/en"), "hit", "60", "/en version 1")
		time.Sleep(30 * time.Second)
		check(t, get(e, "/en"), "miss", "0", "/en version 2")
		w := get(e, "/en")
		if cc := w.Header().Get("Cache-Control"); cc != "public, max-age=600, s-maxage=90" {
			t.Errorf("Cache-Control %q", cc)
		}
		e.Purge()
		check(t, get(e, "/en"), "miss", "0", "/en version 2")
		if s := e.Stats(); s.Hits != 3 || s.Misses != 5 || s.Fetches != 5 {
			t.Errorf("%+v", s)
		}
	})
}

func TestValidators(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, e *Edge, _ *origin) {
		tag := get(e, "/zh").Header().Get("ETag")
		for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			w := get(e, "/zh", "If-None-Match", match)
			if w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
				t.Errorf("If-None-Match %s: %d, %d bytes", match, w.Code, w.Body.Len())
			}
		}
		if w := get(e, "/zh", "If-None-Match", `"x"`); w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("another tag: %d", w.Code)
		}
		r := httptest.NewRecorder()
		e.ServeHTTP(r, httptest.NewRequest(http.MethodHead, "/zh", nil))
		if r.Body.Len() != 0 || r.Header().Get("Content-Length") != "13" {
			t.Errorf("HEAD: %d bytes, length %s", r.Body.Len(), r.Header().Get("Content-Length"))
		}
	})
}

func TestMissesAreCoalesced(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, e *Edge, from *origin) {
		from.takes = 200 * time.Millisecond
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				check(t, get(e, "/zh"), "miss", "0", "/zh version 1")
			})
		}
		// A client that leaves does not take the fetch with it.
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/zh", nil))
		})
		wg.Wait()
		if s := e.Stats(); from.calls.Load() != 1 || s.Coalesced != 100 {
			t.Errorf("%d fetches for 101 misses at once, %d coalesced", from.calls.Load(), s.Coalesced)
		}
	})
}

func TestChangingQueryDefeatsURLKey(t *testing.T) {
	bubble(t, Options{KeyOnQuery: true, Entries: 10}, func(t *testing.T, e *Edge, from *origin) {
		for i := range 50 {
			check(t, get(e, fmt.Sprint("/zh?t=", i)), "miss", "0", "/zh version 1")
		}
		check(t, get(e, "/zh?t=49"), "hit", "0", "/zh version 1")
		if s := e.Stats(); s.Entries != 10 || from.calls.Load() != 50 {
			t.Errorf("%d entries, %d fetches; want 10 and 50", s.Entries, from.calls.Load())
		}
		check(t, get(e, "/zh?t=0"), "miss", "0", "/zh version 1") // long out
	})
}

func TestStaleWhileTheOriginFails(t *testing.T) {
	bubble(t, Options{StaleFor: 5 * time.Minute}, func(t *testing.T, e *Edge, from *origin) {
		get(e, "/zh")
		from.set(2, &Refusal{Outcome: booking.Shed, RetryAfter: 3 * time.Second})
		time.Sleep(60 * time.Second)
		check(t, get(e, "/zh"), "stale", "60", "/zh version 1")
		// The origin is left alone for a tenth of the life.
		for range 20 {
			check(t, get(e, "/zh"), "stale", "60", "/zh version 1")
		}
		if n := from.calls.Load(); n != 2 {
			t.Errorf("a failing origin was asked %d times, want once", n-1)
		}
		time.Sleep(6 * time.Second)
		check(t, get(e, "/zh"), "stale", "66", "/zh version 1")
		if n := from.calls.Load(); n != 3 {
			t.Errorf("%d fetches after the pause, want 3", n)
		}
		time.Sleep(5 * time.Minute)
		w := get(e, "/zh")
		if w.Code != 503 || w.Header().Get(wire.HeaderOutcome) != "shed" || w.Header().Get("Retry-After") != "3" {
			t.Errorf("past the bound: %d %v", w.Code, w.Header())
		}
		w = get(e, "/fr")
		if w.Code != 503 || w.Header().Get(wire.HeaderCache) != "miss" {
			t.Errorf("with no copy: %d", w.Code)
		}
		from.set(2, nil)
		time.Sleep(6 * time.Second)
		check(t, get(e, "/zh"), "miss", "0", "/zh version 2")
		if w := get(e, "/none"); w.Code != 404 || w.Header().Get(wire.HeaderOutcome) != "invalid" {
			t.Errorf("a path that is not there: %d", w.Code)
		}
		from.set(2, errors.New("broken"))
		if w := get(e, "/other"); w.Header().Get(wire.HeaderOutcome) != "unknown" || strings.Contains(w.Body.String(), "broken") {
			t.Errorf("an origin's error: %v %q", w.Header(), w.Body)
		}
		if s := e.Stats(); s.Entries != 1 {
			t.Errorf("%d entries, want only the one that holds something", s.Entries)
		}
	})
}

// A copy fetched before a purge and arriving after it is not kept.
func TestPurgeDuringFetch(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, e *Edge, from *origin) {
		from.takes = time.Second
		var wg sync.WaitGroup
		wg.Go(func() { get(e, "/zh") })
		time.Sleep(500 * time.Millisecond)
		e.Purge()
		wg.Wait()
		check(t, get(e, "/zh"), "miss", "0", "/zh version 1")
	})
}
