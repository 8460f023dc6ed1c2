package netfault

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"spillway/internal/clock"
	"spillway/internal/draw"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go serveEcho(l)
	return l.Addr().String()
}

func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

func dial(t *testing.T, l *Link, addr string) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := l.Dial(d.DialContext)(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a word and waits for it to come back.
func ask(c net.Conn, word string) error {
	if _, err := c.Write([]byte(word)); err != nil {
		return err
	}
	return hear(c, word)
}

func hear(c net.Conn, word string) error {
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != word {
		return errors.New("heard " + string(got))
	}
	return nil
}

// ways are the three ways onto a link: our dialer, the other's listener, a proxy.
var ways = map[string]func(*testing.T, *Link) func() (net.Conn, error){
	"dial": func(t *testing.T, l *Link) func() (net.Conn, error) {
		addr := echo(t)
		var d net.Dialer
		return func() (net.Conn, error) { return l.Dial(d.DialContext)(context.Background(), "tcp", addr) }
	},
	"listener": func(t *testing.T, l *Link) func() (net.Conn, error) {
		x, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = x.Close() })
		go serveEcho(l.Listener(x))
		return func() (net.Conn, error) { return net.Dial("tcp", x.Addr().String()) }
	},
	"proxy": func(t *testing.T, l *Link) func() (net.Conn, error) {
		p, err := NewProxy("127.0.0.1:0", echo(t), l)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		return func() (net.Conn, error) { return net.Dial("tcp", p.Addr()) }
	},
}

func eachWay(t *testing.T, f func(t *testing.T, l *Link, open func() (net.Conn, error))) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			l := New(clock.NewWall(), 1)
			open := way(t, l)
			f(t, l, func() (net.Conn, error) {
				c, err := open()
				if err == nil {
					t.Cleanup(func() { _ = c.Close() })
				}
				return c, err
			})
		})
	}
}

func must(t *testing.T, c net.Conn, err error) net.Conn {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Delay is what a round trip takes longer; without it the link adds nothing.
func TestDelay(t *testing.T) {
	eachWay(t, func(t *testing.T, l *Link, open func() (net.Conn, error)) {
		c, err := open()
		must(t, c, err)
		if err := ask(c, "fast"); err != nil {
			t.Fatal(err)
		}
		const delay = 60 * time.Millisecond
		l.Set(State{Delay: delay})
		clk := clock.NewWall()
		if err := ask(c, "slow"); err != nil {
			t.Fatal(err)
		}
		if took := clk.Now(); took < delay || took > delay+2*time.Second {
			t.Errorf("a round trip with %v took %v", delay, took)
		}
		l.Set(State{Bandwidth: 1000})
		clk = clock.NewWall()
		if err := ask(c, string(make([]byte, 50))); err != nil {
			t.Fatal(err)
		}
		if took := clk.Now(); took < 100*time.Millisecond || took > 3*time.Second {
			t.Errorf("50 bytes each way at 1,000 bytes/s took %v, want 100 ms", took)
		}
	})
}

// A cut resets what there is and refuses what comes; then all is as before.
func TestCut(t *testing.T) {
	eachWay(t, func(t *testing.T, l *Link, open func() (net.Conn, error)) {
		c, err := open()
		must(t, c, err)
		if err := ask(c, "before"); err != nil {
			t.Fatal(err)
		}
		l.Set(State{Mode: Cut})
		if err := ask(c, "cut"); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			t.Errorf("an open connection: %v", err)
		}
		if c, err := open(); err == nil {
			err = ask(c, "new")
			if err == nil {
				t.Error("a new connection passes")
			}
		} else if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a dial: %v", err)
		}
		l.Set(State{})
		c, err = open()
		if err := ask(must(t, c, err), "after"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// What is sent into a stall arrives when it ends.
func TestStall(t *testing.T) {
	eachWay(t, func(t *testing.T, l *Link, open func() (net.Conn, error)) {
		c, err := open()
		must(t, c, err)
		if err := ask(c, "before"); err != nil {
			t.Fatal(err)
		}
		l.Set(State{Mode: Stalled})
		heard := make(chan error, 1)
		go func() { heard <- ask(c, "held") }()
		select {
		case err := <-heard:
			t.Errorf("heard through a stall: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		l.Set(State{})
		if err := <-heard; err != nil {
			t.Errorf("after the stall: %v", err)
		}
	})
}

// What is sent into a black hole is lost, and the connection with it.
func TestHole(t *testing.T) {
	eachWay(t, func(t *testing.T, l *Link, open func() (net.Conn, error)) {
		c, err := open()
		must(t, c, err)
		if err := ask(c, "before"); err != nil {
			t.Fatal(err)
		}
		l.Set(State{Mode: Hole})
		heard := make(chan error, 1)
		go func() { heard <- ask(c, "lost") }()
		select {
		case err := <-heard:
			t.Errorf("heard out of a black hole: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		l.Set(State{})
		if err := <-heard; err == nil {
			t.Error("what was lost was heard")
		}
		c, err = open()
		if err := ask(must(t, c, err), "after"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// A stall honours deadlines, one set while it lasts too, and the connection's end;
// what had arrived by then is not lost.
func TestDeadlines(t *testing.T) {
	l := New(clock.NewWall(), 1)
	c := dial(t, l, echo(t))
	if _, err := c.Write([]byte("early")); err != nil {
		t.Fatal(err)
	}
	l.Set(State{Mode: Stalled})
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := hear(c, "early"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read past its deadline: %v", err)
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte("late"))
		wrote <- err
	}()
	for inner := c.(*conn); ; time.Sleep(time.Millisecond) {
		inner.mu.Lock()
		waiting := inner.waiters
		inner.mu.Unlock()
		if waiting == 1 {
			break
		}
	}
	if err := c.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write whose deadline came while it waited: %v", err)
	}
	l.Set(State{})
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := hear(c, "early"); err != nil {
		t.Errorf("what arrived during the stall: %v", err)
	}
	l.Set(State{Mode: Stalled})
	go func() { _, err := c.Write([]byte("never")); wrote <- err }()
	_ = c.Close()
	if err := <-wrote; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write while the connection was closed: %v", err)
	}
}

// A dial into a stall hangs as long as its context lets it.
func TestDialStalled(t *testing.T) {
	l := New(clock.NewWall(), 1)
	addr := echo(t)
	l.Set(State{Mode: Stalled})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var d net.Dialer
	if _, err := l.Dial(d.DialContext)(ctx, "tcp", addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a dial into a stall: %v", err)
	}
}

// manual is a clock that notes what is waited for and lets it pass at once.
type manual struct{ waits *[]time.Duration }

func (m manual) Now() time.Duration { return 0 }
func (m manual) AfterFunc(d time.Duration, f func()) func() bool {
	*m.waits = append(*m.waits, d)
	f()
	return func() bool { return false }
}

// The same seed gives the same delays, another one others; they keep to their bounds.
func TestJitterIsSeeded(t *testing.T) {
	addr := echo(t)
	const delay, jitter = 20 * time.Millisecond, 10 * time.Millisecond
	run := func(seed draw.Seed) []time.Duration {
		var waits []time.Duration
		l := New(manual{&waits}, seed)
		l.Set(State{Delay: delay, Jitter: jitter})
		for range 2 {
			c := dial(t, l, addr)
			for range 5 {
				if err := ask(c, "word"); err != nil {
					t.Fatal(err)
				}
			}
		}
		return waits
	}
	a, b, other := run(1), run(1), run(2)
	if !slices.Equal(a, b) || slices.Equal(a, other) || len(a) != 20 {
		t.Errorf("seed 1: %v\nagain:  %v\nseed 2: %v", a, b, other)
	}
	for _, d := range a {
		if d < delay/2 || d > (delay+jitter)/2 {
			t.Errorf("a message took %v one way, want %v to %v", d, delay/2, (delay+jitter)/2)
		}
	}
	if slices.Equal(a[:10], a[10:]) {
		t.Error("two connections have the same luck")
	}
}

// Calls inside the process: made, refused, held, and broken under way.
func TestCall(t *testing.T) {
	l := New(clock.NewWall(), 1)
	ctx := context.Background()
	mine := errors.New("mine")
	if err := l.Call(ctx, func(context.Context) error { return mine }); err != mine {
		t.Errorf("the call's own error: %v", err)
	}
	l.Set(State{Mode: Cut})
	if err := l.Call(ctx, func(context.Context) error { t.Error("made"); return nil }); !errors.Is(err, ErrCut) {
		t.Errorf("a call over a cut link: %v", err)
	}
	l.Set(State{})
	begun, ended := make(chan bool), make(chan error)
	go func() {
		ended <- l.Call(ctx, func(ctx context.Context) error {
			begun <- true
			<-ctx.Done()
			return nil // the work was done all the same
		})
	}()
	<-begun
	l.Set(State{Mode: Cut})
	if err := <-ended; !errors.Is(err, ErrCut) {
		t.Errorf("a call that was cut under way: %v", err)
	}
	l.Set(State{Mode: Stalled})
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := l.Call(short, func(context.Context) error { t.Error("made"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call over a stalled link: %v", err)
	}
	go func() { ended <- l.Call(ctx, func(context.Context) error { return mine }) }()
	l.Set(State{})
	if err := <-ended; err != mine {
		t.Errorf("a call that was held: %v", err)
	}
	l.Set(State{Delay: 30 * time.Millisecond})
	clk := clock.NewWall()
	if err := l.Call(ctx, func(context.Context) error { return nil }); err != nil || clk.Now() < 30*time.Millisecond {
		t.Errorf("a slow call took %v: %v", clk.Now(), err)
	}
}

// Data of any size passes a proxy whole, and both ends' closes too.
func TestProxyCopies(t *testing.T) {
	p, err := NewProxy("127.0.0.1:0", echo(t), New(clock.NewWall(), 1))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(i * 7 >> 3)
	}
	go func() {
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !slices.Equal(got, sent) {
		t.Errorf("sent %d bytes, got %d: %v", len(sent), len(got), err)
	}
	if _, err := NewProxy(p.Addr(), "127.0.0.1:1", New(clock.NewWall(), 1)); err == nil {
		t.Error("a second proxy on the same port")
	}
}
