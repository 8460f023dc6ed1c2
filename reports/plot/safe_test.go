package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/internal/record/recordtest"
)

// coarse lowers the resolution of PNGs for tests that only ask whether a figure
// can be drawn.
func coarse(t *testing.T) {
	was := dpi
	dpi = 12
	t.Cleanup(func() { dpi = was })
}

// parse fails unless the SVG is well-formed and holds nothing but drawing; it
// returns the texts.
func parse(t *testing.T, f Figure) (texts []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(f.SVG))
	known := map[string]bool{"svg": true, "g": true, "path": true, "text": true}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%s: svg: %v", f.ID, err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if !known[tok.Name.Local] {
				t.Fatalf("%s: element <%s>", f.ID, tok.Name.Local)
			}
			for _, a := range tok.Attr {
				if strings.HasPrefix(strings.ToLower(a.Name.Local), "on") {
					t.Fatalf("%s: attribute %s", f.ID, a.Name.Local)
				}
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Fatalf("%s: %s=%q", f.ID, a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			if s := strings.TrimSpace(string(tok)); s != "" {
				texts = append(texts, s)
			}
		case xml.ProcInst, xml.Directive:
			t.Fatalf("%s: %T in an SVG that stands inside a page", f.ID, tok)
		}
	}
}

// Equal records give equal bytes, however their maps were filled.
func TestSameRecordSameBytes(t *testing.T) {
	coarse(t)
	a, err := All(recordtest.Evening(3))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := All(recordtest.Evening(3))
	c, _ := All(recordtest.Evening(4))
	if len(a) != len(figures) || len(b) != len(a) {
		t.Fatalf("%d and %d figures, want %d", len(a), len(b), len(figures))
	}
	for i := range a {
		if !bytes.Equal(a[i].SVG, b[i].SVG) || !bytes.Equal(a[i].PNG, b[i].PNG) {
			t.Errorf("%s differs between two drawings of one record", a[i].ID)
		}
		if bytes.Equal(a[i].SVG, c[i].SVG) {
			t.Errorf("%s is the same for another seed", a[i].ID)
		}
	}
}

const hostile = "\x00\x1b\xff</text></svg><script>alert(1)</script>\" onload=\"x\" '&<!--\x00\x1b[31m\xff\u202e]]>\nstyle=\"font-family:Liberation Sans;font-variant:normal;"

// Names from outside cannot break out of the drawing.
func TestHostileNamesStayText(t *testing.T) {
	coarse(t)
	rec := recordtest.Evening(1)
	rec.Header.Scenario, rec.Header.Mode, rec.Header.Label, rec.Header.Title = hostile, hostile, hostile, hostile
	for i := range rec.Header.Windows {
		rec.Header.Windows[i].Name = hostile
	}
	for i := range rec.Groups {
		rec.Groups[i].Name = hostile
		rec.Groups[i].Finals[hostile] = 7
	}
	hists := map[record.Key]*record.Hist{}
	for k, h := range rec.Hists {
		k.Group = hostile
		if hists[k] == nil {
			hists[k] = &record.Hist{}
		}
		hists[k].Merge(h)
	}
	rec.Hists = hists
	off := recordtest.Make(recordtest.Options{Seed: 1, Off: []string{hostile}})
	fs, err := All(rec)
	if err != nil {
		t.Fatal(err)
	}
	vary := func(v string) *record.Record {
		r := recordtest.Make(recordtest.Options{Seed: 1, People: 0.001, Vary: []record.Setting{{Key: hostile, Value: v}, {Key: hostile + "2", Value: hostile}}})
		r.Header.Scenario = hostile
		return r
	}
	points := Points([]*record.Record{vary("1"), vary("2")})
	for _, draw := range []func() (Figure, error){
		func() (Figure, error) { return Versus(rec, rec) },
		func() (Figure, error) { return Worth([]*record.Record{rec, off}) },
		func() (Figure, error) { return Curves(points, hostile) },
	} {
		f, err := draw()
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	found := false
	for _, f := range fs {
		for _, s := range parse(t, f) {
			found = found || strings.Contains(s, "<script>")
		}
		if strings.ContainsAny(f.ID, "<>\"'/ \x00\n") {
			t.Errorf("id %q is not fit for a file name", f.ID)
		}
		if bytes.Contains(f.SVG, []byte("<script")) || bytes.ContainsAny(f.SVG, "\x00\x1b") {
			t.Errorf("%s: hostile text went through", f.ID)
		}
	}
	if !found {
		t.Error("the hostile name was drawn nowhere: the test tests nothing")
	}
}

// An empty record gives no figure, a reason for each, and no error.
func TestEmptyRecord(t *testing.T) {
	for _, rec := range []*record.Record{nil, {}, record.New(record.Header{})} {
		fs, err := All(rec)
		if len(fs) != 0 || err != nil {
			t.Fatalf("%d figures, %v", len(fs), err)
		}
		if got := Omitted(rec); len(got) != len(figures) {
			t.Fatalf("%d reasons, want %d: %q", len(got), len(figures), got)
		}
	}
	for _, err := range []error{
		second(Versus(nil, nil)), second(Worth(nil)), second(Worth([]*record.Record{nil, {}})),
		second(Curves(nil, "queue.depth")), second(Heat(nil, "a", "b")),
	} {
		if !errors.Is(err, ErrNoData) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A record without a backend's samples, as from a target that lacks the admin part,
// leaves out what it cannot know and draws the rest.
func TestPartsThatAnArmLacks(t *testing.T) {
	coarse(t)
	rec := recordtest.Evening(1)
	rec.Samples, rec.Marks, rec.Deciles = nil, nil, nil
	fs, err := All(rec)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range fs {
		ids = append(ids, f.ID)
	}
	if got := strings.Join(ids, " "); got != "flow funnel response confirmation amplification lateness" {
		t.Errorf("figures %q", got)
	}
	if got := Omitted(rec); len(got) != 2 || !strings.Contains(got[0], "figure queue: no data: the backend reported") {
		t.Errorf("omitted %q", got)
	}
}

// odd draws floats that records should not hold but may.
func odd() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64Range(-2, 1000), rapid.SampledFrom([]float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 1e-300, -1e300}))
}

func sparse(t *rapid.T) *record.Record {
	names := rapid.SampledFrom([]string{"", "a", "guangdong", record.GroupBots, "混合", hostile})
	span := func(name string) time.Duration {
		return rapid.OneOf(rapid.Map(rapid.IntRange(-100, 100), func(s int) time.Duration { return time.Duration(s) * time.Second }),
			rapid.SampledFrom([]time.Duration{math.MinInt64, math.MaxInt64, 0, 1, 4 * time.Hour})).Draw(t, name)
	}
	rec := record.New(record.Header{Scenario: names.Draw(t, "scenario"), Seed: 1, People: odd().Draw(t, "people"), TimeScale: odd().Draw(t, "k"),
		From: span("from"), To: span("to"), Margin: odd().Draw(t, "margin"), Partial: rapid.Bool().Draw(t, "partial"),
		Capacity:   map[string]float64{"queue.depth": odd().Draw(t, "depth"), "stock.reservations": odd().Draw(t, "stock")},
		Objectives: []string{rapid.SampledFrom([]string{"attack.lateness.p99 < 5ms", "nonsense", "attack.lateness.p99 < 0ms"}).Draw(t, "objective")}})
	for range rapid.IntRange(0, 3).Draw(t, "windows") {
		rec.Header.Windows = append(rec.Header.Windows, record.Window{Name: names.Draw(t, "window"), From: span("wfrom"), To: span("wto")})
	}
	spans := append(booking.Steps(), record.SpanBooking, record.SpanLedger, record.SpanLateness, "")
	for range rapid.IntRange(0, 12).Draw(t, "hists") {
		k := record.Key{Span: rapid.SampledFrom(spans).Draw(t, "span"), Clock: record.Clock(rapid.IntRange(0, 3).Draw(t, "clock")),
			Outcome: rapid.SampledFrom(append(booking.Outcomes(), "", "odd")).Draw(t, "outcome"), Group: names.Draw(t, "group"),
			Second: int32(rapid.SampledFrom([]int{-5, 0, 1, 2, 7, 30, 31, 1 << 30}).Draw(t, "second"))}
		if rapid.IntRange(0, 9).Draw(t, "nil") == 0 {
			rec.Hists[k] = nil
			continue
		}
		rec.Hist(k).AddN(span("duration"), uint64(rapid.IntRange(0, 3000).Draw(t, "n")))
	}
	counters := []string{record.CountVisits, record.CountRequests, record.CountFirstTries, record.CountPresses, record.CountCoinPassed, record.CountPolls, record.CountOffered}
	for range rapid.IntRange(0, 5).Draw(t, "counters") {
		rec.Counters[rapid.SampledFrom(counters).Draw(t, "counter")] = rapid.SliceOfN(rapid.SampledFrom([]uint64{0, 0, 1, 50, math.MaxUint64}), 0, 40).Draw(t, "counts")
	}
	samples := []string{record.SampleGatewayLoad, record.SampleGatewayRoom, record.SampleRung, record.SampleQueueDepth, record.SampleQueueAge,
		record.SampleDead, record.SampleWritten, record.SampleDatabaseWait, record.SampleEdgeHits, record.SampleEdgeMisses}
	for range rapid.IntRange(0, 6).Draw(t, "samples") {
		name := rapid.SampledFrom(samples).Draw(t, "sample")
		for range rapid.IntRange(0, 6).Draw(t, "points") {
			rec.Samples[name] = append(rec.Samples[name], record.Point{At: span("at"), Value: odd().Draw(t, "value")})
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "groups") {
		g := record.Group{Name: names.Draw(t, "name")}
		if rapid.Bool().Draw(t, "filled") {
			g.Stages = map[string]uint64{record.StageVisit: uint64(rapid.IntRange(0, 9).Draw(t, "visit")), record.StageBooks: 2, record.StageConfirmed: uint64(rapid.IntRange(0, 9).Draw(t, "confirmed"))}
			g.Finals = map[string]uint64{"left": 1, "in-flight": uint64(rapid.IntRange(0, 9).Draw(t, "flight"))}
		}
		rec.Groups = append(rec.Groups, g)
	}
	for range rapid.IntRange(0, 12).Draw(t, "deciles") {
		rec.Deciles = append(rec.Deciles, record.Decile{Pressers: 5, Confirmed: uint64(rapid.IntRange(0, 9).Draw(t, "won"))})
	}
	if rapid.Bool().Draw(t, "mark") {
		rec.Marks[record.MarkSoldOut] = span("sold-out")
	}
	return rec
}

// Whatever stands in a record, no figure panics, none is broken XML, and every
// error but "no data" is a defect.
func TestSparseRecordsNeverBreak(t *testing.T) {
	coarse(t)
	rapid.Check(t, func(rt *rapid.T) {
		a, b := sparse(rt), sparse(rt)
		fs, err := All(a)
		if err != nil {
			rt.Fatal(err)
		}
		if len(fs)+len(Omitted(a)) != len(figures) {
			rt.Fatalf("%d figures and %d omitted of %d", len(fs), len(Omitted(a)), len(figures))
		}
		keep := func(f Figure, err error) {
			switch {
			case err == nil:
				fs = append(fs, f)
			case !errors.Is(err, ErrNoData):
				rt.Fatal(err)
			}
		}
		keep(Versus(a, b))
		b.Header.Switched = []string{"queue"}
		keep(Worth([]*record.Record{a, b}))
		set := func(r *record.Record, x, y string) *record.Record {
			c := *r
			c.Header.Vary = []record.Setting{{Key: "x", Value: x}, {Key: "y", Value: y}}
			return &c
		}
		values := rapid.SampledFrom([]string{"", "0", "5%", "-3", "1e300", "20000 entries", "word", "5s", hostile})
		var recs []*record.Record
		for range rapid.IntRange(0, 4).Draw(rt, "runs") {
			recs = append(recs, set(rapid.SampledFrom([]*record.Record{a, b}).Draw(rt, "run"), values.Draw(rt, "x"), values.Draw(rt, "y")))
		}
		points := Points(recs)
		keep(Curves(points, "x"))
		heat, err := Heat([]Set{{"a", points}, {"b", points}}, "x", "y")
		if err != nil && !errors.Is(err, ErrNoData) {
			rt.Fatal(err)
		}
		for _, f := range append(fs, heat...) {
			parse(t, f)
		}
	})
}
