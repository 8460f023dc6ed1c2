package reference

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"spillway/internal/clock"
	"spillway/internal/fault"
	"spillway/internal/wire"
)

// Limits of control.
const (
	memberTimeout  = time.Second // of a call: a paused member holds up a run's timed faults for so long
	memberBytesMax = 16 << 20
	membersMax     = 256
	owedMax        = 64 // calls kept for a member that did not take them
	outagesMax     = 50 // outages kept for the notes
	offsetMax      = int64(1000 * time.Hour)
)

// Control serves the admin contract for a whole deployment: it hands each call to
// every member and merges what they answer, so that whoever drives a run needs one
// URL and one token. A member that does not answer is named and ends nothing; what
// it missed of the start and the config it gets when it is back.
type Control struct {
	config  Config
	clock   clock.Clock
	client  *http.Client
	members []*member
	abuses  abuseCounts
	admin   *http.Server
	ready   Ready

	mu      sync.Mutex // held while samples are merged
	outages []*outage
	serving sync.WaitGroup
}

// member is one process of the deployment.
type member struct {
	url, name string

	mu     sync.Mutex        // held during a call that orders something
	owed   []order           // the start and the changes that it did not take
	lost   *outage           // under way; nil = it answers; guarded by Control.mu
	series map[string]*track // guarded by Control.mu
}

// order is one admin call with a body.
type order struct {
	path string
	body []byte
}

// outage is a time in which a member did not answer.
type outage struct {
	who, why string
	from, to time.Duration // offsets of the run
	over     bool
}

// OpenControl serves for the members that the config names, whether they answer
// yet or not. Errors of the machine wrap ErrEnvironment.
func OpenControl(ctx context.Context, c Config) (*Control, error) {
	c = c.defaults()
	if err := c.checkControl(); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	x := &Control{config: c, clock: clock.WallFrom(time.Unix(0, 0)), client: &http.Client{
		Transport:     &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 2, ResponseHeaderTimeout: drainLongest + memberTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for _, m := range c.Members {
		u, _ := url.Parse(m) // checked above
		x.members = append(x.members, &member{url: strings.TrimSuffix(m, "/"), name: u.Host, series: map[string]*track{}})
	}
	l, err := listen(ctx, c.AdminListen)
	if err != nil {
		return nil, err
	}
	x.ready = Ready{AdminURL: "http://" + l.Addr().String(), AdminToken: c.AdminToken, Event: c.Event, PID: os.Getpid()}
	d := &door{Listener: l, max: adminConnections, counts: &x.abuses}
	x.admin = d.server(x.handler().ServeHTTP)
	x.serving.Go(func() { _ = x.admin.Serve(d) }) // it ends when Close shuts it down
	return x, nil
}

// checkControl refuses what control cannot work with.
func (c Config) checkControl() error {
	switch {
	case c.AdminToken == "":
		return errors.New("admin_token: control speaks for its members with the token that they share; give it")
	case len(c.Members) < 1 || len(c.Members) > membersMax:
		return fmt.Errorf("members: %d of them: want 1 to %d admin URLs", len(c.Members), membersMax)
	}
	for _, m := range c.Members {
		if u, err := url.Parse(m); err != nil || u.Scheme != "http" || u.Host == "" || u.RawQuery != "" {
			return fmt.Errorf("members: %.80q: want http://HOST:PORT", m)
		}
	}
	return nil
}

// Ready tells where control serves; it has no visitors' part.
func (x *Control) Ready() Ready { return x.ready }

// Close stops serving. The members go on.
func (x *Control) Close(ctx context.Context) error {
	if err := x.admin.Shutdown(ctx); err != nil {
		_ = x.admin.Close() // there is no gentler way left
	}
	x.serving.Wait()
	x.client.CloseIdleConnections()
	return nil
}

func (x *Control) handler() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{wire.PathAdminStart, wire.PathAdminConfig} {
		mux.HandleFunc("POST "+path, x.guard(func(w http.ResponseWriter, r *http.Request) { x.forward(w, r, path, true) }))
	}
	for _, path := range []string{wire.PathAdminFaults, wire.PathAdminCheck} { // a fault has its moment
		mux.HandleFunc("POST "+path, x.guard(func(w http.ResponseWriter, r *http.Request) { x.forward(w, r, path, false) }))
	}
	mux.HandleFunc("GET "+wire.PathAdminSamples, x.guard(x.samples))
	mux.HandleFunc("POST "+wire.PathAdminDrain, x.guard(x.drain))
	mux.HandleFunc("/admin/", x.guard(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "no such admin call")
	}))
	mux.HandleFunc("GET "+wire.PathHealth, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+wire.PathReady, x.readyz)
	return mux
}

func (x *Control) guard(next http.HandlerFunc) http.HandlerFunc {
	return guard(x.config.AdminToken, next, func() {})
}

// answer is what a member said; err is set when it said nothing.
type answer struct {
	m    *member
	code int
	body []byte
	err  error
}

func (a answer) ok() bool { return a.err == nil && a.code/100 == 2 }

// ask makes one call of a member.
func (x *Control) ask(ctx context.Context, m *member, method, path string, body []byte, within time.Duration) answer {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	a := answer{m: m}
	r, err := http.NewRequestWithContext(ctx, method, m.url+path, bytes.NewReader(body))
	if err != nil {
		a.err = err
		return a
	}
	r.Header.Set("Authorization", "Bearer "+x.config.AdminToken)
	resp, err := x.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the method and the URL, which the name tells
		}
		a.err = err
		return a
	}
	defer resp.Body.Close()
	a.code = resp.StatusCode
	a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, memberBytesMax))
	return a
}

// each asks every member at once and keeps their order.
func (x *Control) each(f func(m *member) answer) []answer {
	out := make([]answer, len(x.members))
	var wg sync.WaitGroup
	for i, m := range x.members {
		wg.Go(func() { out[i] = f(m) })
	}
	wg.Wait()
	return out
}

// forward hands a call to every member. It is done when one took it: a kind of
// fault is for those who have the part that breaks. With kept, who did not answer
// gets it later.
func (x *Control) forward(w http.ResponseWriter, r *http.Request, path string, kept bool) {
	body, err := x.abuses.body(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	hand := func(m *member) answer {
		m.mu.Lock()
		defer m.mu.Unlock()
		a := x.settle(r.Context(), m)
		if a.err == nil {
			a = x.ask(r.Context(), m, http.MethodPost, path, body, memberTimeout)
		}
		if a.err != nil && kept {
			if m.owed = append(m.owed, order{path, body}); len(m.owed) > owedMax {
				m.owed = m.owed[1:]
			}
		}
		return a
	}
	var answers []answer
	var f wire.Fault
	if path == wire.PathAdminFaults && json.Unmarshal(body, &f) == nil && f.Kind == fault.Poison {
		// They come into the queue that all share: from one member, as many as said.
		for _, m := range x.members {
			a := hand(m)
			if answers = append(answers, a); a.ok() {
				break
			}
		}
	} else {
		answers = x.each(hand)
	}
	if path == wire.PathAdminStart {
		x.forget()
	}
	var missed []string
	took, refused := 0, -1
	for i, a := range answers {
		switch {
		case a.ok():
			took++
		case a.err != nil:
			missed = append(missed, fmt.Sprintf("%s: %v", a.m.name, a.err))
		case refused < 0:
			refused = i
		}
	}
	switch {
	case refused >= 0 && (took == 0 || kept): // a start or a change is good for all or for none
		a := answers[refused]
		refuse(w, a.code, fmt.Sprintf("%s: %s", a.m.name, strings.TrimSpace(string(a.body))))
	case took == 0:
		refuse(w, http.StatusServiceUnavailable, "no member answers: "+strings.Join(missed, "; "))
	case len(missed) > 0:
		_, _ = io.WriteString(w, "not reached: "+strings.Join(missed, "; ")+"\n") // the client may be gone
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// forget forgets what was told in offsets of an earlier run.
func (x *Control) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range x.members {
		m.series, m.lost = map[string]*track{}, nil
	}
	x.outages = nil
}

// settle gives a member what it missed. The member is locked.
func (x *Control) settle(ctx context.Context, m *member) answer {
	for len(m.owed) > 0 {
		a := x.ask(ctx, m, http.MethodPost, m.owed[0].path, m.owed[0].body, memberTimeout)
		if a.err != nil {
			return a
		}
		m.owed = m.owed[1:] // one that it refuses now it would refuse again
	}
	return answer{m: m}
}

func (x *Control) samples(w http.ResponseWriter, r *http.Request) {
	after, err := since(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	said := make([]wire.Samples, len(x.members))
	answers := x.each(func(m *member) answer {
		m.mu.Lock()
		defer m.mu.Unlock()
		a := x.settle(r.Context(), m)
		if a.err == nil {
			a = x.ask(r.Context(), m, http.MethodGet, wire.PathAdminSamples+fmt.Sprintf("?since=%d", int64(after)), nil, memberTimeout)
		}
		return a
	})
	var heard []told
	for i, a := range answers {
		if a.err == nil && !a.ok() {
			a.err = fmt.Errorf("it answers %d: %.80s", a.code, strings.TrimSpace(string(a.body)))
		}
		if a.err == nil {
			said[i], a.err = decodeSamples(a.body)
		}
		if a.err == nil {
			heard = append(heard, told{a.m, said[i]})
		}
		answers[i] = a
	}
	if len(heard) == 0 {
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("no member answers; the first, %s: %v", answers[0].m.name, answers[0].err))
		return
	}
	now := middle(heard)
	for _, a := range answers {
		x.watch(a, now)
	}
	out := merge(x.members, heard, after, now)
	out.Notes = append(out.Notes, x.notes()...)
	answerJSON(w, out)
}

// decodeSamples reads what a member said, if its moment makes sense.
func decodeSamples(body []byte) (out wire.Samples, err error) {
	if err = json.Unmarshal(body, &out); err != nil {
		return out, err
	}
	if now := out.NowNanos; now < -offsetMax || now > offsetMax {
		return out, fmt.Errorf("now_ns %d: no run is so long", now)
	}
	return out, nil
}

// watch notes when a member falls silent and when it is back.
func (x *Control) watch(a answer, now time.Duration) {
	switch m := a.m; {
	case a.err != nil && m.lost == nil && len(x.outages) < outagesMax:
		m.lost = &outage{who: m.name, why: a.err.Error(), from: now}
		x.outages = append(x.outages, m.lost)
	case a.err == nil && m.lost != nil:
		m.lost.to, m.lost.over = now, true
		m.lost = nil
	}
}

func (x *Control) notes() []string {
	var out []string
	for _, o := range x.outages {
		until := "to the end"
		if o.over {
			until = fmt.Sprintf("to %.1f s", o.to.Seconds())
		}
		out = append(out, fmt.Sprintf("%s gave no samples from %.1f s %s of the run: %s", o.who, o.from.Seconds(), until, o.why))
	}
	return out
}

func (x *Control) drain(w http.ResponseWriter, r *http.Request) {
	within, err := drainWithin(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	answers := x.each(func(m *member) answer {
		return x.ask(r.Context(), m, http.MethodPost, wire.PathAdminDrain+"?within="+within.String(), nil, within+memberTimeout)
	})
	var out wire.Drained
	heard := 0
	for _, a := range answers {
		var one wire.Drained
		if a.ok() && json.Unmarshal(a.body, &one) == nil {
			heard++ // all look at one queue
			out.Depth, out.Dead = max(out.Depth, one.Depth), max(out.Dead, one.Dead)
		}
	}
	if heard == 0 {
		refuse(w, http.StatusServiceUnavailable, "no member answers")
		return
	}
	answerJSON(w, out)
}

// readyz answers 200 when every member is ready, and else names those that are not.
func (x *Control) readyz(w http.ResponseWriter, r *http.Request) {
	var missing []string
	for _, a := range x.each(func(m *member) answer {
		return x.ask(r.Context(), m, http.MethodGet, wire.PathReady, nil, memberTimeout)
	}) {
		switch {
		case a.err != nil:
			missing = append(missing, fmt.Sprintf("%s: %v", a.m.name, a.err))
		case !a.ok():
			missing = append(missing, fmt.Sprintf("%s: %s", a.m.name, strings.TrimSpace(string(a.body))))
		}
	}
	if len(missing) > 0 {
		refuse(w, http.StatusServiceUnavailable, "not ready: "+strings.Join(missing, "; "))
		return
	}
	w.WriteHeader(http.StatusOK)
}

// told is what a member said of itself.
type told struct {
	m *member
	wire.Samples
}

// middle is the offset of the run by most members: one whose clock is elsewhere
// moves it little.
func middle(heard []told) time.Duration {
	all := make([]time.Duration, len(heard))
	for i, t := range heard {
		all[i] = time.Duration(t.NowNanos)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
