package attack

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// conns is the client side of plain HTTP/1.1: a worker writes its request and
// reads its reply itself. net/http's Transport has two goroutines for each
// connection and four hand-overs for each request, which at some thousand
// requests a second cost more than all else; requests and replies are still
// written and read by net/http. For https the Transport is used.
//
// Deadlines are those of the request's context; its cancellation is not watched:
// abort ends everything under way.
type conns struct {
	addr    string
	clk     interface{ Now() time.Duration }
	dialer  net.Dialer
	aborted atomic.Bool

	mu   sync.Mutex
	idle []*conn // the latest last: it is used first, so that others may age
	live map[*conn]struct{}
}

// conn is one connection. It belongs to one request at a time.
type conn struct {
	net.Conn
	br   *bufio.Reader
	bw   *bufio.Writer
	used bool          // has carried a request before
	left time.Duration // when it went idle
}

// idleMax is how long a connection may be idle and still be used. It is below the
// idle timeout of usual servers (a minute and more), so that a request does not
// meet a server that just hung up.
const idleMax = 30 * time.Second

// connBuffer suits replies of some 300 bytes; larger bodies are read past it.
const connBuffer = 1 << 10

var _ http.RoundTripper = (*conns)(nil)

func newConns(addr string, clk interface{ Now() time.Duration }) *conns {
	return &conns{addr: addr, clk: clk, dialer: net.Dialer{KeepAlive: -1}, live: map[*conn]struct{}{}}
}

// RoundTrip implements http.RoundTripper. A GET that meets a connection which the
// server has closed meanwhile is sent again on a new one, as RFC 9110 section
// 9.2.2 allows; anything else is not.
func (p *conns) RoundTrip(req *http.Request) (*http.Response, error) {
	for {
		c, err := p.get(req.Context())
		if err != nil {
			return nil, err
		}
		again := c.used && req.Method == http.MethodGet
		c.used = true
		resp, spoke, err := p.exchange(c, req)
		if err == nil {
			return resp, nil
		}
		p.drop(c)
		if ne, ok := err.(net.Error); !again || spoke || ok && ne.Timeout() || p.aborted.Load() {
			return nil, err
		}
	}
}

// exchange sends one request and reads the head of its reply; spoke says that the
// server had begun to answer.
func (p *conns) exchange(c *conn, req *http.Request) (resp *http.Response, spoke bool, err error) {
	deadline, _ := req.Context().Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, false, err
	}
	if p.aborted.Load() { // abort may have come before the deadline was set
		return nil, false, context.Canceled
	}
	if err := req.Write(c.bw); err != nil {
		return nil, false, err
	}
	if err := c.bw.Flush(); err != nil {
		return nil, false, err
	}
	if _, err := c.br.Peek(1); err != nil {
		return nil, false, err
	}
	for {
		resp, err = http.ReadResponse(c.br, req)
		if err != nil {
			return nil, true, err
		}
		if resp.StatusCode >= 200 {
			break
		}
	}
	resp.Body = &connBody{ReadCloser: resp.Body, pool: p, conn: c, last: resp.Close}
	return resp, true, nil
}

// connBody gives the connection back when it is closed.
type connBody struct {
	io.ReadCloser
	pool *conns
	conn *conn
	last bool // the server closes the connection after this reply
	end  bool // read to its end
}

func (b *connBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.end = true
	}
	return n, err
}

// Close keeps the connection when the body was read to its end, else closes it.
func (b *connBody) Close() error {
	if b.conn == nil {
		return nil
	}
	if b.end && !b.last {
		b.pool.keep(b.conn)
	} else {
		b.pool.drop(b.conn)
	}
	b.conn = nil
	return nil
}

func (p *conns) get(ctx context.Context) (*conn, error) {
	if c := p.fresh(); c != nil {
		return c, nil
	}
	nc, err := p.dialer.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, br: bufio.NewReaderSize(nc, connBuffer), bw: bufio.NewWriterSize(nc, connBuffer)}
	p.mu.Lock()
	p.live[c] = struct{}{}
	p.mu.Unlock()
	return c, nil
}

// fresh takes the connection that went idle last, nil when there is none that may
// still be used. When that one is too old all others are: they are closed by the
// side, for after a calm there may be a thousand and requests would wait.
func (p *conns) fresh() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	if c := p.idle[n]; p.clk.Now()-c.left <= idleMax {
		p.idle = p.idle[:n]
		return c
	}
	old := p.idle
	p.idle = nil
	for _, c := range old {
		delete(p.live, c)
	}
	go func() {
		for _, c := range old {
			_ = c.Conn.Close() // nobody waits for it
		}
	}()
	return nil
}

func (p *conns) keep(c *conn) {
	c.left = p.clk.Now()
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
}

func (p *conns) drop(c *conn) {
	p.mu.Lock()
	delete(p.live, c)
	p.mu.Unlock()
	_ = c.Conn.Close() // it is given up
}

// abort makes every request under way fail at once, and every later one.
func (p *conns) abort() {
	p.aborted.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.live {
		_ = c.SetDeadline(time.Unix(1, 0)) // fails only when closed
	}
}

// CloseIdleConnections closes what is idle, under the name that net/http gives it.
func (p *conns) CloseIdleConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		delete(p.live, c)
		_ = c.Conn.Close() // nobody waits for it
	}
	p.idle = nil
}

// until is a context with a deadline that rings no timer: conns takes the deadline
// and leaves the ringing to the connection.
type until struct {
	context.Context
	at time.Time
}

func (u until) Deadline() (time.Time, bool) { return u.at, true }
