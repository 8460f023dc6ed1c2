package netfault

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// Proxy is a TCP proxy whose connections to its target go over a Link.
type Proxy struct {
	listener net.Listener
	link     *Link
	target   string
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// NewProxy listens on an address ("127.0.0.1:0" takes a free port) and passes what
// comes to the target over the link, until Close.
func NewProxy(listen, target string, link *Link) (*Proxy, error) {
	var lc net.ListenConfig
	ctx, cancel := context.WithCancel(context.Background())
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("netfault: the proxy cannot listen on %s: %w; choose another address", listen, err)
	}
	p := &Proxy{listener: l, link: link, target: target, ctx: ctx, cancel: cancel}
	p.work.Go(p.serve)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.listener.Close()
	p.work.Wait()
	return err
}

func (p *Proxy) serve() {
	var d net.Dialer
	dial := p.link.Dial(d.DialContext)
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.work.Go(func() {
			server, err := dial(p.ctx, "tcp", p.target)
			if err != nil {
				reset(client) // a dial cannot be refused any more, this is next to it
				return
			}
			p.join(client, server)
		})
	}
}

// join passes both ways until both have ended or one has failed.
func (p *Proxy) join(client, server net.Conn) {
	stop := context.AfterFunc(p.ctx, func() {
		reset(client)
		_ = server.Close() // as the client's
	})
	var both sync.WaitGroup
	both.Go(func() { pump(server, client, func() { reset(client) }) })
	pump(client, server, func() { reset(client) })
	both.Wait()
	stop()
	_ = client.Close() // both have ended
	_ = server.Close()
}

// pump copies one way, and passes the end on. The buffer is small, so that what is
// under way is bounded.
func pump(to, from net.Conn, broken func()) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				broken()
				return
			}
		}
		if err == io.EOF {
			if t, ok := to.(interface{ CloseWrite() error }); ok {
				_ = t.CloseWrite() // its peer may be gone
			}
			return
		}
		if err != nil {
			broken()
			return
		}
	}
}
