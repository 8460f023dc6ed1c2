package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"spillway/internal/clock"
	"spillway/reference/lottery"
)

// Bounds of the server.
const (
	headerTimeout   = 5 * time.Second  // to send the whole header
	readTimeout     = 15 * time.Second // to send header and body
	writeTimeout    = 30 * time.Second // to take an answer; of a file, to take a piece of it
	idleTimeout     = time.Minute      // of a kept connection between requests
	headerBytesMost = 8 << 10
	queryMost       = 1 << 10 // bytes behind the question mark
	connectionsMost = 1024
	sendingMost     = 8 // files at once
	closeWithin     = 5 * time.Second
	// What costs more than a look: pages, proofs and files, of all watchers together. Of
	// 2.6 million entries and 193 lines a page took 16 ms and a proof 10 on one shared core.
	askedRate  = 50
	askedBurst = 200
)

// The policy of the page: nothing but what this server serves, nothing inline, in no
// frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

//go:embed console.css
var style string

//go:embed console.js
var script string

//go:embed icon.svg
var icon string

// file is a file of the bundle that may be had.
type file struct {
	Name, Kind, What string
	Late             bool // winners follow from it: not before the draw is published
}

// kinds are the types of files by the ends of their names.
var kinds = map[string]string{".json": "application/json", ".sig": "application/json", ".jsonl": "application/x-ndjson",
	".csv": "text/csv; charset=utf-8", ".txt": "text/plain; charset=utf-8", "": "application/octet-stream"}

// files are the files of a bundle, in the order in which they come about; the audit log
// is late since it names the seed.
var files = func() (out []file) {
	late := false
	for _, f := range lottery.Files {
		late = late || f.Name == lottery.FileDraw
		out = append(out, file{f.Name, kinds[filepath.Ext(f.Name)], f.What, late})
	}
	return out
}()

// Handler serves the page.
func (c *Console) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", c.cost(c.page))
	m.HandleFunc("GET /live", c.live)
	m.HandleFunc("GET /proof/{file}", c.cost(c.proof))
	m.HandleFunc("GET /bundle/{file}", c.cost(c.file))
	m.HandleFunc("GET /list/{file}", c.cost(c.list))
	m.HandleFunc("POST /do/draw", c.action("draw", c.draw))
	m.HandleFunc("POST /do/publish", c.action("publish", c.publish))
	m.HandleFunc("POST /do/export", c.action("export", c.export))
	for _, s := range []struct{ path, kind, text string }{
		{"/console.css", "text/css; charset=utf-8", c.o.Style + style},
		{"/console.js", "text/javascript; charset=utf-8", script},
		{"/icon.svg", "image/svg+xml", icon},
	} {
		m.HandleFunc("GET "+s.path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", s.kind)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.text))
		})
	}
	return guard(m)
}

// guard is before every answer: what a browser may do with it, and how much is read.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case len(r.URL.RawQuery) > queryMost:
			http.Error(w, "the question is too long", http.StatusRequestURITooLong)
		case r.Method != http.MethodPost && r.ContentLength != 0:
			h.Set("Connection", "close")
			http.Error(w, "a body belongs to POST alone", http.StatusBadRequest)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// cost is before what costs more than a look.
func (c *Console) cost(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if ok, _ := c.right(r); !ok && !c.asked.take(c.o.Now()) {
			w.Header().Set("Retry-After", "2")
			http.Error(w, "too many ask at once: try again in two seconds", http.StatusTooManyRequests)
			return
		}
		next(w, r)
	}
}

// Serve serves the page until the context ends.
func (c *Console) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{Handler: c.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytesMost, ErrorLog: log.New(io.Discard, "", 0), DisableGeneralOptionsHandler: true}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(netutil.LimitListener(l, connectionsMost)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("console: %w", err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := s.Shutdown(closing); err != nil {
		return s.Close() // who still takes a file is cut off
	}
	return nil
}

// reader tells who reads: with the token, or the public. A wrong token is refused.
func (c *Console) reader(w http.ResponseWriter, r *http.Request) (admin, ok bool) {
	admin, tried := c.right(r)
	if tried && !admin {
		c.unauthorised(w, "reading: wrong token", "")
		return false, false
	}
	return admin, true
}

// live is what the page asks for once a second.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	admin, ok := c.reader(w, r)
	if !ok {
		return
	}
	v := c.look()
	now := c.now()
	until, at := v.next(now, c.o.Due)
	c.mu.Lock()
	l := struct {
		Now     int64  `json:"now"`  // Unix milliseconds
		Zone    int    `json:"zone"` // seconds east
		State   string `json:"state"`
		Until   string `json:"until"`
		Target  int64  `json:"target"`  // what is counted down to; 0 = nothing
		Version string `json:"version"` // of the page
		Job     *job   `json:"job"`
		Failed  string `json:"failed"`
		Admin   bool   `json:"admin"`
	}{now.UnixMilli(), 0, v.state(now).String(), until, 0, "", c.job, c.failed, admin}
	sum := sha256.Sum256([]byte(fmt.Sprint(v.stamp, l.State, until, v.Broken, c.fair.done, c.job != nil, c.failed)))
	c.mu.Unlock()
	_, l.Zone = now.Zone()
	l.Version = hex.EncodeToString(sum[:8])
	if !at.IsZero() {
		l.Target = at.UnixMilli()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l) // who asked has gone
}

// revealed says whether what winners follow from may be shown.
func (v *view) revealed(admin bool) bool { return v.Drawn != nil && (admin || v.Published != nil) }

// prove makes an entry's proof as far as who asks may see it.
func (v *view) prove(id lottery.ID, admin bool) (lottery.Proof, lottery.Fate, error) {
	p, err := v.Bundle.Prove(id)
	if err != nil {
		return p, lottery.Fate{}, err
	}
	if !v.revealed(admin) {
		p.Draw, p.DrawSignatures = "", nil // as it was before the draw
	}
	f, err := p.Check(nil)
	return p, f, err
}

func (c *Console) proof(w http.ResponseWriter, r *http.Request) {
	admin, ok := c.reader(w, r)
	if !ok {
		return
	}
	text, is := strings.CutSuffix(r.PathValue("file"), ".json")
	id, err := lottery.ParseID(text)
	v := c.look()
	if !is || err != nil || v.Bundle == nil {
		http.NotFound(w, r)
		return
	}
	p, _, err := v.prove(id, admin)
	var doc []byte
	if err == nil {
		doc, err = p.Encode()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	attach(w, "proof-"+id.String()+".json", "application/json")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(doc))
}

// file serves a file of the bundle, by name from the table.
func (c *Console) file(w http.ResponseWriter, r *http.Request) {
	admin, ok := c.reader(w, r)
	if !ok {
		return
	}
	v := c.look()
	for _, f := range files {
		if f.Name != r.PathValue("file") || v.Bundle == nil {
			continue
		}
		if f.Late && v.Drawn == nil && f.Name != lottery.FileAudit {
			break
		}
		if f.Late && v.Drawn != nil && !v.revealed(admin) {
			http.Error(w, "not before the draw is published", http.StatusForbidden)
			return
		}
		select {
		case c.sending <- struct{}{}:
			defer func() { <-c.sending }()
		default:
			w.Header().Set("Retry-After", "10")
			http.Error(w, "too many files are being sent: try again later", http.StatusServiceUnavailable)
			return
		}
		content, err := os.Open(filepath.Join(v.Bundle.Dir, f.Name))
		if err != nil {
			http.Error(w, "the file cannot be read", http.StatusInternalServerError)
			return
		}
		defer content.Close() // only read
		attach(w, v.Seal.Day+"-"+f.Name, f.Kind)
		http.ServeContent(&patient{w, http.NewResponseController(w)}, r, "", time.Time{}, content)
		return
	}
	http.NotFound(w, r)
}

// patient lets a file take as long as it takes, as long as its pieces are taken.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	err := p.control.SetWriteDeadline(clock.NewWall().Origin().Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) { // a recorder in a test has none
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// list serves a pharmacy's list as CSV once it is published. Before, it is an action.
func (c *Console) list(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.reader(w, r); !ok {
		return
	}
	v := c.look()
	text, is := strings.CutSuffix(r.PathValue("file"), ".csv")
	i, err := strconv.Atoi(text)
	if !is || err != nil || strconv.Itoa(i) != text || v.Drawn == nil {
		http.NotFound(w, r)
		return
	}
	if v.Published == nil {
		http.Error(w, "not before the draw is published", http.StatusForbidden)
		return
	}
	lists, err := c.listsOf(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if i < 0 || i >= len(lists) {
		http.NotFound(w, r)
		return
	}
	var b bytes.Buffer
	if err := c.o.List(&b, lists[i]); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	attach(w, c.o.FileName(lists[i])+".csv", "text/csv; charset=utf-8")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.Bytes()))
}
