package plot

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"spillway/internal/record"
	"spillway/reports"
)

type vgLength = vg.Length

// groupNames lists the classes in the record's order, bots last, each name once.
func groupNames(rec *record.Record) []string {
	var out []string
	bots := false
	for _, g := range rec.Groups {
		if g.Name == record.GroupBots {
			bots = true
		} else if !slices.Contains(out, g.Name) {
			out = append(out, g.Name)
		}
	}
	if bots {
		out = append(out, record.GroupBots)
	}
	return out
}

func groupColor(name string, i int) paint {
	if name == record.GroupBots {
		return black
	}
	return cycle[i%len(cycle)]
}

// whisker draws an upright interval.
func (f *frame) whisker(x, lo, hi float64, c paint) {
	line := draw.LineStyle{Color: c, Width: 0.9}
	px, p0, p1 := f.px(x), f.py(lo), f.py(hi)
	f.c.StrokeLine2(line, px, p0, px, p1)
	f.c.StrokeLine2(line, px-2.5, p0, px+2.5, p0)
	f.c.StrokeLine2(line, px-2.5, p1, px+2.5, p1)
}

// flat draws a level interval.
func (f *frame) flat(lo, hi, y float64, c paint) {
	line := draw.LineStyle{Color: c, Width: 0.9}
	py, p0, p1 := f.py(y), f.px(lo), f.px(hi)
	f.c.StrokeLine2(line, p0, py, p1, py)
	f.c.StrokeLine2(line, p0, py-2.5, p0, py+2.5)
	f.c.StrokeLine2(line, p1, py-2.5, p1, py+2.5)
}

// rows makes the y axis one of n named rows, the first on top.
func (p *panel) rows(names []string, high float64) {
	p.y.min, p.y.max, p.y.flip, p.y.grid = -0.6, float64(len(names))-0.4, true, false
	for i, n := range names {
		p.y.ticks = append(p.y.ticks, tick(float64(i), clean(n, 26)))
	}
	p.height = points(high * float64(len(names)))
}

var stageWords = map[string]string{
	record.StageVisit: "opened the program", record.StageBooks: "tries to book", record.StageForm: "form opened",
	record.StagePressed: "pressed", record.StagePassed: "passed the gate", record.StageSubmitted: "sent a submit",
	record.StageAccepted: "submit accepted", record.StageConfirmed: "saw the booking confirmed",
}

// Funnel draws how far visits came, how they ended, and each group's chance.
func Funnel(rec *record.Record) (Figure, error) {
	const id = "funnel"
	rec = newRun(rec).rec
	var people, bots []uint64
	for _, s := range record.Stages() {
		people = append(people, rec.Stage(s, false))
		bots = append(bots, rec.Stage(s, true)-rec.Stage(s, false))
	}
	if people[0]+bots[0] == 0 {
		return Figure{}, noData(id, "no visits were counted")
	}
	names := make([]string, len(people))
	for i, s := range record.Stages() {
		names[i] = stageWords[s]
	}
	a := bars("Visits of people, by how far they came", names, people, blue, 15.5, func(i int) string {
		s := short(float64(people[i]))
		if i > 0 && people[i-1] > 0 {
			s += fmt.Sprintf("  ·  %s %% of the stage above", short(100*float64(people[i])/float64(people[i-1])))
		}
		return s
	})
	ps := []*panel{a}
	if bots[0] > 0 {
		var bn []string
		var bv []uint64
		for i := range bots {
			if bots[i] > 0 {
				bn, bv = append(bn, names[i]), append(bv, bots[i])
			}
		}
		ps = append(ps, bars("Bots, which skip config, form and gate", bn, bv, black, 15.5, func(i int) string { return short(float64(bv[i])) }))
	}
	if f := finals(rec); f != nil {
		ps = append(ps, f)
	}
	if c := chances(rec); c != nil {
		ps = append(ps, c)
	}
	return (&sheet{id: id, title: "How far visits came, and how they ended", sub: about(rec), cols: 1, panels: ps,
		caption: "A visit is one opening of the program and counts once in each stage it reached; people and bots apart. The chance of a group is its visits that saw a confirmed booking over its visits that tried to book; whiskers are the 95 % interval (Wilson)."}).figure()
}

// bars is a panel of level bars with a label behind each.
func bars(title string, names []string, vs []uint64, c paint, rowHigh float64, label func(i int) string) *panel {
	p := &panel{title: title}
	p.rows(names, rowHigh)
	p.x.min, p.x.max = 0, 1
	for _, v := range vs {
		p.x.max = max(p.x.max, float64(v))
	}
	p.x.max *= 1.36 // room for the labels
	p.draw = append(p.draw, func(f *frame) {
		for i, v := range vs {
			f.box(0, float64(i)-0.36, float64(v), float64(i)+0.36, c)
			f.text(vg.Point{X: f.px(float64(v)) + 5, Y: f.py(float64(i))}, label(i), 8.5, false, ink, leftMid)
		}
	})
	return p
}

// finals is how the visits that tried to book ended, all groups together. Those
// that only looked are left out, for they would dwarf the rest.
func finals(rec *record.Record) *panel {
	counts := map[string]uint64{}
	var total uint64
	for _, g := range rec.Groups {
		for f, n := range g.Finals {
			if f != "left" {
				counts[f] += n
				total += n
			}
		}
	}
	names := slices.Sorted(maps.Keys(counts))
	names = slices.DeleteFunc(names, func(n string) bool { return counts[n] == 0 })
	sort.SliceStable(names, func(i, j int) bool { return counts[names[i]] > counts[names[j]] })
	if len(names) == 0 {
		return nil
	}
	names = names[:min(len(names), 16)]
	vs, words := make([]uint64, len(names)), make([]string, len(names))
	for i, n := range names {
		vs[i], words[i] = counts[n], strings.ReplaceAll(n, "-", " ")
	}
	return bars(fmt.Sprintf("How the other visits ended: %s that did more than look", short(float64(total))), words, vs, rgb(0x44aa99), 15.5, func(i int) string {
		return fmt.Sprintf("%s  ·  %s %%", short(float64(vs[i])), short(100*float64(vs[i])/float64(total)))
	})
}

// chances is the chance of each group, with its interval.
func chances(rec *record.Record) *panel {
	type chance struct{ won, tried uint64 }
	by := map[string]chance{}
	for _, g := range rec.Groups {
		c := by[g.Name]
		c.won, c.tried = c.won+g.Stages[record.StageConfirmed], c.tried+g.Stages[record.StageBooks]
		by[g.Name] = c
	}
	names := slices.DeleteFunc(groupNames(rec), func(n string) bool { return by[n].tried == 0 })
	if len(names) == 0 {
		return nil
	}
	names = names[:min(len(names), 16)]
	p := &panel{title: "Chance of a booking, by group"}
	p.rows(names, 17)
	var high float64
	for _, n := range names {
		_, hi := reports.Wilson(by[n].won, by[n].tried)
		high = max(high, 100*hi)
	}
	var ax axis
	ax.linear(0, high, 0.3, number)
	p.x = ax
	p.x.label = "visits that saw a confirmed booking, of those that tried to book (%)"
	p.draw = append(p.draw, func(f *frame) {
		for i, n := range names {
			c, y := by[n], float64(i)
			lo, hi := reports.Wilson(c.won, c.tried)
			f.flat(100*lo, 100*hi, y, inkSoft)
			v := 100 * float64(c.won) / float64(c.tried)
			f.dot(f.at(v, y), groupColor(n, i), 3.4)
			f.text(vg.Point{X: f.px(100*hi) + 6, Y: f.py(y)},
				fmt.Sprintf("%s %%  ·  %s of %s", short(v), short(float64(c.won)), short(float64(c.tried))), 8.5, false, ink, leftMid)
		}
	})
	return p
}
