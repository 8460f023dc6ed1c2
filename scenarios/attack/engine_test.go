package attack

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/internal/record"
)

// serveEnv makes this test binary an idle server instead, so that a benchmark's
// generator has a process, and so its CPU time, to itself.
const serveEnv = "SPILLWAY_ATTACK_TEST_SERVER"

func TestMain(m *testing.M) {
	if delay := os.Getenv(serveEnv); delay != "" {
		serveIdle(delay)
		return
	}
	goleak.VerifyTestMain(m)
}

// serveIdle answers every request after a delay until standard input ends.
func serveIdle(after string) {
	delay, err := time.ParseDuration(after)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(delay)
		_, _ = w.Write([]byte(`{"outcome":"ok"}`))
	})}
	go func() { _ = srv.Serve(l) }()
	_, _ = bufio.NewReader(os.Stdin).ReadString(0)
	_ = srv.Close()
}

// idleServer starts serveIdle in a process of its own and returns its URL.
func idleServer(tb testing.TB, delay time.Duration) string {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+delay.String())
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatalf("server did not start: %v", err)
	}
	return "http://" + strings.TrimSpace(addr)
}

// schedule is the plainest driver: one GET at each moment and nothing after it.
type schedule struct {
	at      []time.Duration
	begun   int
	timeout time.Duration
	tally   *tally
	all     []exchange // kept when keep is set
	keep    bool
}

func newSchedule(at []time.Duration) *schedule {
	return &schedule{at: at, timeout: 30 * time.Second, tally: newTally(record.New(record.Header{}), []string{""})}
}

// every is n moments, gap apart, from 0 on.
func every(gap time.Duration, n int) []time.Duration {
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = time.Duration(i) * gap
	}
	return at
}

func (s *schedule) next() (event, bool) {
	if s.begun == len(s.at) {
		return event{}, false
	}
	return event{due: s.at[s.begun], visit: booking.VisitID(s.begun), kind: evArrive}, true
}

func (s *schedule) handle(ev event, reply, out *exchange) (policy.Move, uint32) {
	if ev.kind == evReply {
		return policy.Move{Kind: policy.End}, 0
	}
	s.begun++
	out.timeout, out.base = s.timeout, ev.due
	return policy.Move{Kind: policy.Send}, 0
}

func (s *schedule) fold(x *exchange) {
	s.tally.fold(x)
	if s.keep {
		s.all = append(s.all, *x)
	}
}

func (s *schedule) hist(clock record.Clock, o booking.Outcome) *record.Hist {
	return s.tally.rec.Merged(record.Select{Span: "plain", Clock: clock, Outcomes: []string{o.String()}})
}

// whenDone is the length of a run that ends with its last reply.
const whenDone = time.Hour

// drive runs a schedule against a URL.
func drive(tb testing.TB, url string, s *schedule, workers int, length time.Duration) *engine {
	tb.Helper()
	return driveFrom(tb, clock.WallFrom(time.Now().Add(50*time.Millisecond)), url, s, workers, length)
}

func driveFrom(tb testing.TB, clk clock.Clock, url string, s *schedule, workers int, length time.Duration) *engine {
	tb.Helper()
	t, err := newTarget(url, booking.ModeQueued, 1)
	if err != nil {
		tb.Fatal(err)
	}
	slp, err := newSleeper()
	if err != nil {
		tb.Fatal(err)
	}
	defer slp.close()
	inner := newInner(t, clk, workers)
	defer inner.CloseIdleConnections()
	e := newEngine(clk, slp, s, t, inner, workers, length, Grace)
	e.brief = length == whenDone
	if err := e.run(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return e
}

// Twice and more what can be carried, over real connections: the run ends on time
// and the memory stays bounded, with as many requests under way as are allowed.
func TestOverloadIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 6,000 connections")
	}
	const workers, length = 6000, 2 * time.Second
	s := newSchedule(every(50*time.Microsecond, 40_000)) // 20,000/s, and nobody answers
	began := time.Now()
	e := drive(t, idleServer(t, time.Minute), s, workers, length)
	took := time.Since(began)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%v, %d MiB from the system, %d sent, %d cut, %d unsent", took, m.Sys>>20, s.tally.sent, s.tally.cut, s.tally.unsent)
	// 12,000 under way is twice this, and the limit is 512 MiB.
	if m.Sys > 256<<20 {
		t.Errorf("%d MiB", m.Sys>>20)
	}
	if took > length+Grace+2*time.Second { // a second to start with, one to end
		t.Errorf("took %v", took)
	}
	if n := s.tally.sent + s.tally.unsent; n != 40_000 || s.tally.sent > workers+startWorkers || s.tally.cut != s.tally.sent || e.folded != e.dispatched {
		t.Errorf("%d sent, %d cut, %d unsent", s.tally.sent, s.tally.cut, s.tally.unsent)
	}
}
