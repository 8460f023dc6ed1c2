package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/reports/page"
	"spillway/reports/plot"
)

type reportCmd struct {
	Dir  string `arg:"" help:"A run's folder, or a record."`
	JSON bool   `help:"Print the summary as JSON instead of text."`
}

func (c *reportCmd) Run(a *app) error {
	dir := c.Dir
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		rec, err := readRecord(dir)
		if err != nil {
			return err
		}
		return finish(a, newProgress(a.stderr), filepath.Dir(dir), c.JSON, reportSet{Main: rec})
	}
	set, err := readSet(dir)
	if err != nil {
		return err
	}
	return finish(a, newProgress(a.stderr), dir, c.JSON, set)
}

// reportSet is the records that one report is made of. Without a main run the
// first record of the sweeps or layers takes its place.
type reportSet struct {
	Main, Baseline *record.Record
	Sweeps         [][]*record.Record // one a scenario
	Layers         [][]*record.Record // one a scenario: the base and one a layer switched off
	Command        string             // how to make it again, where no target of make does
}

// readSet finds the records of a run's folder.
func readSet(dir string) (reportSet, error) {
	var set reportSet
	for name, into := range map[string]**record.Record{mainRecord: &set.Main, baselineRecord: &set.Baseline} {
		rec, err := record.ReadFile(filepath.Join(dir, name))
		switch {
		case err == nil:
			*into = rec
		case !errors.Is(err, fs.ErrNotExist):
			return set, badInput(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, pointsDir, "*.rec"))
	if err != nil {
		return set, err
	}
	var points []*record.Record
	for _, f := range files {
		rec, err := record.ReadFile(f)
		if err != nil {
			return set, badInput(err)
		}
		points = append(points, rec)
	}
	set.sort(points)
	if set.first() == nil {
		if err := stationFolder(dir); err != nil {
			return set, err
		}
		return set, badInput(fmt.Errorf("%s holds no record: name the folder of a run, or a .rec file", dir))
	}
	return set, nil
}

// sort puts a folder's points where they belong, in an order that does not
// depend on their file names: by scenario, settings, seed.
func (s *reportSet) sort(points []*record.Record) {
	slices.SortFunc(points, func(a, b *record.Record) int {
		if c := strings.Compare(a.Header.Scenario, b.Header.Scenario); c != 0 {
			return c
		}
		if c := compareSettings(a.Header.Vary, b.Header.Vary); c != 0 {
			return c
		}
		return int(a.Header.Seed) - int(b.Header.Seed)
	})
	layers := slices.ContainsFunc(points, func(r *record.Record) bool {
		return len(r.Header.Vary) == 1 && strings.HasPrefix(r.Header.Vary[0].Key, "layers.")
	})
	into := &s.Sweeps
	if layers {
		into = &s.Layers
	}
	for _, p := range points {
		if last := len(*into) - 1; last >= 0 && (*into)[last][0].Header.Scenario == p.Header.Scenario {
			(*into)[last] = append((*into)[last], p)
		} else {
			*into = append(*into, []*record.Record{p})
		}
	}
}

func compareSettings(a, b []record.Setting) int {
	for i := range min(len(a), len(b)) {
		if c := strings.Compare(a[i].Key, b[i].Key); c != 0 {
			return c
		}
		if calm := reports.NoFault; a[i].Key == reports.VaryFault && a[i].Value != b[i].Value && (a[i].Value == calm || b[i].Value == calm) {
			if a[i].Value == calm { // the one that the others are held against
				return -1
			}
			return 1
		}
		x, xOK := plot.RunPoint{Settings: a}.X(a[i].Key)
		y, yOK := plot.RunPoint{Settings: b}.X(b[i].Key)
		c := cmp.Compare(x, y)
		if !xOK || !yOK {
			c = strings.Compare(a[i].Value, b[i].Value)
		}
		if c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

func (s *reportSet) first() *record.Record {
	switch {
	case s.Main != nil:
		return s.Main
	case len(s.lists()) > 0:
		return s.lists()[0][0]
	}
	return nil
}

// lists is the sweeps and the layers that have a record.
func (s *reportSet) lists() [][]*record.Record {
	return slices.DeleteFunc(slices.Concat(s.Sweeps, s.Layers), func(l []*record.Record) bool { return len(l) == 0 })
}

// all lists every record of the set, the main run first, with the name that a
// reader knows it by.
func (s *reportSet) all() (recs []*record.Record, names []string) {
	add := func(name string, rec *record.Record) {
		if rec != nil {
			recs, names = append(recs, rec), append(names, name)
		}
	}
	add("the main run", s.Main)
	add("the baseline", s.Baseline)
	for _, list := range s.lists() {
		for _, r := range list {
			add(fmt.Sprintf("the point %s seed %d of %s", settingsText(r.Header.Vary), r.Header.Seed, r.Header.Scenario), r)
		}
	}
	return recs, names
}

// verdict judges the whole set. The main run's objectives count; the invariants
// of every run do, for they have no scale and no excuse; a point of a sweep that
// misses an objective or lagged is a finding of the sweep, said but not counted.
func (s *reportSet) verdict() (code int, said []string) {
	recs, names := s.all()
	for i, r := range recs {
		v := gate.Judge(r)
		switch {
		case r == s.Main:
			code = gate.Worst(code, v.Code)
		case v.Result == gate.ResultBroken:
			code = gate.Worst(code, gate.ExitInvariantBroken)
			said = append(said, fmt.Sprintf("%s: %s", names[i], v.Reason))
		case v.Result == gate.ResultInvalid && !r.Header.Baseline:
			said = append(said, fmt.Sprintf("%s is not to be trusted: %s", names[i], v.Reason))
		}
	}
	return code, said
}

// finish writes the report of a set, prints the summary and the verdict, and
// returns the verdict's exit code.
func finish(a *app, show *progress, dir string, asJSON bool, set reportSet) error {
	main := set.first()
	if main == nil {
		show.clear()
		return errInterrupted // before the first point was finished
	}
	if set.Main != nil {
		if err := keep(dir, mainRecord, set.Main); err != nil {
			return err
		}
	}
	set.announce(show)
	p := page.Page{Record: main, Name: main.Header.Scenario}
	if set.Baseline != nil {
		p.Others = []page.Run{{Record: set.Baseline}}
	}
	figures, tables, err := set.figures()
	if err != nil {
		return err
	}
	if p.Tables = tables; set.faulty() {
		p.Lead, p.Tables = tables, nil
	}
	if err := writeFigures(dir, figures, &p); err != nil {
		return environment(err)
	}
	summary, v := reports.Summarize(main), gate.Judge(main)
	recs, names := set.all()
	for i, r := range recs {
		if r != main {
			v.Include(names[i], r)
		}
	}
	if p.Verdict = &v; set.Main == nil && len(recs) > 1 {
		p.Of = names[0]
		if v.Result != gate.ResultBroken {
			v.Reason += fmt.Sprintf(" The invariants hold in all %d runs.", len(recs))
		}
	}
	code, said := set.verdict()
	if a.ctx.Err() != nil && code != gate.ExitInvariantBroken {
		code = gate.ExitInterrupted
	}
	p.Commands = set.commands()
	p.Files = []page.File{{Name: "summary.json", What: "the summary for machines"}, {Name: "summary.md", What: "the same for people, with every table"},
		{Name: "junit.xml", What: "the verdict for CI"}, {Name: mainRecord, What: "the record: every histogram, counter and sample"}}
	if err := writeTexts(dir, p, summary, v, tables); err != nil {
		return environment(err)
	}
	link(dir)

	show.clear()
	if asJSON {
		if err := writeJSON(a, struct {
			Summary reports.Summary    `json:"summary"`
			Verdict gate.Verdict       `json:"verdict"`
			Notes   []string           `json:"notes"`
			Code    int                `json:"exit_code"`
			Faults  []reports.Recovery `json:"faults,omitempty"`
		}{summary, v, said, code, set.recoveries()}); err != nil {
			return err
		}
		return verdictOf(code)
	}
	if set.Main != nil {
		fmt.Fprint(a.stdout, summary.Text())
		fmt.Fprintln(a.stdout)
		fmt.Fprint(a.stdout, v.Text())
	} else {
		for _, t := range tables {
			if len(t.Rows) <= screenRows || set.faulty() {
				fmt.Fprintln(a.stdout, t.Text())
			}
		}
		for _, t := range set.ends() {
			fmt.Fprintln(a.stdout, t.Text())
			fmt.Fprintf(a.stdout, "every point: %s\n", filepath.Join(dir, "summary.md"))
		}
	}
	if set.Baseline != nil {
		b := reports.Summarize(set.Baseline)
		fmt.Fprintf(a.stdout, "\nbaseline %s: %s\n", b.Scenario, baselineLine(b))
	}
	for _, s := range said {
		fmt.Fprintf(a.stdout, "note: %s\n", s)
	}
	fmt.Fprintf(a.stdout, "\nreport: %s\n", filepath.Join(dir, "index.html"))
	return verdictOf(code)
}

// perRun is what a run adds to the time that a report takes, measured on one core of a
// shared machine.
const perRun = 20 * time.Millisecond

// announce says that the report is being drawn, and how long that takes when it is long.
func (s *reportSet) announce(show *progress) {
	recs, _ := s.all()
	if about := perRun * time.Duration(len(recs)); about > 2*time.Second {
		show.say("      drawing the report of %d runs, about %v", len(recs), about.Round(time.Second))
		return
	}
	show.say("      drawing the report")
}

// screenRows is how many points a screen bears; the page and summary.md have all.
const screenRows = 30

// ends sums up the sweeps whose tables are too long for a screen.
func (s *reportSet) ends() (out []reports.Table) {
	for _, recs := range s.Sweeps {
		if points := pointsOfTable(recs); len(points) > screenRows && !underFaults(recs) {
			t := reports.Ends(points)
			t.Title += ": " + recs[0].Header.Title
			out = append(out, t)
		}
	}
	return out
}

// pointsOfTable groups a sweep's records as its table has them.
func pointsOfTable(recs []*record.Record) (out []reports.Point) {
	for _, p := range plot.Points(recs) {
		out = append(out, reports.Point{Settings: p.Settings, Records: p.Records})
	}
	return out
}

func baselineLine(s reports.Summary) string {
	if s.Reason != "" {
		return "collapsed by " + s.Reason
	}
	return "held, against what it is meant to show"
}

// drawing is a figure and where it stands in the page.
type drawing struct {
	section string
	plot.Figure
}

// figures draws everything the set can show, and makes the tables beside it.
func (s *reportSet) figures() (out []drawing, tables []reports.Table, err error) {
	add := func(section string, figs []plot.Figure, err error) error {
		if errors.Is(err, plot.ErrNoData) {
			return nil
		}
		for _, f := range figs {
			out = append(out, drawing{section, f})
		}
		return err
	}
	one := func(section string, f plot.Figure, err error) error { return add(section, []plot.Figure{f}, err) }
	if s.Main != nil && s.Baseline != nil {
		f, e := plot.Versus(s.Main, s.Baseline)
		if err = one("With and without the layers", f, e); err != nil {
			return
		}
	}
	if s.Main != nil {
		figs, e := plot.All(s.Main)
		if err = add("The run", figs, e); err != nil {
			return
		}
		figs, e = plot.Opening(s.Main)
		if err = add("The opening, second by second", figs, e); err != nil {
			return
		}
	}
	var sets []plot.Set
	for _, recs := range s.Sweeps {
		if len(recs) == 0 {
			continue
		}
		if underFaults(recs) {
			tables = append(tables, reports.FaultTable(recs))
			for _, r := range recs[1:] {
				f, e := plot.Recovery(recs[0], r)
				if err = one("Under each fault", f, e); err != nil {
					return
				}
			}
			continue
		}
		points := plot.Points(recs)
		sets = append(sets, plot.Set{Name: recs[0].Header.Title, Points: points})
		t := reports.Sweep(pointsOfTable(recs))
		t.Title += ": " + recs[0].Header.Title
		tables = append(tables, t)
		for _, key := range varied(recs) {
			f, e := plot.Curves(points, key)
			f.ID += "-" + recs[0].Header.Scenario
			if err = one("What "+key+" moves: "+recs[0].Header.Title, f, e); err != nil {
				return
			}
		}
	}
	if len(sets) > 0 {
		if keys := varied(s.Sweeps[0]); len(keys) == 2 && len(sets[0].Points) >= 4 && full(sets[0].Points) {
			figs, e := plot.Heat(sets, keys[0], keys[1])
			if err = add("Both together", figs, e); err != nil {
				return
			}
		}
	}
	for _, recs := range s.Layers {
		if len(recs) == 0 {
			continue
		}
		f, e := plot.Worth(recs)
		f.ID += "-" + recs[0].Header.Scenario
		if err = one("What each layer is worth: "+recs[0].Header.Title, f, e); err != nil {
			return
		}
		points := plot.Points(recs)
		var off [][]*record.Record
		for _, p := range points {
			if len(p.Settings) > 0 {
				off = append(off, p.Records)
			}
		}
		if len(points[0].Settings) == 0 {
			t := reports.Layers(points[0].Records, off...)
			t.Title += ": " + recs[0].Header.Title
			tables = append(tables, t)
		}
	}
	return out, tables, nil
}

// underFaults reports whether the points are one scenario under faults.
func underFaults(recs []*record.Record) bool {
	return len(recs) > 0 && reports.FaultOf(recs[0]) != ""
}

// faulty reports whether the set is a scenario under faults.
func (s *reportSet) faulty() bool { return len(s.Sweeps) == 1 && underFaults(s.Sweeps[0]) }

// recoveries is how each run of such a set came through its fault.
func (s *reportSet) recoveries() (out []reports.Recovery) {
	if !s.faulty() {
		return nil
	}
	for _, r := range s.Sweeps[0] {
		out = append(out, reports.Recover(s.Sweeps[0][0], r))
	}
	return out
}

// varied lists the keys that a sweep varied, in order of first appearance.
func varied(recs []*record.Record) []string {
	var keys []string
	for _, r := range recs {
		for _, v := range r.Header.Vary {
			if !slices.Contains(keys, v.Key) {
				keys = append(keys, v.Key)
			}
		}
	}
	return keys
}

// full reports whether the points of two keys are a grid, or most of one where a
// sweep was stopped: no cross, no sample.
func full(points []plot.RunPoint) bool {
	if slices.ContainsFunc(points, func(p plot.RunPoint) bool { return len(p.Settings) < 2 }) {
		return false
	}
	cells := 1
	for i := range 2 {
		values := map[string]bool{}
		for _, p := range points {
			values[p.Settings[i].Value] = true
		}
		cells *= len(values)
	}
	return 2*len(points) >= cells
}

// commands is how to make the report again.
func (s *reportSet) commands() []string {
	m := s.first()
	out := []string{fmt.Sprintf("git checkout %s", strings.TrimSuffix(m.Header.Commit, "-dirty"))}
	switch {
	case s.Command != "":
		return append(out, s.Command)
	case s.Main == nil && m.Header.Label == "sim":
		return append(out, fmt.Sprintf("spillway sweep %s --arm sim, with the settings and seeds of the table", m.Header.Scenario))
	case s.Main == nil && len(s.Layers) > 0:
		return append(out, "make layers")
	case s.faulty():
		return append(out, fmt.Sprintf("make chaos SEED=%d", m.Header.Seed))
	case s.Main == nil:
		return append(out, "make sweep")
	case s.Baseline != nil || len(s.Sweeps) > 0:
		return append(out, fmt.Sprintf("make spike SEED=%d", m.Header.Seed))
	}
	if h := &m.Header; h.Label == "sim" {
		// The record does not keep the command: window and scale are all that it tells.
		return append(out, fmt.Sprintf("spillway sim %s --seed %d --scale 1:%.6g --time %g --set window.from=%v --set window.to=%v",
			h.Scenario, h.Seed, 1/h.People, h.TimeScale, h.From, h.To))
	}
	return append(out, fmt.Sprintf("spillway attack %s --seed %d", m.Header.Scenario, m.Header.Seed))
}

// writeFigures writes every figure as SVG and PNG and hangs it into the page.
func writeFigures(dir string, drawings []drawing, p *page.Page) error {
	if err := os.MkdirAll(filepath.Join(dir, figuresDir), 0o755); err != nil {
		return fmt.Errorf("cannot make the folder of the figures: %w", err)
	}
	for _, d := range drawings {
		for ext, data := range map[string][]byte{".svg": d.SVG, ".png": d.PNG} {
			if err := writeWhole(filepath.Join(dir, figuresDir, d.ID+ext), data); err != nil {
				return fmt.Errorf("cannot write a figure: %w; make room, then: spillway report %s", err, dir)
			}
		}
		p.Figures = append(p.Figures, page.Figure{ID: d.ID, Section: d.section, Title: d.Title, Caption: d.Caption,
			SVG: d.SVG, PNGFile: figuresDir + "/" + d.ID + ".png"})
	}
	return nil
}

// writeTexts writes the page, the summaries and the JUnit file.
func writeTexts(dir string, p page.Page, s reports.Summary, v gate.Verdict, tables []reports.Table) error {
	var html, md bytes.Buffer
	if err := page.Write(&html, p); err != nil {
		return err
	}
	md.WriteString(s.Markdown())
	md.WriteString("\n" + v.Markdown())
	for _, t := range tables {
		md.WriteString("\n" + t.Markdown())
	}
	for _, o := range p.Others {
		md.WriteString("\n" + reports.Summarize(o.Record).Markdown())
	}
	js, err := json.MarshalIndent(struct {
		Summary reports.Summary `json:"summary"`
		Verdict gate.Verdict    `json:"verdict"`
	}{s, v}, "", "  ")
	if err != nil {
		return err
	}
	xml, err := v.JUnit()
	if err != nil {
		return err
	}
	for _, f := range []file{{"index.html", html.Bytes()}, {"summary.md", md.Bytes()}, {"summary.json", append(js, '\n')}, {"junit.xml", xml}} {
		if err := writeWhole(filepath.Join(dir, f.name), f.data); err != nil {
			return fmt.Errorf("cannot write the report: %w; make room, then: spillway report %s", err, dir)
		}
	}
	return nil
}

// file is a file of a run's folder.
type file struct {
	name string
	data []byte
}

// writeSheet writes a page with its figures, and the files beside it; the page last.
func writeSheet(dir string, s page.Sheet, drawings []drawing, beside ...file) error {
	var p page.Page
	if err := writeFigures(dir, drawings, &p); err != nil {
		return environment(err)
	}
	s.Figures = p.Figures
	var html bytes.Buffer
	if err := page.WriteSheet(&html, s); err != nil {
		return err
	}
	for _, f := range append(beside, file{"index.html", html.Bytes()}) {
		if err := writeWhole(filepath.Join(dir, f.name), f.data); err != nil {
			return environment(fmt.Errorf("cannot write the report: %w; make room and run it again", err))
		}
	}
	link(dir)
	return nil
}

// writeWhole writes a file whole or not at all: a full disk leaves no half of one.
func writeWhole(name string, data []byte) error {
	tmp := name + ".part"
	err := os.WriteFile(tmp, data, 0o644)
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		_ = os.Remove(tmp) // the first error tells
	}
	return err
}

// link points reports/out/latest at the run, where the folder is one of ours. It
// is a convenience: a file system without links goes without.
func link(dir string) {
	parent := filepath.Join("reports", "out")
	if filepath.Dir(dir) != parent {
		return
	}
	latest := filepath.Join(parent, "latest")
	if dir == latest { // the report of the latest run made again
		return
	}
	_ = os.Remove(latest)
	_ = os.Symlink(filepath.Base(dir), latest)
}
