package reference

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/wire"
)

// Hostile clients, each kind by itself and all at once, against listeners of the
// real thing: each is refused or harmless, and counted by its kind.

// dial opens a bare connection to an address of the form http://HOST:PORT.
func dial(t testing.TB, url string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// talk sends raw bytes, ends its side and reads what comes until the server hangs up.
func talk(t testing.TB, url, raw string) string {
	t.Helper()
	c := dial(t, url)
	_, _ = io.WriteString(c, raw) // the server may hang up in the middle
	_ = c.(*net.TCPConn).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the server holds the connection after %.60q", raw)
	}
	return string(b)
}

// statuses are the status codes of the answers in a raw stream, in order.
func statuses(stream string) (codes []int) {
	r := bufio.NewReader(strings.NewReader(stream))
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return codes
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		codes = append(codes, resp.StatusCode)
	}
}

// refusedClients reads the counter from /metrics, by kind.
func (s *Stack) refusedClients(t testing.TB) map[string]int {
	t.Helper()
	out := map[string]int{}
	for line := range strings.Lines(call(t, "GET", s.ready.AdminURL+wire.PathMetrics, "").body) {
		if rest, ok := strings.CutPrefix(line, `spillway_front_refused_total{kind="`); ok {
			kind, n, _ := strings.Cut(rest, `"} `)
			v, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
			if err != nil {
				t.Fatal(line, err)
			}
			out[kind] = int(v)
		}
	}
	if len(out) != int(abuses) {
		t.Fatalf("%d kinds in /metrics, want %d", len(out), abuses)
	}
	return out
}

func (s *Stack) wantRefused(t testing.TB, kind abuse, n int) {
	t.Helper()
	if got := s.refusedClients(t)[abuseNames[kind]]; got != n {
		t.Errorf("%s: %d counted, want %d", abuseNames[kind], got, n)
	}
}

// polite submits one booking for each user from first on, over connections of its
// own, at a time as many as said. It reports how many were accepted, and the
// slowest.
func (s *Stack) polite(t testing.TB, first, users, at int) (accepted int, slowest time.Duration) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: at}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	var ok atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range at {
		wg.Go(func() {
			for user := first + i; user < first+users; user += at {
				begun := time.Now()
				body := strings.NewReader(`{"item":0}`)
				r, err := http.NewRequest("POST", s.ready.URL+wire.PathBookings, body)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set(wire.HeaderUser, strconv.Itoa(user))
				r.Header.Set(wire.HeaderKey, "polite-"+strconv.Itoa(user))
				resp, err := client.Do(r)
				if err != nil {
					t.Errorf("polite user %d: %v", user, err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.Header.Get(wire.HeaderOutcome) == booking.Queued.String() {
					ok.Add(1)
				}
				mu.Lock()
				slowest = max(slowest, time.Since(begun))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return int(ok.Load()), slowest
}

// roomy has stock for everybody who is polite.
func roomy() Config {
	c := sale()
	c.Stock.Items, c.Queue.Depth = []int{100_000, 5}, 0
	return c
}

// 520 clients hang in every way there is; those who behave are served all the
// same, and nothing stays behind.
func TestClientsThatHang(t *testing.T) {
	c := roomy()
	c.Edge.CatalogueBytes = 1 << 20
	s := serve(t, c)
	const users, at = 1000, 8
	if n, _ := s.polite(t, 0, users, at); n != users {
		t.Fatalf("%d of %d accepted on the quiet backend", n, users)
	}
	http.DefaultClient.CloseIdleConnections()
	until(t, "a quiet backend", func() bool { return s.doors[0].connections() == 0 })
	before := runtime.NumGoroutine()

	const each, readers = 125, 20
	submit := "POST " + wire.PathBookings + " HTTP/1.1\r\nHost: x\r\n" + wire.HeaderUser + ": 7\r\n" + wire.HeaderKey + ": k\r\nContent-Length: 4000\r\n\r\n"
	open := make([]net.Conn, 0, 4*each+readers)
	hang := func(n int, begin string) []net.Conn {
		from := len(open)
		for range n {
			c := dial(t, s.ready.URL)
			if _, err := io.WriteString(c, begin); err != nil {
				t.Fatal(err)
			}
			open = append(open, c)
		}
		return open[from:]
	}
	hang(each, "")                                                // half-open: says nothing
	gone := hang(each, "GET "+wire.PathStatus)                    // and half of these vanish in the middle
	headers := hang(each, "GET "+wire.PathStatus+" HTTP/1.1\r\n") // trickled below
	bodies := hang(each, submit)                                  // as these
	greedy := strings.Repeat("GET "+wire.PathCatalogue+"zh.json HTTP/1.1\r\nHost: x\r\n\r\n", 64)
	hang(readers, greedy) // 64 MiB asked for and not taken
	for _, c := range gone[:each/2] {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset
		_ = c.Close()
	}
	stop := make(chan struct{})
	var trickling sync.WaitGroup
	trickling.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for _, c := range headers {
				_, _ = io.WriteString(c, "X-A: b\r\n") // until it is cut off
			}
			for _, c := range bodies {
				_, _ = io.WriteString(c, " ")
			}
		}
	})

	until(t, "all to hang", func() bool { return s.doors[0].connections() >= 4*each+readers-each/2 })
	held := s.doors[0].connections()
	n, slowest := s.polite(t, users, users, at)
	t.Logf("%d of %d polite submits accepted beside %d connections at first and %d at last, the slowest after %v",
		n, users, held, s.doors[0].connections(), slowest)
	if n != users {
		t.Errorf("%d of %d polite submits accepted", n, users)
	}

	late := time.Now().Add(40 * time.Second)
	for s.doors[0].connections() > 0 && time.Now().Before(late) {
		time.Sleep(50 * time.Millisecond)
	}
	close(stop)
	trickling.Wait()
	got := s.refusedClients(t)
	for kind, want := range map[abuse]int{abuseSilent: each, abuseSlowHeader: 2*each - each/2, abuseSlowBody: each, abuseSlowReader: readers} {
		if got[abuseNames[kind]] != want {
			t.Errorf("%s: %d counted, want %d", abuseNames[kind], got[abuseNames[kind]], want)
		}
	}
	if got["malformed"] > each/2 { // half a line and gone; a reset may overtake it
		t.Errorf("malformed: %d counted, want at most %d", got["malformed"], each/2)
	}
	http.DefaultClient.CloseIdleConnections()
	until(t, "the goroutines of before", func() bool { return runtime.NumGoroutine() <= before+4 })
}

// More connections than there is room for: the ones that have been idle longest
// make room, and nobody who behaves notices.
func TestConnectionsAreBounded(t *testing.T) {
	c := roomy()
	c.Connections = 64
	s := serve(t, c)
	var most atomic.Int64
	stop := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			c := dial(t, s.ready.URL)
			_, _ = io.WriteString(c, "GET /")
			most.Store(max(most.Load(), int64(s.doors[0].connections())))
			time.Sleep(time.Millisecond)
		}
	})
	until(t, "a full house", func() bool { return s.refusedClients(t)["connections"] > 0 })
	n, slowest := s.polite(t, 0, 500, 4)
	close(stop)
	flood.Wait()
	t.Logf("%d of 500 accepted, the slowest after %v; %d connections cut", n, slowest, s.refusedClients(t)["connections"])
	if n != 500 || most.Load() > 64 {
		t.Errorf("%d of 500 accepted, %d connections at once, want at most 64", n, most.Load())
	}
}

// What a kept connection that asks nothing holds, the client's few bytes included.
func BenchmarkIdleConnection(b *testing.B) {
	c := sale()
	c.Native = true
	s := serve(b, c)
	held := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapInuse + m.StackInuse)
	}
	const n = 1000
	for b.Loop() {
		before := held()
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = dial(b, s.ready.URL)
			_, _ = io.WriteString(conns[i], "GET "+wire.PathHealth+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := conns[i].Read(make([]byte, 256)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((held()-before)/n, "B/connection")
		for _, c := range conns {
			_ = c.Close()
		}
		until(b, "an empty house", func() bool { return s.doors[0].connections() == 0 })
	}
}

// What the door costs a request on a kept connection.
func BenchmarkDoor(b *testing.B) {
	answer := func(w http.ResponseWriter, _ *http.Request) {
		wire.Reply(w, booking.Open, 0, false, wire.Status{State: "preorder"})
	}
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint("door=", with), func(b *testing.B) {
			var l net.Listener
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout}
			if with {
				d := &door{Listener: l, max: 10, counts: new(abuseCounts)}
				srv, l = d.server(answer), d
			}
			done := make(chan struct{})
			go func() { defer close(done); _ = srv.Serve(l) }()
			c := dial(b, "http://"+l.Addr().String())
			r := bufio.NewReader(c)
			for b.Loop() {
				_, _ = io.WriteString(c, "GET "+wire.PathStatus+" HTTP/1.1\r\nHost: x\r\n\r\n")
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			_ = c.Close()
			_ = srv.Close()
			<-done
		})
	}
}

// When every connection has a request in hand the newcomer is turned away.
func TestFullHouseTurnsAway(t *testing.T) {
	c := tight()
	c.Connections, c.Gateway.Room = 2, 1000
	s := serve(t, c)
	var conns []net.Conn
	for range 2 {
		c := dial(t, s.ready.URL)
		for range 10 { // a second of work each, all pipelined
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", wire.PathStatus)
		}
		conns = append(conns, c)
	}
	until(t, "two requests in hand", func() bool { st, _, _ := s.station.State(); return st.Inside == 2 })
	if got := talk(t, s.ready.URL, "GET "+wire.PathStatus+" HTTP/1.1\r\nHost: x\r\n\r\n"); got != "" {
		t.Errorf("the third was answered: %.80q", got)
	}
	s.wantRefused(t, abuseConnections, 1)
	if b, err := http.ReadResponse(bufio.NewReader(conns[0]), nil); err != nil || b.StatusCode != 200 {
		t.Errorf("the first was not served: %v", err)
	} else {
		_ = b.Body.Close()
	}
}

// The files that a process may open bound the connections that it may promise.
func TestConnectionsWithinFiles(t *testing.T) {
	c := sale()
	c.Connections = files()
	if files() > 1<<30 {
		t.Skip("this machine sets no limit")
	}
	s, err := Open(context.Background(), c)
	if err == nil {
		_ = s.Close(context.Background())
		t.Fatal("as many connections as files were promised")
	}
	if !strings.Contains(err.Error(), "connections:") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

func post(user int, key, body string, more ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n%s: %d\r\n%s: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		wire.PathBookings, wire.HeaderUser, user, wire.HeaderKey, key, strings.Join(more, ""), len(body), body)
}

// What is not HTTP, or not ours.
func TestMalformedIsCounted(t *testing.T) {
	s := serve(t, sale())
	get := "GET " + wire.PathStatus + " HTTP/1.1\r\nHost: x\r\n"
	for _, x := range []struct {
		name, raw string
		code      int
		kind      abuse
	}{
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, abuseMalformed},
		{"words", "let me in\r\n\r\n", 400, abuseMalformed},
		{"version", "GET / HTTP/9.9\r\n\r\n", 505, abuseMalformed},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400, abuseMalformed},
		{"two hosts", get + "Host: y\r\n\r\n", 400, abuseMalformed},
		{"space in a name", get + "X : y\r\n\r\n", 400, abuseMalformed},
		{"NUL in a value", get + "X: \x00\r\n\r\n", 400, abuseMalformed},
		{"bad escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, abuseMalformed},
		{"expectation", post(1, "k", "{}", "Expect: the-moon\r\n"), 417, abuseMalformed},
		{"large header", get + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431, abuseLargeHeader},
		{"many headers", get + strings.Repeat("X: y\r\n", 5000) + "\r\n", 431, abuseLargeHeader},
		{"long path", "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, abuseLargeHeader},
		{"long query", "GET " + wire.PathConfig + "?" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, abuseLargeHeader},
		{"unknown method", "BREW " + wire.PathStatus + " HTTP/1.1\r\nHost: x\r\n\r\n", 405, abuseMethod},
		{"whole server", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, abusePath},
		{"tunnel", "CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n", 404, abusePath},
		{"climbing", "GET /v1/../admin/samples HTTP/1.1\r\nHost: x\r\n\r\n", 404, abusePath},
		{"another's name", "GET http://admin/admin/samples HTTP/1.1\r\nHost: x\r\n\r\n", 404, abusePath},
		{"large body", post(1, "k", `{"item":0`+strings.Repeat(" ", 64<<10)+`}`), 400, abuseLargeBody},
		{"a lie about the length", post(1, "k", "", "Content-Length: 99999999999\r\n"), 400, abuseMalformed},
		{"deep nesting", post(1, "k", `{"item":`+strings.Repeat("[", 4000)), 400, abuseMalformed},
		{"deep objects", post(1, "k", strings.Repeat(`{"item":`, 400)), 400, abuseMalformed},
		{"not a number", post(1, "k", `{"item":NaN}`), 400, abuseMalformed},
		{"huge", post(1, "k", `{"item":1e999}`), 400, abuseMalformed},
		{"huge whole", post(1, "k", `{"item":`+strings.Repeat("9", 3000)+`}`), 400, abuseMalformed},
		{"a half", post(1, "k", `{"item":0.5}`), 400, abuseMalformed},
		{"negative", post(1, "k", `{"item":-1}`), 400, abuseMalformed},
		{"huge epoch", post(1, "k", `{"item":0,"epoch":9223372036854775808}`), 400, abuseMalformed},
		{"wrong UTF-8", post(1, "k", "{\"it\xff\xfeem\":0}"), 400, abuseMalformed},
		{"a phone nobody asked for", post(1, "k", `{"item":0,"phone":"13800138000"}`), 400, abuseMalformed},
		{"a ticket of other letters", "GET " + wire.PathBookings + "/" + strings.Repeat("A", 32) + " HTTP/1.1\r\nHost: x\r\n\r\n", 400, abuseMalformed},
		{"the first of all", "GET " + wire.PathBookings + "/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, abuseMalformed},
	} {
		before := s.refusedClients(t)
		codes := statuses(talk(t, s.ready.URL, x.raw))
		if len(codes) != 1 || codes[0] != x.code {
			t.Errorf("%s: answered %v, want %d", x.name, codes, x.code)
		}
		until(t, x.name+" to be counted", func() bool { return s.refusedClients(t)[abuseNames[x.kind]] == before[abuseNames[x.kind]]+1 })
		for kind, n := range s.refusedClients(t) {
			if kind != abuseNames[x.kind] && n != before[kind] {
				t.Errorf("%s: counted as %s too", x.name, kind)
			}
		}
	}
	if n := s.store.Stats().Submits; n != 0 {
		t.Errorf("%d of them reached stock", n)
	}
}

// Requests whose end a proxy in front could see elsewhere than we: what is hidden
// in them is never served, and the connection ends.
func TestSmuggling(t *testing.T) {
	s := serve(t, sale())
	hidden := post(66, "smuggled", `{"item":0}`)
	head := "POST " + wire.PathBookings + " HTTP/1.1\r\nHost: x\r\n" + wire.HeaderUser + ": 1\r\n" + wire.HeaderKey + ": k\r\n"
	chunked := "Transfer-Encoding: chunked\r\n"
	for name, x := range map[string]struct {
		raw  string
		code int
	}{
		"length and chunks":        {head + "Content-Length: " + strconv.Itoa(5+len(hidden)) + "\r\n" + chunked + "\r\n0\r\n\r\n" + hidden, 411},
		"chunks and length":        {head + chunked + "Content-Length: 4\r\n\r\n5c\r\n" + hidden + "\r\n0\r\n\r\n", 411},
		"chunks":                   {head + chunked + "\r\n0\r\n\r\n" + hidden, 411},
		"chunks, bare line feed":   {head + chunked + "\r\n0\n\n" + hidden, 411},
		"chunks with an extension": {head + chunked + "\r\n0;x=\"\n\"\r\n\r\n" + hidden, 411},
		"two lengths":              {head + "Content-Length: 0\r\nContent-Length: " + strconv.Itoa(len(hidden)) + "\r\n\r\n" + hidden, 400},
		"a list of lengths":        {head + "Content-Length: 0, 0\r\n\r\n" + hidden, 400},
		"a signed length":          {head + "Content-Length: +0\r\n\r\n" + hidden, 400},
		"a length in hex":          {head + "Content-Length: 0x0\r\n\r\n" + hidden, 400},
		"a name with a space":      {head + "Content-Length : 0\r\n\r\n" + hidden, 400},
		"a folded name":            {head + "Transfer-Encoding\r\n : chunked\r\n\r\n" + hidden, 400},
		"an unknown coding":        {head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, 501},
		"two codings":              {head + chunked + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden, 501},
		"a tab before the coding":  {head + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + hidden, 400},
		"a body with a GET":        {"GET " + wire.PathStatus + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(hidden)) + "\r\n\r\n" + hidden, 400},
		"a body with a HEAD":       {"HEAD " + wire.PathConfig + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + hidden, 400},
		"a body that goes on":      {head + "Content-Length: 3\r\n\r\n{\"i" + "tem\":0}" + hidden, 400},
	} {
		codes := statuses(talk(t, s.ready.URL, x.raw))
		if len(codes) == 0 || codes[0] != x.code {
			t.Errorf("%s: answered %v, want first %d", name, codes, x.code)
		}
		for _, code := range codes {
			if code < 400 {
				t.Errorf("%s: answered %v", name, codes)
			}
		}
	}
	if n := s.store.Stats().Submits; n != 0 {
		t.Errorf("%d hidden submits reached stock", n)
	}
	if got := s.refusedClients(t); got["framing"] != 7 || got["malformed"] < 8 {
		t.Errorf("counted %v", got)
	}
	// Plain pipelining is no crime: both are served, in order.
	if codes := statuses(talk(t, s.ready.URL, post(1, "a", `{"item":0}`)+post(2, "b", `{"item":0}`))); len(codes) != 2 || codes[0] != 202 || codes[1] != 202 {
		t.Errorf("two submits in a row: %v", codes)
	}
}

// Another's idempotency key reveals nothing and takes nothing.
func TestAnothersKey(t *testing.T) {
	for _, phones := range []bool{false, true} {
		t.Run(fmt.Sprint("phones ", phones), func(t *testing.T) {
			c := sale()
			if phones {
				c.Phones, c.Secret = true, strings.Repeat("s", 32)
			}
			s := serve(t, c)
			submit := func(user int, phone string) reply {
				body := `{"item":0}`
				if phones {
					body = `{"item":0,"phone":"` + phone + `"}`
				}
				return call(t, "POST", s.ready.URL+wire.PathBookings, body, wire.HeaderUser, strconv.Itoa(user), wire.HeaderKey, "known")
			}
			mine := submit(1, "13800138000")
			want(t, "the owner", mine, booking.Queued)
			left, err := s.store.Free(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			theirs := submit(2, "13800138000") // with phones: the number is known too
			refusal := booking.Invalid
			if phones {
				refusal = booking.Duplicate
			}
			want(t, "another with the key", theirs, refusal)
			if theirs.answer.Ticket != "" || strings.Contains(theirs.body, mine.answer.Ticket) {
				t.Errorf("the ticket was told: %s", theirs.body)
			}
			if now, err := s.store.Free(context.Background()); err != nil || sum(now) != sum(left) {
				t.Errorf("%v were free, now %v, %v", left, now, err)
			}
			again := submit(1, "+86 138-0013-8000")
			want(t, "the owner again", again, booking.Queued)
			if again.answer.Ticket != mine.answer.Ticket {
				t.Error("the owner lost the ticket")
			}
			if !phones {
				s.wantRefused(t, abuseKey, 1)
			}
		})
	}
}

// Tickets cannot be guessed, and a guess is told nothing.
func TestGuessedTickets(t *testing.T) {
	for _, secret := range []string{"", strings.Repeat("s", 32)} {
		t.Run(fmt.Sprint("secret ", secret != ""), func(t *testing.T) { guessTickets(t, secret) })
	}
	keys := [][]byte{Config{Seed: 1}.key(), Config{Seed: 1, Secret: strings.Repeat("s", 32)}.key(), Config{Seed: 1, Secret: strings.Repeat("t", 32)}.key()}
	for i := range keys {
		if bytes.Equal(keys[i], keys[(i+1)%3]) {
			t.Error("the secret keys nothing")
		}
	}
}

func guessTickets(t *testing.T, secret string) {
	c := roomy()
	c.Secret = secret
	s := serve(t, c)
	var given []booking.Ticket
	ones := 0
	for user := range 200 {
		r := s.submitAs(t, user, "k"+strconv.Itoa(user), 0)
		ticket, err := booking.ParseTicket(r.answer.Ticket)
		if err != nil {
			t.Fatal(err, r.body)
		}
		for _, b := range ticket {
			ones += bits.OnesCount8(b)
		}
		given = append(given, ticket)
	}
	// 25,600 fair bits: σ = 80, so six are 480.
	if ones < 12_800-480 || ones > 12_800+480 {
		t.Errorf("%d of 25600 bits are set", ones)
	}
	guesses := 0
	was, _, _ := s.station.State()
	guess := func(x booking.Ticket) {
		guesses++
		r := s.pollFor(t, x.String(), wire.HeaderUser, "0")
		want(t, "a guess", r, booking.Unknown)
		if body := strings.ReplaceAll(r.body, x.String(), "?"); body != `{"outcome":"unknown","ticket":"?"}` || r.code != 500 {
			t.Errorf("a guess was told %d %s", r.code, r.body)
		}
	}
	for i := range 128 {
		x := given[0]
		x[i/8] ^= 1 << (i % 8)
		guess(x)
	}
	for i := range byte(64) {
		guess(booking.Ticket{i}) // the zero ticket among them
	}
	s.wantRefused(t, abuseTicket, guesses)
	if now, _, _ := s.station.State(); secret != "" && now.Entered != was.Entered {
		t.Errorf("%d guesses were served", now.Entered-was.Entered)
	}
	until(t, "the holder's own result", func() bool { return s.pollFor(t, given[0].String()).outcome == booking.Confirmed.String() })
}

// A coin is the user's own and of its epoch.
func TestForgedCoin(t *testing.T) {
	c := roomy()
	c.Admission = AdmissionConfig{Gate: policy.GateCoin, Probability: 0.5, Period: time.Hour, Results: true}
	s := serve(t, c)
	s.startAt(t, 0)
	config, _ := s.admission.Config()
	coin, now := coinOf(t, config, s)
	// present is a user whose present and last draws are as wanted.
	present := func(from int, passes, before bool) (booking.UserID, int64) {
		for u := booking.UserID(from); ; u++ {
			e := coin.Epoch(u, now)
			if coin.EpochEnd(u, now)-now > time.Minute && coin.Passes(u, e, .5) == passes && coin.Passes(u, e-1, .5) == before {
				return u, e
			}
		}
	}
	submit := func(u booking.UserID, key, epoch string) reply {
		return call(t, "POST", s.ready.URL+wire.PathBookings, `{"item":0`+epoch+`}`, wire.HeaderUser, strconv.FormatUint(uint64(u), 10), wire.HeaderKey, key)
	}
	claim := func(e int64) string { return `,"epoch":` + strconv.FormatInt(e, 10) }
	loser, e := present(1, false, false)
	winner, w := present(1, true, true)
	forged := 0
	for name, epoch := range map[string]string{"none": "", "present": claim(e), "last": claim(e - 1)} {
		forged++
		want(t, "a loser claims "+name, submit(loser, "l", epoch), booking.BadCoin)
	}
	for _, d := range []int64{-1 << 40, -10, -3, -2, 1, 2, 3, 10, 1 << 40, 1<<63 - 1 - w, -1 << 62} {
		forged++
		want(t, fmt.Sprintf("a winner claims an epoch %d away", d), submit(winner, "w", claim(w+d)), booking.BadCoin)
	}
	s.wantRefused(t, abuseCoin, forged)
	if n := s.store.Stats().Submits; n != 0 {
		t.Fatalf("%d forged submits reached stock", n)
	}
	want(t, "the winner", submit(winner, "w", claim(w)), booking.Queued)
	want(t, "the same coin under another key", submit(winner, "w2", claim(w)), booking.Duplicate)
	want(t, "the winner's epoch, another's name", submit(loser, "l", claim(w)), booking.BadCoin)
}

// Guessing the admin token gets one answer, whatever is guessed.
func TestGuessedToken(t *testing.T) {
	s := serve(t, sale())
	token := s.ready.AdminToken
	n := 0
	for _, guess := range []string{"", "x", token[:31], token + "0", strings.ToUpper(token), strings.Repeat("0", 32), token[:16] + strings.Repeat("0", 16), strings.Repeat("x", 7000), "\x80"} {
		for _, path := range []string{wire.PathAdminConfig, wire.PathAdminDrain, "/admin/nothing"} {
			if guess == token {
				continue // all digits
			}
			n++
			r := call(t, "POST", s.ready.AdminURL+path, `{"kill":true}`, "Authorization", "Bearer "+guess)
			if r.code != 401 || r.body != "the admin token is missing or wrong\n" {
				t.Errorf("%.40q: %d %s", guess, r.code, r.body)
			}
		}
	}
	s.wantRefused(t, abuseToken, n)
	want(t, "a submit after all that", s.submitAs(t, 1, "k", 0), booking.Queued)
}

// A phone number is one person, whatever the account, and is nowhere to be found.
func TestPhones(t *testing.T) {
	for _, mode := range []booking.Mode{booking.ModeLossless, booking.ModeTimedWriter, booking.ModeQueued, booking.ModeLottery} {
		t.Run(mode.String(), func(t *testing.T) {
			redis := miniredis.RunT(t)
			c := sale()
			c.Mode, c.Dir = mode, t.TempDir()
			if !c.direct() {
				c.Redis = "redis://" + redis.Addr() + "/0"
			}
			c.Phones, c.Secret = true, "0123456789abcdef0123456789abcdef"
			s := serve(t, c)
			path := wire.PathBookings
			if mode == booking.ModeLottery {
				path = wire.PathEntries
			}
			var heard strings.Builder
			submit := func(user int, key, phone string) reply {
				r := call(t, "POST", s.ready.URL+path, fmt.Sprintf(`{"item":0,"phone":%q}`, phone), wire.HeaderUser, strconv.Itoa(user), wire.HeaderKey, key)
				fmt.Fprintln(&heard, r.header, r.body)
				return r
			}
			accepted, second := booking.Queued, booking.Duplicate
			if c.direct() {
				accepted = booking.Confirmed
			}
			if mode == booking.ModeLottery {
				second = booking.Queued // an entry again gets its first ticket
			}
			first := submit(1, "a", "13912345678")
			want(t, "the first", first, accepted)
			for user, phone := range map[int]string{2: "13912345678", 3: "+8613912345678", 4: "0086 139 1234 5678", 5: "+86 (139) 1234-5678"} {
				r := submit(user, "b"+strconv.Itoa(user), phone)
				want(t, "another account with "+phone, r, second)
				if mode == booking.ModeLottery && r.answer.Ticket != first.answer.Ticket {
					t.Errorf("a second entry for %s", phone)
				}
			}
			want(t, "another number", submit(1, "c", "+44 20 7946 0958"), accepted)
			for _, bad := range []string{"", "1391234567", "03912345678", "12345678901", "+1391234567890123", "+0391234567890", "++8613912345678", "１３９12345678", "139x2345678", "13912345678;"} {
				want(t, "the number "+bad, submit(9, "d", bad), booking.Invalid)
			}
			want(t, "no number", s.submitAs(t, 9, "e", 0), booking.Invalid)
			until(t, "a result", func() bool {
				r := s.pollFor(t, first.answer.Ticket)
				fmt.Fprintln(&heard, r.header, r.body)
				return r.outcome == booking.Confirmed.String() || mode == booking.ModeLottery && drained(t, s)
			})
			heard.WriteString(call(t, "GET", s.ready.AdminURL+wire.PathMetrics, "").body)
			heard.WriteString(s.adminCall(t, "GET", wire.PathAdminSamples, nil).body)
			heard.WriteString(redis.Dump())
			if last := s.lastError.Load(); last != nil {
				heard.WriteString(*last)
			}
			if err := s.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			kept := 0
			err := filepath.WalkDir(c.Dir, func(name string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(name)
				heard.Write(b)
				kept += len(b)
				return err
			})
			if err != nil || kept == 0 {
				t.Fatalf("%d bytes kept, %v", kept, err)
			}
			// As text, and as the number that a column could hold.
			for _, trace := range []string{"139123", "12345678", "345678", "207946", "460958",
				string([]byte{0x14, 0x3f, 0x8e, 0x77, 0x84, 0xe}), string([]byte{0x03, 0x3d, 0x4c, 0xbf, 0x4e})} {
				if i := strings.Index(heard.String(), trace); i >= 0 {
					t.Errorf("%q is in %q", trace, heard.String()[max(0, i-60):min(heard.Len(), i+60)])
				}
			}
		})
	}
	if (people{[]byte("a")}).person("8613912345678") == (people{[]byte("b")}).person("8613912345678") {
		t.Error("the key does not matter")
	}
	for name, spoil := range map[string]func(*Config){"short": func(c *Config) { c.Secret = "short" }, "missing": func(c *Config) { c.Secret = "" }} {
		c := sale()
		c.Phones, c.Secret = true, strings.Repeat("s", 32)
		spoil(&c)
		if err := c.defaults().check(); err == nil || !strings.HasPrefix(err.Error(), "secret:") {
			t.Errorf("a %s secret: %v", name, err)
		}
	}
}
