package netfault

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
)

// Mode is whether anything gets through.
type Mode uint8

const (
	// Up lets everything through.
	Up Mode = iota
	// Stalled holds everything back, dials too, and delivers it afterwards.
	Stalled
	// Hole swallows what is sent; connections that sent are reset afterwards.
	Hole
	// Cut resets the connections there are and refuses new ones.
	Cut
)

// ErrCut is wrapped when a link is cut, or was while a call was under way: its work
// may have been done.
var ErrCut = errors.New("netfault: the link is cut")

// State is what a link does to its messages. The zero value is a link that is up and
// adds nothing.
type State struct {
	Mode      Mode
	Delay     time.Duration // that a round trip takes longer
	Jitter    time.Duration // up to this much is drawn on top of each Delay
	Bandwidth float64       // bytes/s each way; 0 = no limit
}

// state is a State in force; done is closed when another takes its place.
type state struct {
	State
	done chan struct{}
}

// Link is a network between two parties. It is safe for concurrent use.
type Link struct {
	clock clock.Clock
	seed  draw.Seed
	now   atomic.Pointer[state]

	mu    sync.Mutex
	conns uint64              // opened so far
	ends  map[*passage]func() // how to break what is under way
}

// passage is one connection or call: it has its own luck.
type passage struct {
	id       uint64
	messages atomic.Uint32
	sank     atomic.Bool // sent something into a black hole
}

// New makes a link that is up.
func New(clk clock.Clock, seed draw.Seed) *Link {
	l := &Link{clock: clk, seed: seed, ends: map[*passage]func(){}}
	l.now.Store(&state{done: make(chan struct{})})
	return l
}

// State is what the link does now.
func (l *Link) State() State { return l.now.Load().State }

// Set changes what the link does, for what is under way too.
func (l *Link) Set(to State) {
	l.mu.Lock()
	was := l.now.Swap(&state{State: to, done: make(chan struct{})})
	var broken []func()
	for s, end := range l.ends { // in no order: each has its own connection
		if to.Mode == Cut || to.Mode != Hole && s.sank.Load() {
			broken = append(broken, end)
			delete(l.ends, s)
		}
	}
	l.mu.Unlock()
	close(was.done)
	for _, end := range broken {
		end()
	}
}

// begin enters a connection or call into the link; false says that it is cut.
func (l *Link) begin(end func()) (*passage, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now.Load().Mode == Cut {
		return nil, false
	}
	l.conns++
	s := &passage{id: l.conns}
	l.ends[s] = end
	return s, true
}

// leave takes it out again; false says that it was broken.
func (l *Link) leave(s *passage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, there := l.ends[s]
	delete(l.ends, s)
	return there
}

// calm reports whether nothing is done to messages.
func (st *state) calm() bool { return st.State == State{} }

// open waits until the link carries messages. quit ends the wait with its error.
func (l *Link) open(quit func(<-chan struct{}) error) (*state, error) {
	for {
		st := l.now.Load()
		switch st.Mode {
		case Up:
			return st, nil
		case Cut:
			return nil, ErrCut
		}
		if err := quit(st.done); err != nil {
			return nil, err
		}
	}
}

// latency is how long a message of some bytes is under way one way.
func (l *Link) latency(st *state, s *passage, bytes int) time.Duration {
	if st.calm() {
		return 0
	}
	d := float64(st.Delay)
	if st.Jitter > 0 {
		d += float64(st.Jitter) * l.seed.Uniform(booking.DrawFault, s.id, s.messages.Add(1))
	}
	d /= 2
	if st.Bandwidth > 0 {
		d += float64(bytes) / st.Bandwidth * 1e9
	}
	return time.Duration(math.Min(d, float64(time.Hour)))
}

// after is a channel that is closed once d has passed, and how to give it up.
func (l *Link) after(d time.Duration) (<-chan struct{}, func() bool) {
	ring := make(chan struct{})
	return ring, l.clock.AfterFunc(d, func() { close(ring) })
}

// Dial puts the connections of a dialer on the link.
func (l *Link) Dial(next func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		fail := func(err error) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		if _, err := l.open(within(ctx)); errors.Is(err, ErrCut) {
			return fail(syscall.ECONNREFUSED)
		} else if err != nil {
			return fail(err)
		}
		c, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		linked, ok := l.conn(c)
		if !ok {
			return fail(syscall.ECONNREFUSED)
		}
		return linked, nil
	}
}

// within waits for a change of the link, at most until ctx ends.
func within(ctx context.Context) func(<-chan struct{}) error {
	return func(changed <-chan struct{}) error {
		select {
		case <-changed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Call makes a call inside the process as if it went over the link. When the link is
// cut meanwhile the call's context ends and the error wraps ErrCut, whether its work
// was done or not.
func (l *Link) Call(ctx context.Context, f func(context.Context) error) error {
	if l.now.Load().calm() {
		// The usual way still has to be breakable.
		return l.call(ctx, nil, f)
	}
	st, err := l.open(within(ctx))
	if err != nil {
		return fmt.Errorf("the call was not made: %w", err)
	}
	return l.call(ctx, st, f)
}

func (l *Link) call(ctx context.Context, st *state, f func(context.Context) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	s, ok := l.begin(cancel)
	if !ok {
		return fmt.Errorf("the call was not made: %w", ErrCut)
	}
	defer l.leave(s)
	if st != nil {
		ring, stop := l.after(l.latency(st, s, 0) + l.latency(st, s, 0))
		select {
		case <-ring:
		case <-inner.Done():
			stop()
		}
	}
	err := f(inner)
	if !l.leave(s) {
		return fmt.Errorf("the call's answer is lost: %w", ErrCut)
	}
	if _, held := l.open(within(ctx)); held != nil {
		return fmt.Errorf("the call's answer is lost: %w", held)
	}
	return err
}

// Listener puts the connections that a listener accepts on the link. While it is cut
// they are reset.
func (l *Link) Listener(next net.Listener) net.Listener { return &listener{next, l} }

type listener struct {
	net.Listener
	link *Link
}

// Accept implements net.Listener.
func (a *listener) Accept() (net.Conn, error) {
	for {
		c, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if linked, ok := a.link.conn(c); ok {
			return linked, nil
		}
	}
}
