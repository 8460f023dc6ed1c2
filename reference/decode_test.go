package reference

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"spillway/internal/fault"
	"spillway/internal/wire"
)

func FuzzDecodeSubmit(f *testing.F) {
	for _, s := range []string{`{"item":0}`, `{"item":1,"epoch":-5,"other":true}`, `{}`, `[]`, ``, `{"item":1e99}`, `{"item":0}x`, `{"item":null}`, "{\"item\":0,\"\x00\":1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSubmit(b, 7)
		switch {
		case err == nil && (s.Item < 0 || s.Item >= 7):
			t.Errorf("%q: item %d passed", b, s.Item)
		case err != nil && (strings.ContainsAny(err.Error(), "\n") || len(err.Error()) > 200):
			t.Errorf("%q: error %q is not one short line", b, err)
		}
	})
}

func FuzzDecodeHeaders(f *testing.F) {
	f.Add("1", "15000", "1", "key")
	f.Add("18446744073709551615", "1", "65536", strings.Repeat("~", 64))
	f.Add("-1", "+5", "0", " ")
	f.Add("", "9223372036854775808", "x", "\x7f")
	f.Fuzz(func(t *testing.T, user, deadline, attempt, key string) {
		h := http.Header{}
		h.Set(wire.HeaderUser, user)
		h.Set(wire.HeaderDeadline, deadline)
		h.Set(wire.HeaderAttempt, attempt)
		h.Set(wire.HeaderKey, key)
		q, err := decodeHeaders(h)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n") || len(err.Error()) > 200 {
				t.Errorf("error %q is not one short line", err)
			}
			return
		}
		n, perr := strconv.ParseUint(user, 10, 64)
		if perr != nil || uint64(q.user) != n || q.patient < time.Millisecond || q.patient > patienceMax ||
			q.attempt < 1 || q.attempt > attemptMax || q.key != key || len(key) < 1 || len(key) > keyMax {
			t.Errorf("%q %q %q %q passed as %+v", user, deadline, attempt, key, q)
		}
	})
}

// discard is a reply that nobody reads.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// One submit through all layers in process, 32 at a time: decoding, station,
// script on the embedded Redis, queue. HTTP itself and the writer are not in it.
func BenchmarkSubmit(b *testing.B) {
	c := sale()
	c.Stock.Items, c.Queue.Depth, c.Gateway.Capacity = []int{1e9}, 0, 1e6
	c.Stock.BatchMax = 64
	s, err := Open(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx) // what it queued is not worth writing
	})
	if err := s.faults.begin(wire.Fault{Kind: fault.WriterStop, For: time.Hour}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			n := strconv.FormatUint(s.turn.Add(1), 10)
			r, _ := http.NewRequestWithContext(context.Background(), "POST", wire.PathBookings, strings.NewReader(`{"item":0}`))
			r.Header.Set(wire.HeaderUser, n)
			r.Header.Set(wire.HeaderKey, n)
			s.visitors(discard{http.Header{}}, r)
		}
	})
}

// A status call in process: what a flash crowd mostly is.
func BenchmarkStatus(b *testing.B) {
	c := sale()
	c.Native = true
	c.Stock.ClosedLife = time.Second
	s := serve(b, c)
	b.ReportAllocs()
	for b.Loop() {
		r := &http.Request{Method: "GET", URL: statusURL, Header: http.Header{wire.HeaderUser: {"7"}}}
		s.visitors(discard{http.Header{}}, r)
	}
}

var statusURL = &url.URL{Path: wire.PathStatus}
