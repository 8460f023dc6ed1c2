package reference

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/wire"
)

// target is a backend to be fuzzed: nothing in it waits.
func target(f *testing.F) *Stack {
	c := roomy()
	c.Phones, c.Secret = true, strings.Repeat("s", 32)
	c.Edge.CatalogueBytes = 100
	c.Stock.BatchMax, c.Stock.Linger = 1, 0
	c.Native = true
	return serve(f, c)
}

var requests = []string{
	"GET /config.json?t=1 HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"a\"\r\n\r\n",
	"HEAD /catalogue/zh.json HTTP/1.1\r\nHost: x\r\nRange: bytes=1-\r\n\r\n",
	"GET /v1/status HTTP/1.1\r\nHost: x\r\nSpillway-User: 7\r\nSpillway-Deadline-Ms: 1000\r\nSpillway-Attempt: 2\r\n\r\n",
	"POST /v1/bookings HTTP/1.1\r\nHost: x\r\nSpillway-User: 7\r\nIdempotency-Key: k\r\nContent-Length: 34\r\n\r\n{\"item\":0,\"phone\":\"+441234567890\"}",
	"POST /v1/entries HTTP/1.1\r\nHost: x\r\nSpillway-User: 7\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	"GET /v1/bookings/0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
	"PUT /v1/%62ookings/.. HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
}

// Any request that net/http lets through gets one answer of the contract: an
// outcome, the same in header and body, in few words.
func FuzzVisitors(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(r))
	}
	s := target(f)
	handler := s.doors[0].before(s.visitors)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		handler(w, r)
		if (r.URL.Path == wire.PathHealth || r.URL.Path == wire.PathReady) && w.Code == http.StatusOK {
			return
		}
		o, err := booking.ParseOutcome(w.Header().Get(wire.HeaderOutcome))
		if err != nil || o >= booking.Timeout || w.Code < 200 || w.Code > 599 {
			t.Fatalf("%q: %d, %v", raw, w.Code, err)
		}
		if w.Header().Get("Content-Type") != "application/json" || o == booking.OK {
			if o == booking.Invalid && (w.Code < 400 || w.Code > 499) {
				t.Fatalf("%q: invalid as %d", raw, w.Code)
			}
			return
		}
		var a wire.Answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Body.Len() > 300 || strings.Contains(a.Message, "\n") {
			t.Fatalf("%q: answered %q, %v", raw, w.Body, err)
		}
		if a.Outcome != o.String() && a.Outcome != "" { // a status says its state instead
			t.Fatalf("%q: header %v, body %q", raw, o, a.Outcome)
		}
		if (o == booking.Queued) != (r.Method == http.MethodPost && a.Ticket != "") {
			t.Fatalf("%q: %v with ticket %q", raw, o, a.Ticket)
		}
	})
}

// Any request for an entry of a lottery gets one answer of the contract, and whoever
// only has read it can still be read.
func FuzzEntries(f *testing.F) {
	c := lots()
	c.Stock.BatchMax, c.Stock.Linger = 1, 0
	s := serve(f, c)
	own := s.submitAs(f, 1, "own", 0).answer.Ticket
	until(f, "the ledger", func() bool { return s.entryOf(f, "GET", own, "").outcome == booking.Confirmed.String() })
	for _, x := range [][3]string{
		{"GET", own, ""}, {"PUT", own, `{"item":1,"other":true}`}, {"PUT", own, `{"item":1e309}`}, {"PUT", own, `{"item":1}{}`}, {"DELETE", "", ""},
		{"DELETE", strings.Repeat("0", 32), ""}, {"HEAD", own, ""}, {"PUT", "../" + own, `{}`}, {"PATCH", own, `{"item":-1}`},
	} {
		f.Add(x[0], x[1], []byte(x[2]))
	}
	handler := s.doors[0].before(s.visitors)
	f.Fuzz(func(t *testing.T, method, ticket string, body []byte) {
		if method == http.MethodDelete && ticket == own {
			return
		}
		r, err := http.NewRequest(method, "http://x"+wire.PathEntries+"/", bytes.NewReader(body))
		if err != nil {
			return
		}
		r.URL.Path += ticket
		w := httptest.NewRecorder()
		handler(w, r)
		o, err := booking.ParseOutcome(w.Header().Get(wire.HeaderOutcome))
		if err != nil || o >= booking.Timeout || w.Code < 200 || w.Code > 599 || o == booking.Invalid && (w.Code < 400 || w.Code > 499) {
			t.Fatalf("%s %q %q: %d, %v", method, ticket, body, w.Code, err)
		}
		var a wire.Answer
		if w.Header().Get("Content-Type") == "application/json" && (json.Unmarshal(w.Body.Bytes(), &a) != nil || w.Body.Len() > 600 ||
			strings.Contains(a.Message, "\n") || a.Outcome != o.String()) {
			t.Fatalf("%s %q %q: answered %q", method, ticket, body, w.Body)
		}
		w = httptest.NewRecorder()
		handler(w, httptest.NewRequest("GET", wire.PathEntries+"/"+own, nil))
		if json.Unmarshal(w.Body.Bytes(), &a) != nil || a.Entry == nil || a.Entry.Item < 0 || a.Entry.Item > 2 || a.Entry.State != "live" {
			t.Fatalf("after %s %q %q: %q", method, ticket, body, w.Body)
		}
	})
}

// Any call of the admin part, token in hand, is done or refused in one line.
func FuzzAdmin(f *testing.F) {
	for _, x := range [][2]string{
		{"POST " + wire.PathAdminStart, `{"unix_nano":1}`}, {"POST " + wire.PathAdminConfig, `{"probability":0.5,"gate":"coin","results":true,"kill":false}`},
		{"POST " + wire.PathAdminFaults, `{"kind":"instance-loss","for_ns":1,"amount":1}`}, {"POST " + wire.PathAdminFaults, `{"kind":"slow-store","for_ns":1,"amount":1e309}`},
		{"POST " + wire.PathAdminCheck, `{"kind":"cut","for_ns":1,"target":"gateway-redis"}`}, {"POST " + wire.PathAdminDrain + "?within=1ms", ""},
		{"GET " + wire.PathAdminSamples + "?since=-9223372036854775808", ""}, {"GET " + wire.PathMetrics, ""}, {"POST /admin/", "[]"},
	} {
		f.Add(x[0], []byte(x[1]))
	}
	s := target(f)
	handler := s.doors[1].before(s.adminHandler().ServeHTTP)
	f.Fuzz(func(t *testing.T, line string, body []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: x\r\n\r\n")))
		if err != nil {
			return
		}
		r.Header.Set("Authorization", "Bearer "+s.config.AdminToken)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		w := httptest.NewRecorder()
		handler(w, r)
		switch {
		case w.Code >= 500 && r.URL.Path != wire.PathReady, w.Code == http.StatusUnauthorized:
			t.Fatalf("%q %q: %d %s", line, body, w.Code, w.Body)
		case w.Code >= 400 && w.Body.Len() > 0 && (strings.Count(w.Body.String(), "\n") != 1 || w.Body.Len() > 400):
			t.Fatalf("%q %q: refused with %q", line, body, w.Body)
		}
		s.faults.end() // a fault that was begun must not slow the next call
		s.faults = newFaults(s)
	})
}

// Any bytes on a connection: what is answered is HTTP, the connection ends, and
// the next client is served.
func FuzzConnection(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(r))
	}
	f.Add([]byte("GET / HTTP/9.9\r\n\r\n"))
	f.Add([]byte("\x16\x03\x01\x00"))
	s := target(f)
	at := filepath.Join(f.TempDir(), "s") // no ports to run out of
	l, err := net.Listen("unix", at)
	if err != nil {
		f.Fatal(err)
	}
	d := &door{Listener: l, max: 4, counts: &s.abuses}
	srv := d.server(s.visitors)
	srv.ReadHeaderTimeout = time.Second
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(d) }()
	f.Cleanup(func() { _ = srv.Shutdown(context.Background()); <-done })
	send := func(t *testing.T, raw []byte) []byte {
		c, err := net.Dial("unix", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		go func() { // it may be answered before it has said all
			_, _ = c.Write(raw)
			_ = c.(*net.UnixConn).CloseWrite()
		}()
		b, err := io.ReadAll(c)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatalf("%q: the connection is held", raw)
		}
		return b
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b := send(t, raw); len(b) > 0 && !bytes.HasPrefix(b, []byte("HTTP/1.")) {
			t.Fatalf("%q: answered %q", raw, b)
		}
		if b := send(t, []byte("GET "+wire.PathHealth+" HTTP/1.1\r\nHost: x\r\n\r\n")); !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
			t.Fatalf("after %q nobody is served: %q", raw, b)
		}
	})
}

// Whatever members say of themselves becomes series on one beat, in order and
// within the time asked for.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"now_ns":3000000000,"series":{"ledger.written":[[0.1,3],[0.2,1]]},"marks":{"sold-out":2},"totals":{"x":1},"waited":{"ledger":[[1,0.5]]}}`),
		[]byte(`{"now_ns":3000000001,"series":{"ledger.written":[[-1e300,3],[1e300,1e308]],"queue.depth":[[2,2]]}}`), int64(0))
	f.Add([]byte(`{"now_ns":-9}`), []byte(`{"now_ns":9223372036854775807}`), int64(-1<<63))
	f.Add([]byte(`{"now_ns":1000000000000,"series":{"":[[-9e18,0]]}}`), []byte(`{}`), int64(1<<63-1))
	f.Fuzz(func(t *testing.T, a, b []byte, after int64) {
		var members []*member
		var heard []told
		for _, body := range [][]byte{a, b} {
			m := &member{series: map[string]*track{}}
			members = append(members, m)
			if said, err := decodeSamples(body); err == nil {
				heard = append(heard, told{m, said})
			}
		}
		if len(heard) == 0 {
			return
		}
		now := middle(heard)
		for name, points := range merge(members, heard, time.Duration(after), now).Series {
			for i, p := range points {
				if seconds(p[0]) > now || i > 0 && p[0] <= points[i-1][0] || len(points) > samplesMax+1 {
					t.Fatalf("%q: point %d of %d at %v, now %v", name, i, len(points), p[0], now)
				}
			}
		}
	})
}

// A crash point reads whole or not at all.
func FuzzParseCrash(f *testing.F) {
	f.Add(CrashPoints()[0])
	f.Add(CrashPoints()[0] + ":3")
	f.Add(":0")
	f.Fuzz(func(t *testing.T, s string) {
		point, passing, err := parseCrash(s)
		if err == nil && (passing < 1 || !strings.HasPrefix(s, point)) || err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("%q: %q, %d, %v", s, point, passing, err)
		}
	})
}

// A Redis URL makes a client or is refused, and what is shown of it has no password.
func FuzzRedisURL(f *testing.F) {
	for _, s := range []string{"redis://:secret@x:1/0", "rediss://u:p@x?addr=y:2", "unix://u@/s?db=1", "redis://%zz", "http://x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, _, err := redisClient(raw, nil)
		if err != nil {
			return
		}
		if err := c.Close(); err != nil { // it has dialled nobody
			t.Fatal(err)
		}
		if u, err := url.Parse(shownRedis(raw)); err == nil && u.User != nil {
			if _, has := u.User.Password(); has {
				t.Fatalf("%q is shown as %v", raw, u)
			}
		}
	})
}

// What passes is digits that pass again as the same number; an error repeats none.
func FuzzNormalPhone(f *testing.F) {
	for _, s := range []string{"13800138000", "+86 138-0013-8000", "0044 (20) 7946.0958", "+", "00", "+0", "１３８00138000", strings.Repeat("1", 41)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := normalPhone(text)
		if err != nil {
			if n != "" || err != errPhone {
				t.Fatalf("%q: %q, %v", text, n, err)
			}
			return
		}
		if !digits(n) || len(n) < phoneDigitsMin || len(n) > phoneDigitsMax {
			t.Fatalf("%q passed as %q", text, n)
		}
		if again, err := normalPhone("+" + n); err != nil || again != n {
			t.Fatalf("%q is %q, then %q, %v", text, n, again, err)
		}
	})
}
