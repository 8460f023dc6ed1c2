package reference

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/wire"
)

func control(t *testing.T, token string, members ...string) *Control {
	t.Helper()
	x, err := OpenControl(context.Background(), Config{Role: RoleControl, AdminToken: token, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(context.Background()); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return x
}

func (x *Control) call(t *testing.T, method, path string, body any) reply {
	t.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	return call(t, method, x.ready.AdminURL+path, text, "Authorization", "Bearer "+x.ready.AdminToken)
}

func (x *Control) samplesOf(t *testing.T, since int64) (out wire.Samples) {
	t.Helper()
	r := x.call(t, "GET", fmt.Sprintf("%s?since=%d", wire.PathAdminSamples, since), nil)
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("samples: %v: %d %.200s", err, r.code, r.body)
	}
	return out
}

// One URL drives a deployment: the start, a change, a fault and the samples of
// two gateways and a writer.
func TestControlSpeaksForAll(t *testing.T) {
	c, _ := shared(t)
	c.Ledger.Rate, c.Ledger.Every = 1000, 5*time.Millisecond
	w := serve(t, as(RoleWriter, c))
	a, b := serve(t, as(RoleGateway, c)), serve(t, as(RoleGateway, c))
	x := control(t, "token", w.Ready().AdminURL, a.Ready().AdminURL, b.Ready().AdminURL)
	until(t, "all ready", func() bool { return call(t, "GET", x.ready.AdminURL+wire.PathReady, "").code == 200 })
	if r := call(t, "GET", x.ready.AdminURL+wire.PathAdminSamples, ""); r.code != 401 {
		t.Errorf("without a token: %d", r.code)
	}
	origin := time.Now().Add(-time.Hour)
	if r := x.call(t, "POST", wire.PathAdminStart, wire.Start{UnixNano: origin.UnixNano()}); r.code != 204 {
		t.Fatalf("start: %d %s", r.code, r.body)
	}
	p := 0.5
	if r := x.call(t, "POST", wire.PathAdminConfig, wire.Change{Probability: &p}); r.code != 204 {
		t.Fatalf("change: %d %s", r.code, r.body)
	}
	for _, s := range []*Stack{a, b, w} {
		if at := s.run(s.clock.Now()); at < time.Hour || at > time.Hour+time.Minute {
			t.Errorf("a member is at %v of the run", at)
		}
		if config, _ := s.admission.Config(); config.Probability != p {
			t.Errorf("a member's probability is %v", config.Probability)
		}
	}
	if r := x.call(t, "POST", wire.PathAdminConfig, map[string]any{"probability": 2}); r.code != 400 {
		t.Errorf("a bad change: %d", r.code)
	}
	// Only the writer has what this fault breaks.
	if r := x.call(t, "POST", wire.PathAdminFaults, wire.Fault{Kind: fault.WriterStop, For: time.Hour}); r.code != 204 {
		t.Errorf("writer-stop: %d %s", r.code, r.body)
	}
	if r := x.call(t, "POST", wire.PathAdminFaults, wire.Fault{Kind: "earthquake", For: time.Hour}); r.code != 400 {
		t.Errorf("an unknown fault: %d %s", r.code, r.body)
	}
	for user := range 4 {
		want(t, "a submit", []*Stack{a, b}[user%2].submitAs(t, user, fmt.Sprint("k", user), user%2), booking.Queued)
	}
	if w.writer.Stats().Rows != 0 {
		t.Error("the stopped writer wrote")
	}
	if r := x.call(t, "POST", wire.PathAdminFaults, wire.Fault{Kind: fault.WriterStop, For: time.Millisecond}); r.code != 204 {
		t.Errorf("the end of writer-stop: %d %s", r.code, r.body)
	}
	var d wire.Drained
	if err := json.Unmarshal([]byte(x.call(t, "POST", wire.PathAdminDrain+"?within=10s", nil).body), &d); err != nil || d.Depth != 0 {
		t.Errorf("drain: %v %+v", err, d)
	}
	var all wire.Samples
	waits, seen := 0, int64(0)
	until(t, "what was written in the samples", func() bool {
		all = x.samplesOf(t, seen)
		seen = all.NowNanos
		waits += len(all.Waited["ledger"])
		last := all.Series[sampleWritten]
		return len(last) > 0 && last[len(last)-1][1] == 4 && waits == 4
	})
	if all.Totals["replies.submit.queued"] != 4 || all.Totals["ledger.rows"] != 4 {
		t.Errorf("totals %v", all.Totals)
	}
	if len(all.Notes) != 0 {
		t.Errorf("notes %q", all.Notes)
	}
	// A member that dies is named, and the others go on.
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, "a note of the lost gateway", func() bool {
		all = x.samplesOf(t, all.NowNanos)
		return len(all.Notes) == 1 && strings.HasPrefix(all.Notes[0], strings.TrimPrefix(b.Ready().AdminURL, "http://"))
	})
	if len(all.Series[sampleStockFree]) == 0 {
		until(t, "samples of the others", func() bool { return len(x.samplesOf(t, all.NowNanos).Series[sampleStockFree]) > 0 })
	}
	if r := x.call(t, "POST", wire.PathAdminConfig, wire.Change{Probability: &p}); r.code != 200 || !strings.Contains(r.body, "not reached") {
		t.Errorf("a change with a member lost: %d %s", r.code, r.body)
	}
	if r := call(t, "GET", x.ready.AdminURL+wire.PathReady, ""); r.code != 503 {
		t.Errorf("ready with a member lost: %d", r.code)
	}
}

// Who missed the start and a change gets both, in order, as soon as it answers.
func TestControlRepeatsWhatWasMissed(t *testing.T) {
	var got []string // one call at a time
	var down atomic.Bool
	down.Store(true)
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		got = append(got, r.Method+" "+r.URL.Path)
		answerJSON(w, wire.Samples{})
	}))
	defer m.Close()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answerJSON(w, wire.Samples{}) }))
	defer up.Close()
	x := control(t, "t", m.URL, up.URL)
	on := true
	for path, body := range map[string]any{wire.PathAdminStart: wire.Start{UnixNano: 1}, wire.PathAdminFaults: wire.Fault{Kind: "f", For: 1}} {
		if r := x.call(t, "POST", path, body); r.code != 200 {
			t.Errorf("%s: %d %s", path, r.code, r.body)
		}
	}
	if r := x.call(t, "POST", wire.PathAdminConfig, wire.Change{Kill: &on}); r.code != 200 {
		t.Errorf("change: %d %s", r.code, r.body)
	}
	down.Store(false)
	x.samplesOf(t, 0)
	x.samplesOf(t, 0)
	wanted := []string{"POST " + wire.PathAdminStart, "POST " + wire.PathAdminConfig, "GET " + wire.PathAdminSamples, "GET " + wire.PathAdminSamples}
	if strings.Join(got, ",") != strings.Join(wanted, ",") {
		t.Errorf("the member heard %q, want %q", got, wanted)
	}
}

// Poison comes into the queue that all share, so one member has to make it.
func TestControlPoisonsOnce(t *testing.T) {
	var took atomic.Int64
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		took.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer m.Close()
	x := control(t, "t", "http://127.0.0.1:1", m.URL, m.URL)
	for kind, n := range map[string]int64{fault.Poison: 1, fault.SlowStore: 2} {
		took.Store(0)
		if r := x.call(t, "POST", wire.PathAdminFaults, wire.Fault{Kind: kind, For: time.Second, Amount: 1}); r.code != 200 || took.Load() != n {
			t.Errorf("%s: %d members took it, want %d: %d %s", kind, took.Load(), n, r.code, r.body)
		}
	}
}

func TestControlWithoutMembers(t *testing.T) {
	for name, c := range map[string]Config{
		"no token":   {Members: []string{"http://127.0.0.1:1"}},
		"no members": {AdminToken: "t"},
		"no URL":     {AdminToken: "t", Members: []string{"gateway1"}},
		"no port":    {AdminToken: "t", Members: []string{"http://127.0.0.1:1"}, AdminListen: "nowhere"},
	} {
		if x, err := OpenControl(context.Background(), c); err == nil {
			_ = x.Close(context.Background())
			t.Errorf("%s: opened", name)
		}
	}
	x := control(t, "t", "http://127.0.0.1:1")
	for _, path := range []string{wire.PathAdminStart, wire.PathAdminDrain} {
		if r := x.call(t, "POST", path, wire.Start{UnixNano: 1}); r.code != 503 {
			t.Errorf("%s: %d %s", path, r.code, r.body)
		}
	}
	if r := x.call(t, "GET", wire.PathAdminSamples, nil); r.code != 503 {
		t.Errorf("samples: %d %s", r.code, r.body)
	}
}

// What members tell at their own moments becomes one series on one beat; nothing
// is told twice and nothing before all had the time to tell.
func TestMergeSamples(t *testing.T) {
	const s = 1e9
	members := []*member{{series: map[string]*track{}}, {series: map[string]*track{}}}
	hear := func(a, b map[string][][2]float64, waited ...[2]float64) []told {
		return []told{{members[0], wire.Samples{Series: a, Waited: map[string][][2]float64{"ledger": waited}, Marks: map[string]float64{"m": 1}}},
			{members[1], wire.Samples{Series: b, Marks: map[string]float64{"m": 2}}}}
	}
	one := merge(members, hear(
		map[string][][2]float64{sampleGatewayBusy: {{1.03, 4}, {1.13, 6}}, sampleWritten: {{1.03, 10}}, sampleGatewayLoad: {{1.03, 0.5}}, sampleQueueDepth: {{1.03, 7}}},
		map[string][][2]float64{sampleGatewayBusy: {{1.07, 1}, {1.17, 2}}, sampleGatewayLoad: {{1.07, 1.5}}, sampleQueueDepth: {{1.07, 9}}},
		[2]float64{1.05, 0.1}, [2]float64{1.4, 0.2}), 1*s, 1.5*s)
	near := func(what string, got [][2]float64, want ...[2]float64) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
		for i := range got {
			if math.Abs(got[i][0]-want[i][0]) > 1e-9 || math.Abs(got[i][1]-want[i][1]) > 1e-9 {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
	}
	near("a sum", one.Series[sampleGatewayBusy], [2]float64{1.1, 5}, [2]float64{1.2, 8})
	near("a counter", one.Series[sampleWritten], [2]float64{1.1, 10}, [2]float64{1.2, 10})
	near("a mean", one.Series[sampleGatewayLoad], [2]float64{1.1, 1}, [2]float64{1.2, 1})
	near("the largest", one.Series[sampleQueueDepth], [2]float64{1.1, 9}, [2]float64{1.2, 9})
	near("waits up to the horizon", one.Waited["ledger"], [2]float64{1.05, 0.1})
	if one.NowNanos != 1.2*s || one.Marks["m"] != 2 {
		t.Errorf("now %d, marks %v", one.NowNanos, one.Marks)
	}
	// The first member restarts and counts from 0, the second has gone.
	two := merge(members, hear(map[string][][2]float64{sampleWritten: {{1.35, 2}}, sampleGatewayBusy: {{2.45, 3}}}, nil), 1.2*s, 2.8*s)
	written := two.Series[sampleWritten]
	near("a counter after a restart", written[len(written)-1:], [2]float64{2.5, 12})
	busy := two.Series[sampleGatewayBusy]
	near("a sum without the lost one", busy[len(busy)-1:], [2]float64{2.5, 3})
	if again := merge(members, hear(nil, nil), 2.5*s, 2.8*s); len(again.Series) != 0 || again.NowNanos != 2.5*s {
		t.Errorf("told again: %v at %d", again.Series, again.NowNanos)
	}
}

// A drain may take longer than a body.
func TestControlDrainTakesItsTime(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes as long as a body may, and a second")
	}
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(bodyTimeout + time.Second):
		case <-r.Context().Done():
		}
		answerJSON(w, wire.Drained{Depth: 3})
	}))
	defer m.Close()
	x := control(t, "t", m.URL)
	for _, body := range []any{nil, struct{}{}} {
		r := x.call(t, "POST", wire.PathAdminDrain+"?within=20s", body)
		if r.code != http.StatusOK || r.body != `{"depth":3,"dead":0}` {
			t.Errorf("with body %v: %d %s", body, r.code, r.body)
		}
	}
}
