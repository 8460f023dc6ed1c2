package plot

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
)

// sixHours is a record of 50 s laid into one of six hours, with people who look and
// leave before and after.
func sixHours(of *record.Record) *record.Record {
	const before, length = 7190, 6 * 3600 // seconds
	h := of.Header
	h.From, h.To = -2*time.Hour, 4*time.Hour
	h.Windows = slices.Clone(h.Windows)
	for i := range h.Windows {
		switch w := &h.Windows[i]; w.Name {
		case "before":
			w.From = h.From
		case "recovery":
			w.To = h.To
		}
	}
	out := record.New(h)
	out.Groups, out.Deciles, out.Invariants = of.Groups, of.Deciles, of.Invariants
	for k, v := range of.Hists {
		k.Second += before
		out.Hists[k] = v
	}
	for name, c := range of.Counters {
		out.Counters[name] = append(make([]uint64, before), c...)
	}
	visits := out.Counters[record.CountVisits]
	for len(visits) < length {
		visits = append(visits, 0)
	}
	for i := range visits {
		if visits[i] == 0 {
			visits[i] = uint64(40 + i%7)
		}
	}
	out.Counters[record.CountVisits] = visits
	for name, ps := range of.Samples {
		for at := 0; at < before; at += 10 {
			out.Samples[name] = append(out.Samples[name], record.Point{At: time.Duration(at) * time.Second})
		}
		for _, p := range ps {
			p.At += before * time.Second
			out.Samples[name] = append(out.Samples[name], p)
		}
	}
	for name, at := range of.Marks {
		out.Marks[name] = at + before*time.Second
	}
	return out
}

// What is cut out of a long run around the opening is the short run again.
func TestCut(t *testing.T) {
	short := recordtest.Evening(1)
	part := cut(sixHours(short), short.Header.From, short.Header.To)
	if h := part.Header; h.From != short.Header.From || h.To != short.Header.To || !slices.Equal(h.Windows, short.Header.Windows) {
		t.Errorf("%v to %v, windows %v", h.From, h.To, h.Windows)
	}
	if !maps.Equal(part.Hists, short.Hists) {
		t.Errorf("%d histograms, want %d", len(part.Hists), len(short.Hists))
	}
	for name, c := range short.Counters {
		if name != record.CountVisits && !slices.Equal(part.Counters[name], c) {
			t.Errorf("counter %s differs", name)
		}
	}
	for name, ps := range short.Samples {
		if !slices.Equal(part.Samples[name], ps) {
			t.Errorf("sample %s: %d points, want %d", name, len(part.Samples[name]), len(ps))
		}
	}
	if !maps.Equal(part.Marks, short.Marks) {
		t.Errorf("marks %v, want %v", part.Marks, short.Marks)
	}
}

// A long run has figures of its opening, a short one none; what happens in the
// opening only is left to them, and the axis of the whole is in hours.
func TestOpening(t *testing.T) {
	defer func(was int) { dpi = was }(dpi)
	dpi = 24
	if figs, err := Opening(recordtest.Evening(1)); len(figs) != 0 || err != nil {
		t.Errorf("a short run: %d figures, %v", len(figs), err)
	}
	rec := sixHours(recordtest.Evening(1))
	figs, err := Opening(rec)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range figs {
		ids = append(ids, f.ID)
		if text := string(f.SVG); !strings.Contains(text, "seconds after the opening") && f.ID != "lateness-opening" {
			t.Errorf("%s has no axis in seconds", f.ID)
		}
	}
	if want := []string{"flow-opening", "response-opening", "queue-opening", "layers-opening", "amplification-opening", "lateness-opening"}; !slices.Equal(ids, want) {
		t.Errorf("%v, want %v", ids, want)
	}
	whole, err := All(rec)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range whole {
		text := string(f.SVG)
		switch f.ID {
		case "queue", "response":
			t.Errorf("%s shows nothing but the opening", f.ID)
		case "flow":
			if !strings.Contains(text, "hours after the opening") || strings.Contains(text, "stock gone") || !strings.Contains(f.Caption, "mean over 44 s") {
				t.Errorf("flow: %s", f.Caption)
			}
		}
		if len(f.SVG) > 150_000 {
			t.Errorf("%s has %d bytes of SVG", f.ID, len(f.SVG))
		}
	}
}
