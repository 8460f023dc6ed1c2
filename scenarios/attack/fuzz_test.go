package attack

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
)

// said is a connection on which everything has been said already.
type said struct{ io.Reader }

func (said) Write(p []byte) (int, error)      { return len(p), nil }
func (said) Close() error                     { return nil }
func (said) LocalAddr() net.Addr              { return nil }
func (said) RemoteAddr() net.Addr             { return nil }
func (said) SetDeadline(time.Time) error      { return nil }
func (said) SetReadDeadline(time.Time) error  { return nil }
func (said) SetWriteDeadline(time.Time) error { return nil }

// Whatever bytes a target answers with, a request ends in an error, or in an
// outcome that its step can have.
func FuzzExchange(f *testing.F) {
	f.Add(uint8(5), []byte("HTTP/1.1 202 Accepted\r\nSpillway-Outcome: queued\r\nContent-Length: 45\r\n\r\n{\"ticket\":\"0123456789abcdef0123456789abcdef\"}"))
	f.Add(uint8(2), []byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nSpillway-Outcome: open\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add(uint8(1), []byte("HTTP/1.0 200 OK\r\nSpillway-Outcome: ok\r\n\r\n{\"gate\":\"off\"}"))
	f.Add(uint8(6), []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"))
	f.Add(uint8(6), []byte("SSH-2.0-x\r\n"))
	pool := newConns("127.0.0.1:0", clock.NewWall())
	f.Fuzz(func(t *testing.T, step uint8, raw []byte) {
		tgt, err := newTarget("http://stub", booking.ModeQueued, 1)
		if err != nil {
			t.Fatal(err)
		}
		x := &exchange{step: booking.Step(step%6 + 1), attempt: 1, timeout: time.Second}
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://stub/", nil)
		if err != nil {
			t.Fatal(err)
		}
		tgt.fill(x, req)
		nc := said{bytes.NewReader(raw)}
		c := &conn{Conn: nc, br: bufio.NewReaderSize(nc, connBuffer), bw: bufio.NewWriterSize(nc, connBuffer)}
		resp, _, err := pool.exchange(c, req)
		if err != nil {
			return
		}
		err = tgt.read(x, resp)
		_ = resp.Body.Close()
		pool.CloseIdleConnections()
		if o := x.reply.Outcome; err == nil && o != booking.Unmapped && !may(x.step, o) {
			t.Fatalf("%q to a %v is %v", raw, x.step, o)
		}
	})
}

// A target is a URL of http or https with a host, and its paths stay beneath it.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:8080", "https://x/a/", "ftp://x", "http://", "//x", "http://u:p@x", "http://[::1", "http://x?y", "\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseTarget(raw)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than one line: %q", err)
			}
			return
		}
		if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			t.Fatalf("%q passed as %v", raw, u)
		}
		tgt := &target{base: u}
		if at := tgt.at("/v1/status"); at.Host != u.Host || !strings.HasSuffix(at.Path, "/v1/status") {
			t.Fatalf("%q leads to %v", raw, at)
		}
	})
}
