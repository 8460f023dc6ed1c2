package gate_test

import (
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
	"spillway/reports/gate"
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

// base holds 1,000 accepted submits of 100 ns in the peak, 1,000 latenesses of
// 200 ns, and a few numbers more.
func base(objectives ...string) *record.Record {
	r := record.New(record.Header{Scenario: "s", People: 0.01, TimeScale: 2, From: -10 * time.Second, To: 40 * time.Second, Shards: 1,
		Windows: []record.Window{{Name: "before", From: -10 * time.Second}, {Name: "peak", To: 40 * time.Second}},
		Margin:  math.NaN(), Objectives: objectives, Capacity: map[string]float64{"stock.reservations": 100}})
	r.Hist(record.Key{Span: "submit", Clock: record.Response, Outcome: "queued", Group: "p", Second: 6}).AddN(100, 1000)
	r.Hist(record.Key{Span: "submit", Clock: record.Response, Outcome: "unsent", Group: "p", Second: 6}).AddN(time.Hour, 10)
	r.Hist(record.Key{Span: "submit", Clock: record.Response, Outcome: "queued", Group: "bots", Second: 6}).AddN(time.Hour, 1000)
	r.Hist(record.Key{Span: record.SpanLateness, Clock: record.Response}).AddN(200, 1000)
	r.Samples[record.SampleWritten] = []record.Point{{At: 1, Value: 90}}
	r.Samples[record.SampleStockFree] = []record.Point{{At: 25 * time.Second, Value: 10}}
	r.Samples[record.SampleQueueDepth] = []record.Point{{At: 1, Value: 7}}
	r.Invariants = []record.Invariant{{Name: "oversell", Detail: "d"}}
	return r
}

func TestObjectives(t *testing.T) {
	for _, c := range []struct {
		text   string
		status gate.Status
		shown  string
	}{
		{"submit.queued.peak.p99 < 201ns", gate.Held, "200 ns"}, // scenario time: twice the run's
		{"submit.queued.peak.p99 < 200ns", gate.Missed, "200 ns"},
		{"submit.queued.p99.9 < 1s", gate.CannotTell, "cannot tell"},
		{"submit.max < 1s", gate.Held, "200 ns"},     // neither bots nor what was never sent
		{"submit.count == 1010", gate.Held, "1,010"}, // the unsent count
		{"submit.queued.before.count == 0", gate.Held, "0"},
		{"submit.queued.before.p50 < 1s", gate.CannotTell, "n/a"},
		{"submit.queued.rise.p50 < 1s", gate.CannotTell, "n/a"}, // no such window
		{"ledger.p50 < 1s", gate.CannotTell, "n/a"},
		{"attack.lateness.p99 < 201ns", gate.Held, "200 ns"}, // wall time
		{"confirmed.share >= 90 %", gate.Held, "90 %"},
		{"confirmed.share > 90 %", gate.Missed, "90 %"},
		{"gave-up.share < 1 %", gate.CannotTell, "n/a"},
		{"queue.depth.max <= 7", gate.Held, "7"},
		{"gateway.load.max < 1", gate.CannotTell, "n/a"},
		{"sold-out.at < 30s", gate.Missed, "later than 40.0 s after"}, // stock left at the end
		{"sold-out.at > 30s", gate.Held, "later than 40.0 s after"},
		{"sold-out.at < 50s", gate.CannotTell, "n/a"},
		{"invariant.oversell == 0", gate.Held, "0"},
		{"invariant.lost == 0", gate.CannotTell, "n/a"},
		{"nonsense", gate.CannotTell, "n/a"},
	} {
		v := gate.Judge(base(c.text))
		l := v.Objectives[0]
		if l.Status != c.status || l.Shown != c.shown {
			t.Errorf("%s: %s, %s (%s); want %s, %s", c.text, l.Status, l.Shown, l.Why, c.status, c.shown)
		}
		if l.Status == gate.CannotTell && l.Why == "" {
			t.Errorf("%s: cannot tell and does not say why", c.text)
		}
	}
}

// A window without length holds nothing; it must not stand for the whole run.
func TestEmptyWindow(t *testing.T) {
	r := base("submit.queued.before.count == 0")
	r.Header.From = 0
	r.Header.Windows = []record.Window{{Name: "before"}}
	if l := gate.Judge(r).Objectives[0]; l.Status != gate.Held {
		t.Errorf("%s: %s", l.Status, l.Shown)
	}
}

func TestVerdictAndCode(t *testing.T) {
	const held, missed, unsure, late = "queue.depth.max < 9", "queue.depth.max < 1", "ledger.p50 < 1s", "attack.lateness.p99 < 1ns"
	broken := func(r *record.Record) { r.Invariants[0].Broken = 2 }
	near := func(r *record.Record) { r.Header.Margin = -1.9 }
	for _, c := range []struct {
		name   string
		r      *record.Record
		edit   func(*record.Record)
		result gate.Result
		code   int
	}{
		{"all holds", base(held), nil, gate.ResultHeld, gate.ExitOK},
		{"nothing asked", base(), func(r *record.Record) { r.Invariants = nil }, gate.ResultHeld, gate.ExitOK},
		{"missed", base(held, missed), nil, gate.ResultMissed, gate.ExitObjectiveMissed},
		{"missed goes before unsure", base(unsure, missed), nil, gate.ResultMissed, gate.ExitObjectiveMissed},
		{"unsure", base(held, unsure), nil, gate.ResultInconclusive, gate.ExitInconclusive},
		{"late generator", base(late), nil, gate.ResultInvalid, gate.ExitLagged},
		{"late goes before missed", base(missed, late), nil, gate.ResultInvalid, gate.ExitLagged},
		{"saturated", base(held), func(r *record.Record) { r.Header.Saturated = true }, gate.ResultInvalid, gate.ExitLagged},
		{"broken goes before all", base(missed, late, unsure), broken, gate.ResultBroken, gate.ExitInvariantBroken},
		{"broken unasked", base(), broken, gate.ResultBroken, gate.ExitInvariantBroken},
		{"too close, would hold", base(held), near, gate.ResultInconclusive, gate.ExitInconclusive},
		{"too close, would miss", base(missed), near, gate.ResultInconclusive, gate.ExitInconclusive},
		{"invariants are never too close", base("invariant.oversell == 0"), near, gate.ResultHeld, gate.ExitOK},
		{"nor is lateness", base(late), near, gate.ResultInvalid, gate.ExitLagged},
		{"far enough", base(held), func(r *record.Record) { r.Header.Margin = 2 }, gate.ResultHeld, gate.ExitOK},
		{"interrupted", base(held), func(r *record.Record) { r.Header.Partial = true }, gate.ResultInconclusive, gate.ExitInconclusive},
		{"interrupted before the sale", base("confirmed.share > 99 %"), func(r *record.Record) {
			r.Header.Partial = true
			r.Samples[record.SampleWritten] = []record.Point{{At: time.Second, Value: 1}}
		}, gate.ResultInconclusive, gate.ExitInconclusive},
		{"interrupted beyond the limit", base("confirmed.share < 0.1 %"), func(r *record.Record) {
			r.Header.Partial = true
			r.Samples[record.SampleWritten] = []record.Point{{At: time.Second, Value: 700}}
		}, gate.ResultMissed, gate.ExitObjectiveMissed},
		{"a shard alone", base(held), func(r *record.Record) { r.Header.Shards = 3 }, gate.ResultInconclusive, gate.ExitInconclusive},
	} {
		if c.edit != nil {
			c.edit(c.r)
		}
		v := gate.Judge(c.r)
		if v.Result != c.result || v.Code != c.code || v.CodeIfCounted != c.code || v.Reason == "" {
			t.Errorf("%s: %s, code %d: %s", c.name, v.Result, v.Code, v.Reason)
		}
		c.r.Header.Baseline = true
		if v := gate.Judge(c.r); v.Result != c.result || v.Code != gate.ExitOK || v.CodeIfCounted != c.code {
			t.Errorf("%s, as a baseline: %s, code %d of %d", c.name, v.Result, v.Code, v.CodeIfCounted)
		}
	}
}

func TestWorst(t *testing.T) {
	for _, c := range []struct {
		codes []int
		want  int
	}{{nil, 0}, {[]int{0, 6}, 6}, {[]int{6, 3}, 3}, {[]int{3, 4, 6}, 4}, {[]int{4, 5, 3}, 5}, {[]int{5, 7}, 7}, {[]int{0, 5, 130}, 130}, {[]int{5, 1, 2}, 1}} {
		if got := gate.Worst(c.codes...); got != c.want {
			t.Errorf("worst of %v = %d, want %d", c.codes, got, c.want)
		}
	}
}

const hostile = "\"><script>alert(1)</script>|*_`]]>&'\x00\x1b[31m\n## x \u202e"

func hostileRecord() *record.Record {
	r := base("queue.depth.max < 9", hostile)
	r.Header.Scenario = hostile
	r.Invariants = append(r.Invariants, record.Invariant{Name: hostile, Broken: 1, Detail: hostile})
	return r
}

func TestGolden(t *testing.T) {
	for name, r := range map[string]*record.Record{"evening": recordtest.Evening(1), "lossless": recordtest.Lossless(1), "hostile": hostileRecord()} {
		v := gate.Judge(r)
		j, err := v.JSON()
		if err != nil || !json.Valid(j) {
			t.Fatalf("JSON: %v", err)
		}
		x, err := v.JUnit()
		if err != nil {
			t.Fatalf("JUnit: %v", err)
		}
		golden(t, name+".txt", v.Text())
		golden(t, name+".md", v.Markdown())
		golden(t, name+".json", string(j))
		golden(t, name+".xml", string(x))
	}
}

// The XML is well-formed and its counts are right, whatever the names are.
func TestJUnitIsSound(t *testing.T) {
	records := []*record.Record{hostileRecord(), recordtest.Lossless(1)}
	for seed := range uint64(30) {
		records = append(records, recordtest.Sparse(seed))
	}
	for i, r := range records {
		v := gate.Judge(r)
		b, err := v.JUnit()
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		var suites struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Failure, Error, Skipped *struct{} `xml:"-"`
			} `xml:"testsuite>testcase"`
		}
		if err := xml.Unmarshal(b, &suites); err != nil {
			t.Fatalf("record %d: %v\n%s", i, err, b)
		}
		if suites.Tests != len(suites.Cases) || suites.Tests != len(v.Objectives)+len(v.Invariants)+1 {
			t.Errorf("record %d: %d tests, %d cases", i, suites.Tests, len(suites.Cases))
		}
		if strings.Count(string(b), "<failure") != suites.Failures || strings.Count(string(b), "<skipped") != suites.Skipped || strings.Count(string(b), "<error") != suites.Errors {
			t.Errorf("record %d: the counts do not fit", i)
		}
		d := xml.NewDecoder(strings.NewReader(string(b)))
		for {
			tok, err := d.Token()
			if err == io.EOF {
				break
			}
			if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "script" {
				t.Fatalf("record %d: a name became markup", i)
			}
		}
		if _, err := v.JSON(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		for _, s := range []string{v.Text(), v.Markdown()} {
			if strings.ContainsAny(s, "\x1b\x00") || strings.Contains(s, "NaN") {
				t.Errorf("record %d: %q", i, s)
			}
		}
	}
}

// A broken invariant counts in whichever run of a set it is.
func TestInclude(t *testing.T) {
	sound, broken := record.New(record.Header{}), record.New(record.Header{})
	sound.Invariants = []record.Invariant{{Name: "lost"}}
	broken.Invariants = []record.Invariant{{Name: "lost", Broken: 2, Detail: "two"}}
	v := gate.Judge(sound)
	v.Include("the calm run", sound)
	if v.Result != gate.ResultHeld || v.Code != gate.ExitOK {
		t.Fatalf("%+v", v)
	}
	v.Include("under kill:redis", broken)
	if v.Result != gate.ResultBroken || v.Code != gate.ExitInvariantBroken || !strings.Contains(v.Reason, "under kill:redis: two") {
		t.Fatalf("%+v", v)
	}
	xml, err := v.JUnit()
	if err != nil || !strings.Contains(string(xml), "under kill:redis") {
		t.Fatalf("%v\n%s", err, xml)
	}
}
