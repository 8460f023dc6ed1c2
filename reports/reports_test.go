package reports_test

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
	"spillway/reports"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: make it with -rewrite", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look, then -rewrite. Got:\n%s", path, got)
	}
}

// known is a record small enough to count by hand: k = 2, 1:10, opening at run
// second 2.
func known() *record.Record {
	r := record.New(record.Header{Label: "x", Scenario: "hand", Title: "By hand", Mode: "queued", Seed: 7, Commit: "c", People: 0.1, TimeScale: 2,
		From: -4 * time.Second, To: 16 * time.Second, Shards: 1, Margin: math.NaN(), Requested: 400, Achieved: 399,
		Windows:  []record.Window{{Name: "before", From: -4 * time.Second}, {Name: "peak", To: 16 * time.Second}},
		Capacity: map[string]float64{"stock.reservations": 50}})
	add := func(span, outcome, group string, second int32, d time.Duration, n uint64) {
		r.Hist(record.Key{Span: span, Clock: record.Response, Outcome: outcome, Group: group, Second: second}).AddN(d, n)
	}
	add("status", "wait", "people", 1, 4*time.Microsecond, 30)
	add("submit", "queued", "people", 3, 100*time.Nanosecond, 20)
	add("submit", "queued", "bots", 3, time.Hour, 5)
	add("submit", "busy", "people", 3, 200*time.Nanosecond, 30)
	add("submit", "timeout", "people", 4, 300*time.Nanosecond, 15)
	add("ledger", "confirmed", "", 3, 400*time.Nanosecond, 25)
	add("lateness", "", "", 3, 500*time.Nanosecond, 1000)
	r.Count(record.CountRequests, 3*time.Second, 90)
	r.Count(record.CountFirstTries, 3*time.Second, 60)
	r.Count(record.CountRequests, 4*time.Second, 190)
	r.Count(record.CountFirstTries, 4*time.Second, 19) // one short of having a say
	r.Groups = []record.Group{
		{Name: "people", Visitors: 200, Stages: map[string]uint64{"visit": 200, "books": 100, "pressed": 80, "accepted": 20, "confirmed": 20},
			Finals: map[string]uint64{"gave-up-at-gate": 10, "gave-up-error": 15, "confirmed": 20, "left": 155}},
		{Name: "bots", Visitors: 5, Stages: map[string]uint64{"pressed": 5, "confirmed": 5, "accepted": 5}, Finals: map[string]uint64{"confirmed": 5}}}
	r.Deciles = make([]record.Decile, 10)
	r.Deciles[0].Confirmed, r.Deciles[9].Confirmed = 5, 20
	r.Samples[record.SampleWritten] = []record.Point{{At: 1, Value: 3}, {At: 2, Value: 40}}
	r.Samples[record.SampleQueueAge] = []record.Point{{At: 1, Value: 1.5}}
	r.Marks[record.MarkSoldOut] = 5 * time.Second
	return r
}

// Every number against arithmetic done by hand.
func TestNumbersByHand(t *testing.T) {
	s := reports.Summarize(known())
	for _, c := range []struct {
		what string
		got  reports.Value
		want float64
	}{
		{"gave up: 25 of 100", s.GaveUp.Share, 0.25},
		{"confirmed: 40 rows of 50", s.Confirmed.Share, 0.8},
		{"sold out: -4 s + 2 x 5 s", s.SoldOut, 6},
		{"oldest: 2 x 1.5 s", s.QueueAge, 3},
		{"amplification: 90/60, the second of 19 first tries has no say", s.Amplified, 1.5},
		{"first tenth: 5 of 25", s.FirstTenth, 0.2},
		{"wait p50: 2 x 400 ns", s.Wait.P50, 800e-9},
		{"lateness p99 stays wall time", s.Lateness.P99, 500e-9},
		{"requests a wall second, peak", s.PeakS, 190},
		{"requests a wall second, mean: 280 in 10 s", s.RateS, 28},
	} {
		if !c.got.OK || math.Abs(c.got.V-c.want) > 1e-12*math.Abs(c.want)+1e-18 {
			t.Errorf("%s: %+v, want %v", c.what, c.got, c.want)
		}
	}
	for _, v := range []reports.Value{s.QueueDepth, s.GatewayLoad, s.Backlog, s.LastRow, s.Dead} {
		if v.OK || v.Text(reports.Count) != "n/a" {
			t.Errorf("a quantity the run has not: %+v", v)
		}
	}
	if s.Wait.P95.OK || s.Wait.P95.Text(reports.Seconds) != "cannot tell" {
		t.Errorf("p95 of 25 samples: %+v", s.Wait.P95)
	}
	for _, x := range s.Spans {
		if x.Span == "submit" && x.Outcome == "queued" && (x.All.N != 20 || x.All.Max.V > 1) {
			t.Errorf("bots are among the submits of people: %+v", x.All)
		}
		if x.Span == "status" && (x.Windows[0].N != 30 || x.Windows[1].N != 0) {
			t.Errorf("status in windows: %+v", x.Windows)
		}
	}
	want := []reports.Number{
		{Name: "busy", N: 30, Of: "requests", OfN: 100, Share: reports.Got(0.3)},
		{Name: "timeout", N: 15, Of: "requests", OfN: 100, Share: reports.Got(0.15)}}
	if !reflect.DeepEqual(s.Refusals, want) {
		t.Errorf("refusals %+v", s.Refusals)
	}
	// Seconds 0, 1 and 2 have mean loads 0.5, 0.9 and 0.2; the greatest sample is in the first.
	r := known()
	ms := time.Millisecond
	r.Samples[record.SampleGatewayLoad] = []record.Point{{At: 100 * ms}, {At: 600 * ms, Value: 1}, {At: 1000 * ms, Value: 0.9}, {At: 2999 * ms, Value: 0.2}}
	if v := reports.GatewayLoad(r); !v.OK || v.V != 0.9 {
		t.Errorf("peak load %+v, want 0.9", v)
	}
	// 40 rows, 25 visits told: 37.5 % never told. 65 submits of people in the peak.
	if s.Reason != "" {
		t.Errorf("reason %q from fewer than 100 calls", s.Reason)
	}
	r = known()
	r.Hist(record.Key{Span: "submit", Clock: record.Response, Outcome: "timeout", Group: "people", Second: 4}).AddN(15*time.Second, 135)
	r.Samples[record.SampleDatabaseWait] = []record.Point{{At: 1, Value: 21}}
	got := reports.Summarize(r).Reason
	if want := "timeouts: 75 % of the submit calls in the peak had no answer (150 of 200); the database's backlog reached 42.0 s; retries made 1.50 requests of each first try; 38 % of the 40 rows written belong to visits that were never told so."; got != want {
		t.Errorf("reason\n%q, want\n%q", got, want)
	}
}

func TestGolden(t *testing.T) {
	a, b := recordtest.Evening(1), recordtest.Lossless(1)
	s := reports.Summarize(a)
	golden(t, "evening.txt", s.Text())
	golden(t, "evening.md", s.Markdown())
	golden(t, "lossless.txt", reports.Summarize(b).Text())
	j, err := reports.Summarize(known()).JSON()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "known.json", string(j))
	off := recordtest.Make(recordtest.Options{Seed: 1, Bots: 50, Off: []string{"admission"}})
	two := recordtest.Evening(2)
	golden(t, "tables.txt", reports.Compare([]string{"layered", "lossless"}, a, b).Text()+"\n"+
		reports.Layers([]*record.Record{a}, []*record.Record{off}, nil).Text()+"\n"+
		reports.Sweep([]reports.Point{
			{Settings: []record.Setting{{Key: "admission.probability", Value: "20 %"}}, Records: []*record.Record{a, two}},
			{Settings: []record.Setting{{Key: "admission.probability", Value: "100 %"}, {Key: "queue.depth", Value: "2000"}}, Records: []*record.Record{off}},
			{}}).Text())
}

// The summary must not know which arm wrote a record.
func TestLabelChangesNothing(t *testing.T) {
	a, b := known(), known()
	b.Header.Label = "sim"
	x, y := reports.Summarize(a), reports.Summarize(b)
	x.Label, x.Digest, y.Label, y.Digest = "", "", "", ""
	if !reflect.DeepEqual(x, y) {
		t.Error("the label changes the summary")
	}
}

// Whatever a record holds, the screen is a screen, the JSON is JSON and no cell
// carries a control character.
func TestSparseRecords(t *testing.T) {
	for seed := range uint64(80) {
		r := recordtest.Sparse(seed)
		s := reports.Summarize(r)
		text := s.Text()
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(lines) > 24 {
			t.Fatalf("seed %d: %d lines:\n%s", seed, len(lines), text)
		}
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > 100 {
				t.Fatalf("seed %d: a line of %d columns: %s", seed, n, l)
			}
		}
		if strings.ContainsAny(text+s.Markdown(), "\x1b\r") {
			t.Fatalf("seed %d: a control character:\n%q", seed, text)
		}
		if strings.Contains(text+s.Markdown(), "NaN") || strings.Contains(text, "Inf") {
			t.Fatalf("seed %d: a number that is none:\n%s", seed, text)
		}
		b, err := s.JSON()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var back reports.Summary
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		reports.Compare(nil, r, r).Markdown()
		reports.Layers([]*record.Record{r}, []*record.Record{r}).Text()
		reports.Sweep([]reports.Point{{Records: []*record.Record{r}}}).Text()
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		u    reports.Unit
		v    float64
		want string
	}{
		{reports.Seconds, 0, "0 s"}, {reports.Seconds, 6e-7, "600 ns"}, {reports.Seconds, 12.3e-6, "12.3 µs"}, {reports.Seconds, 0.0194, "19.4 ms"},
		{reports.Seconds, 0.9996, "1.00 s"}, {reports.Seconds, 5.018, "5.02 s"}, {reports.Seconds, 3725, "1h2m5s"},
		{reports.Moment, 18.53, "18.5 s after"}, {reports.Moment, -3, "3.00 s before"},
		{reports.Share, 0, "0 %"}, {reports.Share, 1, "100 %"}, {reports.Share, 0.9996, "> 99.9 %"}, {reports.Share, 0.991, "99.1 %"},
		{reports.Share, 0.0004, "< 0.1 %"}, {reports.Share, 0.0521, "5.2 %"}, {reports.Share, 0.285, "28 %"},
		{reports.Count, 75600, "75,600"}, {reports.Count, 999, "999"}, {reports.Count, -1234567, "-1,234,567"},
		{reports.Factor, 0.753, "0.75"}, {reports.Factor, 42.34, "42.3"}, {reports.Factor, 155500, "155,500"},
	} {
		if got := c.u.Format(c.v); got != c.want {
			t.Errorf("%v in unit %d = %q, want %q", c.v, c.u, got, c.want)
		}
	}
	for people, want := range map[float64]string{0.01: "1:100", 1: "1:1", 0.005: "1:200", 0: "1:?", 0.4: "1:2.5"} {
		if got := reports.Thinning(people); got != want {
			t.Errorf("thinning %v = %q, want %q", people, got, want)
		}
	}
	if got := reports.Escape("a|b\n<i>*x*_`[l](u)\x1b[31m\u202e"); got != "a\\|b &lt;i&gt;\\*x\\*\\_\\`\\[l\\](u) \\[31m " {
		t.Errorf("escaped to %q", got)
	}
}
