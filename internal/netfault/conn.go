package netfault

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"spillway/internal/clock"
)

// Conn puts a connection on the link; while that is cut it is reset at once.
func (l *Link) Conn(c net.Conn) net.Conn {
	linked, _ := l.conn(c)
	return linked
}

// conn is Conn, and whether the link would have it.
func (l *Link) conn(under net.Conn) (net.Conn, bool) {
	c := &conn{Conn: under, link: l, closed: make(chan struct{}), moved: make(chan struct{})}
	s, ok := l.begin(func() { reset(under) })
	if !ok {
		reset(under)
		return under, false
	}
	c.passage = s
	return c, true
}

// reset closes a connection so that its peer sees a reset, not an orderly end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a closed one needs none
	}
	_ = c.Close() // as above
}

// conn is a connection on a link. Reads are made by one goroutine at a time.
type conn struct {
	net.Conn
	link    *Link
	passage *passage

	reading sync.Mutex
	held    []byte // read from below and not yet delivered
	heldErr error

	mu          sync.Mutex
	read, write time.Time     // deadlines; zero = none
	moved       chan struct{} // closed when a deadline changes while somebody waits
	waiters     int
	closed      chan struct{}
	closeOnce   sync.Once
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.held) == 0 {
		if err := c.heldErr; err != nil {
			c.heldErr = nil
			return 0, err
		}
		n, err := c.Conn.Read(p)
		for n > 0 && c.link.now.Load().Mode == Hole {
			c.sink() // and on, until the connection is reset
			n, err = c.Conn.Read(p)
		}
		if n == 0 || c.link.now.Load().calm() {
			return n, err
		}
		c.held, c.heldErr = append(c.held, p[:n]...), err
	}
	// What was held when a deadline passed comes with the next Read.
	if err := c.pass(len(c.held), &c.read); err != nil {
		return 0, err
	}
	n := copy(p, c.held)
	if c.held = c.held[n:]; len(c.held) == 0 {
		c.held = nil
		err := c.heldErr
		c.heldErr = nil
		return n, err
	}
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	st := c.link.now.Load()
	if st.calm() {
		return c.Conn.Write(p)
	}
	if st.Mode == Hole {
		c.sink()
		return len(p), nil
	}
	if err := c.pass(len(p), &c.write); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// sink notes that something was lost on the connection, which must not live on.
func (c *conn) sink() {
	c.passage.sank.Store(true)
	if c.link.now.Load().Mode != Hole { // it ended meanwhile, and did not see the note
		reset(c.Conn)
	}
}

// pass waits until a message may go on its way and has arrived.
func (c *conn) pass(bytes int, deadline *time.Time) error {
	st, err := c.link.open(func(changed <-chan struct{}) error { return c.wait(changed, deadline) })
	if err == ErrCut {
		return &net.OpError{Op: "link", Net: "tcp", Err: syscall.ECONNRESET}
	}
	if err != nil {
		return err
	}
	if d := c.link.latency(st, c.passage, bytes); d > 0 {
		ring, stop := c.link.after(d)
		defer stop()
		return c.wait(ring, deadline)
	}
	return nil
}

// wait waits for a channel, at most until the deadline or the connection's end.
func (c *conn) wait(ring <-chan struct{}, deadline *time.Time) error {
	c.mu.Lock()
	c.waiters++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.waiters--
		c.mu.Unlock()
	}()
	for {
		c.mu.Lock()
		at, moved := *deadline, c.moved
		c.mu.Unlock()
		var late <-chan struct{}
		stop := func() bool { return true }
		if !at.IsZero() {
			left := at.Sub(clock.NewWall().Origin())
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			late, stop = c.link.after(left)
		}
		select {
		case <-ring:
			stop()
			return nil
		case <-late:
			return os.ErrDeadlineExceeded
		case <-c.closed:
			stop()
			return net.ErrClosed
		case <-moved:
			stop()
		}
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	c.link.leave(c.passage)
	return c.Conn.Close()
}

// CloseWrite ends what is sent, where the connection below can.
func (c *conn) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return nil
}

var errNoSyscall = errors.New("netfault: the connection below has no descriptor")

// SyscallConn lets a pool look whether an idle connection still stands.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if t, ok := c.Conn.(syscall.Conn); ok {
		return t.SyscallConn()
	}
	return nil, errNoSyscall
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.remember(t, true, true)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.remember(t, true, false)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.remember(t, false, true)
	return c.Conn.SetWriteDeadline(t)
}

func (c *conn) remember(t time.Time, read, write bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if read {
		c.read = t
	}
	if write {
		c.write = t
	}
	if c.waiters > 0 {
		close(c.moved)
		c.moved = make(chan struct{})
	}
}
