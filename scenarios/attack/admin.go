package attack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/fault"
	"spillway/internal/record"
	"spillway/internal/wire"
	"spillway/scenarios"
)

// Admin is the token-guarded part of a target: with it a run posts the scenario's
// config changes and faults and reads the backend's own samples.
type Admin struct {
	URL   string
	Token string
}

// Limits of the admin part.
const (
	adminTimeout = 5 * time.Second
	adminBodyMax = 16 << 20 // samples every 100 ms, read every 500 ms, take some 20 kB
	sampleEvery  = 500 * time.Millisecond
)

// admin talks to the admin part while the run lasts.
type admin struct {
	base   string
	token  string
	client *http.Client
	length time.Duration
	inject func(context.Context, wire.Fault) (bool, error)

	mu     sync.Mutex
	since  time.Duration // of the next samples
	series map[string][]record.Point
	marks  map[string]time.Duration
	waited []waited
	depth  float64 // the latest queue depth
	hasAny bool
	notes  []string
	theirs []string // of the backend: each answer has all of them
}

// waited is one row as the ledger reports it.
type waited struct{ written, wait time.Duration }

func newAdmin(a *Admin, length time.Duration) (*admin, error) {
	u, err := parseTarget(a.URL)
	if err != nil {
		return nil, fmt.Errorf("admin part: %w", err)
	}
	return &admin{base: strings.TrimSuffix(u.String(), "/"), token: a.Token, length: length,
		client: &http.Client{Timeout: adminTimeout, Transport: &http.Transport{Proxy: nil, MaxIdleConns: 4}, CheckRedirect: noRedirect},
		series: map[string][]record.Point{}, marks: map[string]time.Duration{}}, nil
}

func (a *admin) close() { a.client.CloseIdleConnections() }

// call makes one admin call; in and out may be nil.
func (a *admin) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("attack: encoding for %s: %w", path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return fmt.Errorf("attack: admin call %s: %w", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: admin part %s: %w; start the backend or leave the admin part out", ErrTarget, a.base, cause(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, adminBodyMax))
	if err != nil {
		return fmt.Errorf("attack: admin call %s: %w", path, err)
	}
	if resp.StatusCode == http.StatusBadRequest {
		return fmt.Errorf("%w: admin call %s: %w", ErrTarget, path, errRefused{firstLine(b)})
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%w: admin call %s answered %s; check the admin URL and token", ErrTarget, path, resp.Status)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%w: admin call %s answered no JSON of the contract: %w", ErrTarget, path, err)
	}
	return nil
}

// errRefused is what the admin part says of a call that makes no sense to it.
type errRefused struct{ said string }

func (e errRefused) Error() string { return cmp.Or(e.said, "refused without a word") }

// firstLine is what a target says, fit for a line of ours.
func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, line)
	return strings.ToValidUTF8(line[:min(len(line), 200)], "")
}

// refuse asks Inject, then the admin part, whether they can do what is due, and
// returns the first refusal: half a scenario of faults proves nothing. A target that
// cannot be asked is taken at its word in mid-run.
func (a *admin) refuse(ctx context.Context, due []post) error {
	for _, p := range due {
		f, ok := p.body.(wire.Fault)
		if !ok {
			continue
		}
		if a.inject != nil {
			ask := f
			ask.For = 0
			if handled, err := a.inject(ctx, ask); err != nil {
				return fmt.Errorf("%w: %s at %v: %w", ErrInput, p.what, p.at, err)
			} else if handled {
				continue
			}
		}
		var no errRefused
		if err := a.call(ctx, http.MethodPost, wire.PathAdminCheck, f, nil); errors.As(err, &no) {
			return fmt.Errorf("%w: %s at %v: the target refuses it: %w", ErrInput, p.what, p.at, no)
		}
	}
	return nil
}

// post does one timed call.
func (a *admin) post(ctx context.Context, p post) error {
	if f, ok := p.body.(wire.Fault); ok && a.inject != nil {
		if handled, err := a.inject(ctx, f); handled || err != nil {
			return err
		}
	}
	return a.call(ctx, http.MethodPost, p.path, p.body, nil)
}

// start tells the backend when offset 0 is.
func (a *admin) start(ctx context.Context, origin time.Time) error {
	return a.call(ctx, http.MethodPost, wire.PathAdminStart, wire.Start{UnixNano: origin.UnixNano()}, nil)
}

// post is one timed call.
type post struct {
	at   time.Duration
	path string
	body any
	what string
}

// posts lists the scenario's changes and faults within the window, in order.
func posts(sc *scenarios.Scaled) ([]post, error) {
	var out []post
	for _, c := range sc.ChangesWithin() {
		change, err := wireChange(c)
		if err != nil {
			return nil, err
		}
		out = append(out, post{c.At, wire.PathAdminConfig, change, "change of " + c.Key + " to " + c.To})
	}
	for _, f := range sc.FaultsWithin() {
		out = append(out, post{f.At, wire.PathAdminFaults, wire.Fault{Kind: f.Kind, For: f.For, Amount: f.Amount, Target: f.Target},
			"fault " + fault.Name(f.Kind, f.Target)})
	}
	slices.SortStableFunc(out, func(x, y post) int { return int(min(max(x.at-y.at, -1), 1)) })
	return out, nil
}

// wireChange is a scenario's change in the words of the contract.
func wireChange(c scenarios.ConfigChange) (wire.Change, error) {
	switch c.Key {
	case "admission.probability":
		return wire.Change{Probability: &c.Runtime.Probability}, nil
	case "admission.gate":
		name := c.Runtime.Gate.String()
		return wire.Change{Gate: &name}, nil
	case "admission.results":
		return wire.Change{Results: &c.Runtime.Results}, nil
	}
	return wire.Change{}, fmt.Errorf("attack: change of %.40q: a running target can change admission.probability, admission.gate and admission.results", c.Key)
}

// serve posts what is due and reads samples until ctx ends. What goes wrong is
// noted and does not end the run.
func (a *admin) serve(ctx context.Context, clk clock.Clock, due []post) {
	next := time.Duration(0)
	for {
		at := next
		if len(due) > 0 {
			at = min(at, due[0].at)
		}
		if !sleepUntil(ctx, clk, at) {
			return
		}
		now := clk.Now()
		for len(due) > 0 && due[0].at <= now {
			if err := a.post(ctx, due[0]); err != nil && ctx.Err() == nil {
				a.note(fmt.Sprintf("the %s at %v did not reach the backend: %v", due[0].what, due[0].at, err))
			}
			due = due[1:]
		}
		if now >= next {
			a.sample(ctx)
			next = max(next+sampleEvery, clk.Now()-sampleEvery)
		}
	}
}

// sleepUntil waits for an offset; false says that ctx ended first.
func sleepUntil(ctx context.Context, clk clock.Clock, at time.Duration) bool {
	d := at - clk.Now()
	if d <= 0 {
		return ctx.Err() == nil
	}
	rung := make(chan struct{})
	stop := clk.AfterFunc(d, func() { close(rung) })
	select {
	case <-rung:
		return true
	case <-ctx.Done():
		stop()
		return false
	}
}

func (a *admin) note(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.notes) < 10 { // a dead admin part would fail a hundred times
		a.notes = append(a.notes, s)
	}
}

// sample reads the backend's samples since the last ones.
func (a *admin) sample(ctx context.Context) {
	a.mu.Lock()
	since := a.since
	a.mu.Unlock()
	var got wire.Samples
	path := wire.PathAdminSamples + "?since=" + strconv.FormatInt(int64(since), 10)
	if err := a.call(ctx, http.MethodGet, path, nil, &got); err != nil {
		if ctx.Err() == nil {
			a.note(fmt.Sprintf("samples since %v are missing: %v", since, err))
		}
		return
	}
	a.take(got)
}

// Bounds on what an admin part may tell: it may be anybody's. The bundled one has
// 14 series of ten points a second.
const (
	seriesMax = 64
	pointsMax = 1 << 17 // of one series: three and a half hours at ten a second
	waitedMax = 1 << 20 // 16 MB
	notesMax  = 64
	noteBytes = 300
)

// take folds one answer in.
func (a *admin) take(got wire.Samples) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hasAny = true
	a.since = max(a.since, time.Duration(got.NowNanos))
	a.theirs = nil
	for _, n := range got.Notes[:min(len(got.Notes), notesMax)] {
		a.theirs = append(a.theirs, strings.ToValidUTF8(n[:min(len(n), noteBytes)], ""))
	}
	for _, name := range slices.Sorted(maps.Keys(got.Series)) { // in order, for the bound
		points := got.Series[name]
		kept, known := a.series[name]
		if !known && len(a.series) >= seriesMax {
			continue
		}
		for _, p := range points {
			at, ok := moment(p[0])
			if !ok || len(kept) >= pointsMax || len(kept) > 0 && at <= kept[len(kept)-1].At {
				continue // told before
			}
			kept = append(kept, record.Point{At: at, Value: p[1]})
		}
		a.series[name] = kept
	}
	if d := a.series[record.SampleQueueDepth]; len(d) > 0 {
		a.depth = d[len(d)-1].Value
	}
	for _, name := range slices.Sorted(maps.Keys(got.Marks)) {
		s := got.Marks[name]
		if _, known := a.marks[name]; !known && len(a.marks) >= seriesMax {
			continue
		}
		if at, ok := moment(s); ok {
			a.marks[name] = at
		}
	}
	for _, p := range got.Waited["ledger"] {
		at, ok1 := moment(p[0])
		wait, ok2 := moment(p[1])
		if ok1 && ok2 && wait >= 0 && len(a.waited) < waitedMax {
			a.waited = append(a.waited, waited{at, wait})
		}
	}
}

// moment is seconds as an offset; ok is false for what no run can reach.
func moment(seconds float64) (time.Duration, bool) {
	const year = 365 * 24 * 3600
	if !(seconds > -year && seconds < year) {
		return 0, false
	}
	return time.Duration(seconds * 1e9), true
}

// into writes what the backend reported into the record.
func (a *admin) into(rec *record.Record, group string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, points := range a.series {
		rec.Samples[name] = points
	}
	for name, at := range a.marks {
		rec.Marks[name] = at
	}
	for _, w := range a.waited {
		k := record.Key{Span: record.SpanLedger, Clock: record.Response, Outcome: booking.Confirmed.String(),
			Group: group, Second: secondOf(w.written - w.wait)}
		rec.Hist(k).Add(w.wait)
	}
	rec.Header.Notes = append(append(rec.Header.Notes, a.notes...), a.theirs...)
	if !a.hasAny {
		rec.Header.Notes = append(rec.Header.Notes, "the backend gave no samples: its layers show n/a")
	}
}

// cause is a transport error without the method and URL that net/http puts first.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
