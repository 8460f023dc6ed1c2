package reports

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The screen that Text fills at the most.
const (
	screenLines   = 24
	screenColumns = 100
)

// Text is the summary on one screen: at most 24 lines of 100 columns.
func (s Summary) Text() string {
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, short(fmt.Sprintf(format, args...), screenColumns))
	}
	flow := func(head string, items []string, sep string, most int) {
		lines = append(lines, flowed(head, items, sep, most)...)
	}
	n := func(v uint64) string { return Count.Format(float64(v)) }
	add("%s · %s · %s · %s people, %g x time · seed %d · %s", short(s.Scenario, 30), short(s.Mode, 14), short(s.Label, 12),
		Thinning(s.People), s.Time, s.Seed, short(s.Commit, 12))
	flow("sent", []string{fmt.Sprintf("%s of %s planned (%s)", n(s.Achieved), n(s.Planned), ratio(s.Achieved, s.Planned)),
		fmt.Sprintf("requests/s mean %s, peak %s", s.RateS.Text(Count), s.PeakS.Text(Count)),
		fmt.Sprintf("lateness p50 %s, p99 %s", s.Lateness.P50.Text(Seconds), s.Lateness.P99.Text(Seconds))}, " · ", 2)
	var f []string
	for _, x := range s.Funnel {
		f = append(f, x.Name+" "+n(x.N))
	}
	flow("people", f, " > ", 2)
	flow("gave up", []string{fmt.Sprintf("%s of the visits that tried to book (%s of %s)", s.GaveUp.Share.Text(Share), n(s.GaveUp.N), n(s.GaveUp.OfN))}, " ", 1)
	flow("refused", s.refused(), " · ", 2)
	flow("sale", []string{fmt.Sprintf("%s of %s in stock confirmed (%s)", n(s.Confirmed.N), s.Stock.Text(Count), s.Confirmed.Share.Text(Share)),
		"sold out " + when(s.SoldOut), "last confirmed " + when(s.LastRow),
		fmt.Sprintf("wait p50 %s, p95 %s, p99 %s", s.Wait.P50.Text(Seconds), s.Wait.P95.Text(Seconds), s.Wait.P99.Text(Seconds))}, " · ", 2)
	flow("peaks", []string{fmt.Sprintf("queue %s entries, oldest %s", s.QueueDepth.Text(Count), s.QueueAge.Text(Seconds)),
		"gateway load " + s.GatewayLoad.Text(Factor), "database backlog " + s.Backlog.Text(Seconds),
		s.Amplified.Text(Factor) + " requests per first try"}, " · ", 2)
	flow("won", s.fairness(), " · ", 2)
	// The table gets the lines that are left: the spans with most samples.
	var foot []string
	for _, w := range s.Warnings {
		foot = append(foot, short("note: "+w, screenColumns))
	}
	foot = foot[:min(len(foot), 3)]
	if s.Reason != "" {
		foot = append(foot, wrap("COLLAPSED by "+s.Reason, screenColumns, 4)...)
	}
	t := s.SpanTable(max(1, screenLines-len(lines)-len(foot)-1), "peak")
	for _, l := range strings.Split(strings.TrimRight(t.Text(), "\n"), "\n") {
		lines = append(lines, short(l, screenColumns))
	}
	lines = append(lines, foot...)
	return strings.Join(lines[:min(len(lines), screenLines)], "\n") + "\n"
}

func when(v Value) string {
	if !v.OK {
		return v.Text(Moment)
	}
	return "at " + signed(v.V)
}

// signed writes a moment as seconds after the opening.
func signed(v float64) string {
	if v < 0 {
		return "-" + figures(-v) + " s"
	}
	return "+" + figures(v) + " s"
}

func ratio(n, of uint64) string {
	if of == 0 {
		return "n/a"
	}
	return share(float64(n) / float64(of))
}

func (s Summary) refused() []string {
	if len(s.Refusals) == 0 {
		return []string{"nothing"}
	}
	var parts []string
	for _, x := range s.Refusals {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", x.Name, Count.Format(float64(x.N)), x.Share.Text(Share)))
	}
	return append(parts, "of "+Count.Format(float64(s.Refusals[0].OfN))+" requests")
}

func (s Summary) fairness() []string {
	parts := []string{"first 10 % of pressers " + s.FirstTenth.Text(Share) + " of all"}
	for i, g := range s.Groups {
		text := short(g.Name, 16) + " " + g.Share.Text(Share)
		if i == 0 {
			text = "of each group's pressers: " + text
		}
		parts = append(parts, text)
	}
	return parts
}

// flowed puts items after a heading, on as few lines as they need.
func flowed(head string, items []string, sep string, most int) (out []string) {
	const indent = 9
	line := head + strings.Repeat(" ", max(1, indent-len(head)))
	fresh := true
	for _, it := range items {
		if !fresh && utf8.RuneCountInString(line)+utf8.RuneCountInString(sep+it) > screenColumns {
			out = append(out, short(line, screenColumns))
			line, fresh = strings.Repeat(" ", indent), true
		}
		if !fresh {
			line += sep
		}
		line += it
		fresh = false
	}
	out = append(out, short(line, screenColumns))
	if len(out) > most {
		out = out[:most]
		out[most-1] = short(out[most-1]+sep+"…", screenColumns)
	}
	return out
}

func wrap(text string, columns, most int) (out []string) {
	line := ""
	for _, word := range strings.Fields(oneLine(text)) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			out = append(out, short(line, columns))
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	out = append(out, short(line, columns))
	if len(out) > most {
		out = out[:most]
		out[most-1] = short(out[most-1]+" …", columns)
	}
	return out
}

// SpanTable is the response times of people by step and outcome: the whole run,
// then p99 in the named windows (none named means all). At most rows rows, those
// with most samples; rows <= 0 means all.
func (s Summary) SpanTable(rows int, windows ...string) Table {
	t := Table{Columns: []string{"response from due moment", "n", "p50", "p95", "p99", "max"}}
	shown := func(name string) bool { return len(windows) == 0 || slices.Contains(windows, name) }
	least := uint64(0)
	if rows > 0 && len(s.Spans) > rows {
		least = nth(s.Spans, rows)
	}
	for i, x := range s.Spans {
		if i == 0 {
			for _, w := range x.Windows {
				if shown(w.Name) {
					t.Columns = append(t.Columns, w.Name+" p99")
				}
			}
		}
		if x.All.N < least || rows > 0 && len(t.Rows) == rows {
			continue
		}
		row := append([]string{x.Span + " " + x.Outcome}, cells(x.All)...)
		for _, w := range x.Windows {
			if shown(w.Name) {
				row = append(row, known(w.P99, w.N))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// nth is the size of the n-th largest span.
func nth(spans []Span, n int) uint64 {
	sizes := make([]uint64, 0, len(spans))
	for _, s := range spans {
		sizes = append(sizes, s.All.N)
	}
	slices.Sort(sizes)
	return sizes[len(sizes)-n]
}

func cells(t Timing) []string {
	return []string{Count.Format(float64(t.N)), known(t.P50, t.N), known(t.P95, t.N), known(t.P99, t.N), known(t.Max, t.N)}
}

// known shows a duration; a table keeps "cannot tell" short as "?" with its n.
func known(v Value, n uint64) string {
	switch {
	case v.OK:
		return duration(v.V)
	case n > 0:
		return fmt.Sprintf("? (n=%d)", n)
	}
	return "–"
}
