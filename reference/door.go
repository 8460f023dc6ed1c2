package reference

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the connections.
const (
	connectionsMax   = 16_384           // of the visitors' part when the config says nothing; 12,000 are what one generator opens
	adminConnections = 256              // of the admin part: a few scrapers and people
	filesKept        = 512              // descriptors left to stores, database and admin part
	stallTimeout     = 10 * time.Second // for a client to take writePiece of an answer
	writePiece       = 64 << 10         // bytes
)

// abuse is a kind of refused client, the label of a counter.
type abuse uint8

// The kinds. What the client meant by it is not asked.
const (
	abuseSilent      abuse = iota // connected and sent nothing
	abuseSlowHeader               // began a header and did not end it
	abuseSlowBody                 // did not send the body in time
	abuseSlowReader               // did not take the answer in time
	abuseConnections              // cut because all connections were in use
	abuseLargeHeader
	abuseLargeBody
	abuseMalformed // not HTTP, or not what the contract says
	abuseFraming   // a body where none belongs, or without a plain length
	abusePath
	abuseMethod
	abuseCoin   // a forged or missing coin
	abuseKey    // another's idempotency key
	abuseTicket // a ticket that nobody was given
	abuseToken  // a wrong admin token
	abuses
)

var abuseNames = [abuses]string{"silent", "slow-header", "slow-body", "slow-reader", "connections", "large-header", "large-body",
	"malformed", "framing", "path", "method", "coin", "key", "ticket", "token"}

// abuseCounts counts refused clients by kind.
type abuseCounts [abuses]atomic.Uint64

func (a *abuseCounts) add(kind abuse) { a[kind].Add(1) }

// door is a listener that holds a bounded number of connections. When all are in
// use, the one that has been longest without a whole request makes room for the
// newcomer; when each has one in hand, the newcomer is turned away.
type door struct {
	net.Listener
	max    int
	counts *abuseCounts

	mu   sync.Mutex
	open int
	idle list.List // of *conn without a whole request, the longest first
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		inner, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := d.admit(inner); c != nil {
			return c, nil
		}
		d.counts.add(abuseConnections)
		_ = inner.Close() // it was never served
	}
}

// admit makes room if need be; nil = there is none.
func (d *door) admit(inner net.Conn) *conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= d.max {
		oldest := d.idle.Front()
		if oldest == nil {
			return nil
		}
		c := oldest.Value.(*conn)
		d.leave(c)
		_ = c.Conn.Close() // its goroutine sees the error and ends
		d.counts.add(abuseConnections)
	}
	c := &conn{Conn: inner, door: d}
	c.place = d.idle.PushBack(c)
	d.open++
	return c
}

// leave forgets a connection. The mutex is held.
func (d *door) leave(c *conn) {
	if c.left {
		return
	}
	c.left = true
	d.open--
	d.wait(c, false)
}

// wait puts a connection last among those without a whole request, or takes it
// out. The mutex is held.
func (d *door) wait(c *conn, idle bool) {
	if c.place != nil {
		d.idle.Remove(c.place)
		c.place = nil
	}
	if idle && !c.left {
		c.place = d.idle.PushBack(c)
	}
}

// connections is how many are open.
func (d *door) connections() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// state is the server's ConnState.
func (d *door) state(inner net.Conn, state http.ConnState) {
	c := inner.(*conn)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case http.StateActive: // a header was read, or was begun and came to nothing
		c.begun, c.served = true, false
		d.wait(c, true)
	case http.StateIdle:
		c.begun = false
		d.wait(c, true)
	case http.StateClosed:
		if c.begun && !c.served && !c.answered && !c.left {
			d.counts.add(abuseSlowHeader)
		}
		d.leave(c)
	}
}

// conn is a connection of a door. Its plain fields belong to the connection's own
// goroutine, where net/http reads headers, calls handlers and the state hook, and
// writes; what it reads in the background is in turn with that.
type conn struct {
	net.Conn
	door *door

	heard    bool // something was ever read
	late     bool // and the last read came to its deadline
	begun    bool // a header was begun since the connection was last idle
	served   bool // and a handler was called for it
	answered bool // net/http has refused by itself

	place *list.Element // in door.idle; with left under the door's mutex
	left  bool
}

type connKey struct{}

// withConn is the server's ConnContext: handlers find their connection there.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// hold says that a whole request is in hand, so that the connection makes room
// for nobody.
func (c *conn) hold() {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.door.wait(c, false)
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.heard = c.heard || n > 0
	if c.late = errors.Is(err, os.ErrDeadlineExceeded); c.late && !c.heard {
		c.door.counts.add(abuseSilent)
	}
	return n, err
}

// Write implements net.Conn. The time that a client has to take an answer runs
// for each piece anew: it bounds the stall, not the wait for a turn before it.
func (c *conn) Write(p []byte) (n int, err error) {
	if !c.served && !c.answered {
		c.answered = true
		kind := abuseMalformed
		switch {
		case c.late: // half a line is also malformed
			kind = abuseSlowHeader
		case bytes.HasPrefix(p, []byte("HTTP/1.1 431")):
			kind = abuseLargeHeader
		}
		c.door.counts.add(kind)
	}
	for err == nil && n < len(p) {
		_ = c.Conn.SetWriteDeadline(instant(stallTimeout)) // fails only when closed, as the write will
		var m int
		m, err = c.Conn.Write(p[n:min(len(p), n+writePiece)])
		n += m
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.door.counts.add(abuseSlowReader)
	}
	return n, err
}

// CloseWrite lets net/http end an answer before it hangs up, so that the client
// can read it.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// server is the HTTP server behind a door. It bounds what a body may cost, whoever
// reads it, and refuses one where none belongs or whose end two readers could see
// at different places.
func (d *door) server(next http.HandlerFunc) *http.Server {
	return &http.Server{Handler: d.before(next), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout,
		MaxHeaderBytes: headerBytesMax, ErrorLog: silence, DisableGeneralOptionsHandler: true, ConnContext: withConn, ConnState: d.state}
}

func (d *door) before(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(*conn) // a recorder in a test has none
		if c != nil {
			c.served = true
		}
		if r.ContentLength == 0 {
			if c != nil {
				c.hold()
			}
			next(w, r)
			return
		}
		// What a handler leaves unread net/http reads, and would wait for.
		_ = http.NewResponseController(w).SetReadDeadline(instant(bodyTimeout))
		switch {
		case len(r.TransferEncoding) > 0:
			w.Header().Set("Connection", "close")
			d.counts.add(abuseFraming)
			refuse(w, http.StatusLengthRequired, "body: want it with a Content-Length")
		case r.Method != http.MethodPost && r.Method != http.MethodPut:
			w.Header().Set("Connection", "close")
			d.counts.add(abuseFraming)
			refuse(w, http.StatusBadRequest, "body: want none but with POST or PUT")
		default:
			next(w, r)
		}
	}
}

// body reads the body of a request and counts what is wrong with it. The rest of
// a bad one is not worth waiting for, so its deadline stays; after a good one it
// would only end the request's context in the middle of the work.
func (a *abuseCounts) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	b, err := readBody(r.Body)
	switch {
	case err == nil:
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.hold()
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a recorder in a test has none
		return b, nil
	case errors.Is(err, errSlowBody):
		a.add(abuseSlowBody)
	case errors.Is(err, errTooLarge):
		a.add(abuseLargeBody)
	default:
		a.add(abuseMalformed)
	}
	w.Header().Set("Connection", "close")
	return nil, err
}
