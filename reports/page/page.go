package page

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
)

// Figure is one figure of the page.
type Figure struct {
	ID      string // unique in the page, an anchor
	Section string // heading that it stands under; "" = the section of the figure before
	Title   string
	Caption string
	SVG     []byte // shown
	PNGFile string // name of the same figure as PNG beside the page; "" = none
}

// Run is a run beside the main one.
type Run struct {
	Name   string // "" = its scenario
	Record *record.Record
}

// File is a file that lies beside the page.
type File struct{ Name, What string }

// Page is what the report shows. Only Record is needed.
type Page struct {
	Record   *record.Record // the run that is judged
	Name     string         // its name in tables of several runs; "" = its scenario
	Others   []Run          // runs set beside it, such as a baseline
	Verdict  *gate.Verdict  // of the set that Record stands for; nil = Record's own
	Of       string         // which of several runs Record is; "" = it is the one that is meant
	Figures  []Figure
	Lead     []reports.Table // tables that the figures bear out, before them
	Tables   []reports.Table // more tables, such as a sweep
	Commands []string        // how to make this report again, one command each
	Files    []File
}

//go:embed page.html
var source string

//go:embed page.css
var style string

// Style is the page's style sheet, for other pages that shall look like it.
func Style() string { return style }

var tmpl = template.Must(template.New("page").Funcs(template.FuncMap{
	"image": func(svg []byte) template.URL {
		return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg)) // base64 holds nothing to escape
	},
	"style": func() template.CSS { return template.CSS(style) },
	"class": func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), " ", "-") },
	"count": func(n uint64) string { return reports.Count.Format(float64(n)) },
	"upper": func(s any) string { return strings.ToUpper(fmt.Sprint(s)) },
	"list":  func(s []string) string { return strings.Join(s, ", ") },
}).Parse(source))

// Tile is one number at the top.
type Tile struct{ Value, Label string }

type section struct {
	Heading string
	Figures []Figure
}

type view struct {
	Page
	Header   *record.Header
	S        reports.Summary
	V        gate.Verdict
	Answer   []string
	Beside   []string
	Tiles    []Tile
	Sections []section
	Compare  *reports.Table
	Main     []reports.Table
	Detail   []reports.Table
	Written  string
}

// Write writes the page.
func Write(w io.Writer, p Page) error {
	if p.Record == nil {
		return fmt.Errorf("page: no record to report on")
	}
	v := view{Page: p, Header: &p.Record.Header, S: reports.Summarize(p.Record)}
	if p.Verdict != nil {
		v.V = *p.Verdict
	} else {
		v.V = gate.Judge(p.Record)
	}
	v.Answer, v.Beside = answer(v.S), beside(p)
	v.Tiles = tiles(v.S)
	v.Sections = sections(p.Figures)
	if len(p.Others) > 0 {
		names, runs := []string{p.Name}, []*record.Record{p.Record}
		for _, o := range p.Others {
			names, runs = append(names, o.Name), append(runs, o.Record)
		}
		t := reports.Compare(names, runs...)
		v.Compare = &t
	}
	v.Main = []reports.Table{v.S.OutcomeTable(), v.S.FunnelTable(), v.S.GroupTable()}
	v.Detail = []reports.Table{v.S.WindowTable(), v.S.EventTable(), v.S.RunTable()}
	if !v.Header.WallStart.IsZero() {
		v.Written = v.Header.WallStart.UTC().Format(time.DateTime) + " UTC"
	}
	if err := tmpl.Execute(w, v); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// sections puts figures under their headings.
func sections(figures []Figure) (out []section) {
	for _, f := range figures {
		if len(out) == 0 || f.Section != "" && f.Section != out[len(out)-1].Heading {
			out = append(out, section{Heading: f.Section})
		}
		last := &out[len(out)-1]
		last.Figures = append(last.Figures, f)
	}
	return out
}

// answer is what the run says, in sentences made of its numbers.
func answer(s reports.Summary) (out []string) {
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if s.Reason != "" {
		add("The run collapsed by %s", s.Reason)
	}
	switch {
	case s.SoldOut.OK && s.LastRow.OK:
		add("All %s reservations were taken %s the opening, and the last was confirmed %s it.", s.Stock.Text(reports.Count), s.SoldOut.Text(reports.Moment), s.LastRow.Text(reports.Moment))
	case s.Confirmed.Share.OK:
		add("Within the run %s of the %s reservations were confirmed.", reports.Count.Format(float64(s.Confirmed.N)), s.Stock.Text(reports.Count))
	}
	if s.Wait.P50.OK {
		t := "Half of those who were accepted waited " + s.Wait.P50.Text(reports.Seconds) + " or less for their confirmation"
		if s.Wait.Max.OK {
			t += ", the last of them " + s.Wait.Max.Text(reports.Seconds)
		}
		add("%s.", t)
	}
	if s.GatewayLoad.OK {
		t := "In the worst second the gateways were offered " + s.GatewayLoad.Text(reports.Factor) + " times their capacity"
		if s.QueueDepth.OK {
			t += "; at most " + s.QueueDepth.Text(reports.Count) + " entries waited in the queue"
		}
		add("%s.", t)
	}
	if s.GaveUp.Share.OK {
		add("Of the visits that tried to book, %s gave up.", s.GaveUp.Share.Text(reports.Share))
	}
	return out
}

// beside says what became of the runs set beside the main one.
func beside(p Page) (out []string) {
	for _, o := range p.Others {
		if why := reports.Summarize(o.Record).Reason; why != "" {
			name := o.Name
			if name == "" {
				name = o.Record.Header.Scenario
			}
			out = append(out, fmt.Sprintf("The run beside it, %s, collapsed by %s", name, why))
		}
	}
	return out
}

func tiles(s reports.Summary) []Tile {
	sold := s.SoldOut.Text(reports.Moment)
	if s.SoldOut.OK {
		sold = reports.Seconds.Format(s.SoldOut.V)
	}
	return []Tile{
		{s.Confirmed.Share.Text(reports.Share), "confirmed, of " + s.Stock.Text(reports.Count) + " in stock"},
		{sold, "from the opening to sold out"},
		{s.Wait.P50.Text(reports.Seconds), "wait for confirmation, p50"},
		{s.GatewayLoad.Text(reports.Factor), "peak load of the gateways, 1 = capacity"},
		{s.QueueDepth.Text(reports.Count), "peak depth of the queue"},
		{s.GaveUp.Share.Text(reports.Share), "gave up, of visits that tried to book"},
		{s.FirstTenth.Text(reports.Share), "of confirmations won by the first 10 % of pressers"},
		{s.Lateness.P99.Text(reports.Seconds), "generator lateness, p99 (wall)"},
	}
}
