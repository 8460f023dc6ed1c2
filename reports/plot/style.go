package plot

import (
	"cmp"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"spillway/internal/booking"
)

// Sizes in points. At 192 dpi a sheet is 1,920 pixels wide.
const (
	sheetWidth = vg.Length(720)
	margin     = vg.Length(14)
	gap        = vg.Length(18) // between columns of panels
	rowGap     = vg.Length(12)
	panelTall  = vg.Length(150)
	panelLow   = vg.Length(92)
)

// dpi of the PNG; tests that only want to know that nothing breaks lower it.
var dpi = 192

func rgb(v uint32) color.NRGBA {
	return color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255}
}

func fade(c color.NRGBA, alpha float64) color.NRGBA {
	c.A = uint8(alpha * 255)
	return c
}

// Lines are drawn in the palette of Okabe and Ito, causes in the "muted" one of
// Paul Tol: both stay apart for colour-blind readers.
var (
	ink       = rgb(0x262b33)
	inkSoft   = rgb(0x5d6673)
	gridGrey  = rgb(0xe3e6ea)
	paper     = rgb(0xffffff)
	bandGrey  = rgb(0xf4f5f7)
	missing   = rgb(0xd5d9de)
	blue      = rgb(0x0072b2)
	sky       = rgb(0x56b4e9)
	green     = rgb(0x009e73)
	orange    = rgb(0xe69f00)
	vermilion = rgb(0xd55e00)
	purple    = rgb(0xcc79a7)
	black     = rgb(0x1a1a1a)

	cycle = []color.NRGBA{blue, orange, green, purple, sky, vermilion, rgb(0x882255), rgb(0x999933)}

	causeColors = map[booking.Outcome]color.NRGBA{
		booking.Refused:    rgb(0xaa4499),
		booking.Duplicate:  rgb(0x88ccee),
		booking.SoldOut:    rgb(0x332288),
		booking.Busy:       rgb(0xddcc77),
		booking.Shed:       rgb(0xcc6677),
		booking.Limited:    rgb(0x999933),
		booking.Expired:    rgb(0x882255),
		booking.Degraded:   rgb(0x44aa99),
		booking.BadCoin:    rgb(0x117733),
		booking.OverBudget: rgb(0xb0987a),
		booking.Off:        rgb(0x9aa3ad),
		booking.Invalid:    rgb(0x6b7280),
		booking.Unknown:    rgb(0xc8a2c8),
		booking.Timeout:    rgb(0x1a1a1a),
		booking.Failed:     rgb(0x7f0000),
		booking.Unsent:     rgb(0xff7f50),
		booking.Unmapped:   rgb(0x4b3f72),
		booking.Closed:     rgb(0xbfc5cc),
	}

	// viridis in ten stops, dark to light: equal steps look equal, in grey too.
	viridis = []color.NRGBA{rgb(0x440154), rgb(0x482878), rgb(0x3e4a89), rgb(0x31688e), rgb(0x26828e),
		rgb(0x1f9e89), rgb(0x35b779), rgb(0x6dcd59), rgb(0xb4de2c), rgb(0xfde725)}
)

// ramp is the colour at a share 0..1 of viridis.
func ramp(share float64) color.NRGBA {
	if math.IsNaN(share) {
		share = 0.5
	}
	at := min(max(share, 0), 1) * float64(len(viridis)-1)
	i := min(int(at), len(viridis)-2)
	f, a, b := at-float64(i), viridis[i], viridis[i+1]
	mix := func(x, y uint8) uint8 { return uint8(math.Round(float64(x) + f*(float64(y)-float64(x)))) }
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// fontSans in size points; weight 3 is bold in gonum's numbers, 2 is ignored.
func fontSans(size vg.Length, bold bool) font.Font {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = 3
	}
	return f
}

type align struct {
	x text.XAlignment
	y text.YAlignment
}

var (
	leftMid   = align{text.XLeft, text.YCenter}
	rightMid  = align{text.XRight, text.YCenter}
	midMid    = align{text.XCenter, text.YCenter}
	midTop    = align{text.XCenter, text.YTop}
	rightBase = align{text.XRight, text.YBottom}
)

func style(size vg.Length, bold bool, c color.Color, a align) text.Style {
	return text.Style{Color: c, Font: fontSans(size, bold), XAlign: a.x, YAlign: a.y, Handler: gplot.DefaultTextHandler}
}

func widthOf(s string, size vg.Length, bold bool) vg.Length {
	return style(size, bold, ink, leftMid).Width(s)
}

// clean makes any text fit for one line of a figure: no control characters, no
// broken UTF-8 (an SVG with either is no XML), at most limit runes.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar, unicode.Is(unicode.Bidi_Control, r), r >= 0xfffe && r <= 0xffff:
			return -1
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if rs := []rune(s); len(rs) > limit {
		s = strings.TrimRight(string(rs[:limit-1]), " ") + "…"
	}
	return s
}

// axis is one axis of a panel. Its numbers are set before drawing.
type axis struct {
	label    string
	min, max float64
	log      bool
	ticks    []gplot.Tick // an empty label is a minor tick
	grid     bool
	bare     bool // no tick labels: another panel below shows them
	flip     bool // rows count downwards
}

// norm is the place of v along the axis, 0..1 inside it. What lies far outside is
// drawn nearer than it is: the rasteriser's time grows with the coordinates.
func (a *axis) norm(v float64) float64 {
	if !(a.max > a.min) {
		return 0.5
	}
	var scale gplot.Normalizer = gplot.LinearScale{}
	if a.log {
		scale, v = gplot.LogScale{}, math.Max(v, a.min/10)
	}
	n := scale.Normalize(a.min, a.max, v)
	if math.IsNaN(n) {
		return 0.5
	}
	n = min(max(n, -4), 5)
	if a.flip {
		return 1 - n
	}
	return n
}

// linear sets the axis from 0 (or lo, when below) to a little over hi.
func (a *axis) linear(lo, hi, headroom float64, format func(v, step float64) string) {
	lo = math.Min(lo, 0)
	if !finite(lo) || !finite(hi) || hi <= lo || hi-lo > 1e200 || hi-lo < 1e-200 {
		lo, hi = 0, 1
	}
	a.min, a.max, a.grid = lo, lo+(hi-lo)*(1+headroom), true
	step := niceStep((a.max - a.min) / 4.5)
	for i := math.Ceil(a.min / step); i*step <= a.max*(1+1e-9) && len(a.ticks) < 20; i++ {
		a.ticks = append(a.ticks, gplot.Tick{Value: i * step, Label: format(i*step, step)})
	}
}

// logarithmic sets the axis to whole steps of 1-2-5 around [lo, hi], both > 0.
func (a *axis) logarithmic(lo, hi float64, format func(v float64) string) {
	if !(lo > 1e-200) || !(hi < 1e200) || hi < lo {
		lo, hi = 0.001, 1
	}
	a.log, a.grid = true, true
	a.min, a.max = floor125(lo), ceil125(hi)
	if a.max/a.min < 4 {
		a.min, a.max = floor125(a.min/2), ceil125(a.max*2)
	}
	wide := math.Log10(a.max/a.min) > 2.2
	for e := math.Floor(math.Log10(a.min)); ; e++ {
		decade := math.Pow(10, e)
		if decade > a.max*(1+1e-9) {
			return
		}
		for m := 1.0; m < 10; m++ {
			v := decade * m
			if v < a.min*(1-1e-9) || v > a.max*(1+1e-9) {
				continue
			}
			t := gplot.Tick{Value: v}
			if m == 1 || !wide && (m == 2 || m == 5) {
				t.Label = format(v)
			}
			a.ticks = append(a.ticks, t)
		}
	}
}

func floor125(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)+1e-9))
	switch m := v / decade * (1 + 1e-9); {
	case m >= 5:
		return 5 * decade
	case m >= 2:
		return 2 * decade
	}
	return decade
}

func ceil125(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)+1e-9))
	switch m := v / decade * (1 - 1e-9); {
	case m <= 1:
		return decade
	case m <= 2:
		return 2 * decade
	case m <= 5:
		return 5 * decade
	}
	return 10 * decade
}

func niceStep(v float64) float64 {
	if !(v > 0) || !finite(v) {
		return 1
	}
	return ceil125(v)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// number writes v with the decimals that a tick step needs, thousands apart.
func number(v, step float64) string {
	decimals := 0
	if step > 0 && step < 1 {
		decimals = int(math.Ceil(-math.Log10(step) - 1e-9))
	}
	return thousands(strconv.FormatFloat(v+0, 'f', min(decimals, 6), 64))
}

// short writes v to three digits.
func short(v float64) string {
	switch a := math.Abs(v); {
	case !finite(v):
		return "n/a"
	case a >= 1e7:
		return thousands(strconv.FormatFloat(v/1e6, 'f', 0, 64)) + " M"
	case a >= 100 || v == math.Trunc(v):
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.095:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

func thousands(s string) string {
	sign, frac := "", ""
	if strings.HasPrefix(s, "-") {
		sign, s = "−", s[1:]
	}
	if i := strings.IndexByte(s, '.'); i >= 0 {
		s, frac = s[:i], s[i:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if strings.Trim(s+frac, "0.,") == "" {
		sign = ""
	}
	return sign + s + frac
}

// seconds writes a duration of v seconds in its best unit.
func seconds(v float64) string {
	switch {
	case !finite(v):
		return "n/a"
	case v == 0:
		return "0"
	case v < 0.9995e-3:
		return short3(v*1e6) + " µs"
	case v < 0.9995:
		return short3(v*1e3) + " ms"
	case v < 600:
		return short3(v) + " s"
	}
	return short3(v/60) + " min"
}

func short3(v float64) string {
	decimals := 2 - int(math.Floor(math.Log10(math.Max(v, 1e-3))+1e-9))
	s := strconv.FormatFloat(v, 'f', max(0, decimals), 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return thousands(s)
}

// key is one entry of a legend.
type key struct {
	label string
	color color.NRGBA
	dash  []vg.Length
	area  bool // a filled box, else a line
	dot   bool
}

// span is a labelled part of the x axis.
type span struct {
	name     string
	from, to float64
}

// mark is a labelled vertical line.
type mark struct {
	at    float64
	label string
	color color.NRGBA
	dash  []vg.Length
}

// panel is one frame with its axes, legend and contents.
type panel struct {
	title  string
	height vg.Length // of the data area; 0 = panelTall
	x, y   axis
	keys   []key
	spans  []span
	marks  []mark
	quiet  bool // marks without labels
	bar    *colorBar
	draw   []func(*frame)
	empty  string // why there is nothing, instead of contents
}

// frame is a panel being drawn.
type frame struct {
	*panel
	c draw.Canvas // clipped to nothing; its rectangle is the data area
}

func (f *frame) at(x, y float64) vg.Point { return vg.Point{X: f.px(x), Y: f.py(y)} }
func (f *frame) px(x float64) vg.Length   { return f.c.X(f.panel.x.norm(x)) }
func (f *frame) py(y float64) vg.Length   { return f.c.Y(f.panel.y.norm(y)) }

func (f *frame) text(p vg.Point, s string, size vg.Length, bold bool, c color.Color, a align) {
	if a.y == text.YCenter {
		p.Y += size * 0.07 // figures and capitals have no descenders: centre what is seen
	}
	if s != "" {
		f.c.FillText(style(size, bold, c, a), p, s)
	}
}

// halo writes text on a white ground, for labels that may lie over a line.
func (f *frame) halo(p vg.Point, s string, size vg.Length, c color.Color, a align) {
	sty := style(size, false, c, a)
	r := sty.Rectangle(s)
	f.rect(p.X+r.Min.X-1.5, p.Y+r.Min.Y-0.5, p.X+r.Max.X+1.5, p.Y+r.Max.Y+0.5, fade(paper, 0.85))
	f.c.FillText(sty, p, s)
}

func (f *frame) rect(x0, y0, x1, y1 vg.Length, c color.Color) {
	f.c.FillPolygon(c, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}

// box fills a rectangle in data coordinates, cut at the frame.
func (f *frame) box(x0, y0, x1, y1 float64, c color.Color) {
	cx := func(v vg.Length) vg.Length { return min(max(v, f.c.Min.X), f.c.Max.X) }
	cy := func(v vg.Length) vg.Length { return min(max(v, f.c.Min.Y), f.c.Max.Y) }
	f.rect(cx(f.px(x0)), cy(f.py(y0)), cx(f.px(x1)), cy(f.py(y1)), c)
}

func (f *frame) inside(x, y float64) bool {
	return finite(x) && finite(y) && (!f.panel.x.log || x > 0) && (!f.panel.y.log || y > 0)
}

// line strokes through the points; a gap (NaN) breaks it, a point alone is a dot.
func (f *frame) line(xs, ys []float64, c color.Color, width vg.Length, dash []vg.Length) {
	var run []vg.Point
	flush := func() {
		if len(run) == 1 && f.c.Contains(run[0]) {
			f.dot(run[0], c, width*1.2)
		}
		if len(run) > 1 {
			f.c.StrokeLines(draw.LineStyle{Color: c, Width: width, Dashes: dash}, f.c.ClipLinesXY(run)...)
		}
		run = nil
	}
	for i := range xs {
		if !f.inside(xs[i], ys[i]) {
			flush()
			continue
		}
		run = level(run, f.at(xs[i], ys[i]))
	}
	flush()
}

// level appends a point to a line; the middle one of three at one height goes, for
// it draws nothing: an evening is mostly rest.
func level(line []vg.Point, p vg.Point) []vg.Point {
	if n := len(line); n > 1 && line[n-1].Y == p.Y && line[n-2].Y == p.Y {
		line = line[:n-1]
	}
	return append(line, p)
}

// band fills between lo and hi; a gap in either breaks it.
func (f *frame) band(xs, lo, hi []float64, c color.Color) {
	var up, down []vg.Point
	flush := func() {
		if len(up) > 1 {
			for i := len(down) - 1; i >= 0; i-- {
				up = append(up, down[i])
			}
			f.c.FillPolygon(c, up)
		}
		up, down = nil, nil
	}
	clamp := func(v float64) float64 { return min(max(v, f.y.min), f.y.max) }
	for i := range xs {
		if !f.inside(xs[i], lo[i]) || !f.inside(xs[i], hi[i]) || xs[i] < f.x.min || xs[i] > f.x.max {
			flush()
			continue
		}
		up, down = level(up, f.at(xs[i], clamp(hi[i]))), level(down, f.at(xs[i], clamp(lo[i])))
	}
	flush()
}

func (f *frame) dot(p vg.Point, c color.Color, radius vg.Length) {
	f.c.DrawGlyphNoClip(draw.GlyphStyle{Color: c, Radius: radius, Shape: draw.CircleGlyph{}}, p)
}

func (f *frame) ring(p vg.Point, c color.Color, radius vg.Length) {
	f.dot(p, paper, radius)
	f.c.DrawGlyphNoClip(draw.GlyphStyle{Color: c, Radius: radius, Shape: draw.RingGlyph{}}, p)
}

func (f *frame) hline(y float64, label string, c color.Color) {
	if !f.inside(1, y) || y < f.y.min || y > f.y.max {
		return
	}
	py := f.py(y)
	f.c.StrokeLine2(draw.LineStyle{Color: c, Width: 0.9, Dashes: dashed}, f.c.Min.X, py, f.c.Max.X, py)
	if label != "" {
		f.halo(vg.Point{X: f.c.Max.X - 4, Y: py + 3}, label, 8, c, rightBase)
	}
}

var (
	dashed = []vg.Length{4, 3}
	dotted = []vg.Length{1.2, 2.4}
)

// colorBar is the scale of a heat map.
type colorBar struct {
	lo, hi float64
	format func(float64) string
	at     func(share float64) float64 // value at a share of the bar; nil = linear
}

const barRoom = vg.Length(64) // right of a panel that has a colour bar

func (p *panel) tall() vg.Length {
	if p.height > 0 {
		return p.height
	}
	return panelTall
}

// gutter is what the y axis needs left of the data.
func (p *panel) gutter() vg.Length {
	var w vg.Length
	for _, t := range p.y.ticks {
		w = max(w, widthOf(t.Label, 8.5, false))
	}
	w += 8
	if p.y.label != "" {
		w += 14
	}
	return w
}

const (
	headLine  = vg.Length(14)
	stripLine = vg.Length(11)
)

// fit cuts a text to a width.
func fit(s string, size vg.Length, bold bool, width vg.Length) string {
	cut := s
	for rs := []rune(s); len(rs) > 1 && widthOf(cut, size, bold) > width; {
		rs = rs[:len(rs)-1]
		cut = strings.TrimRight(string(rs), " (,") + "…"
	}
	return cut
}

// flow places the legend behind the title, in as many lines as it takes.
func (p *panel) flow(width vg.Length) (at []vg.Point, lines int) {
	x, y := vg.Length(0), 0
	p.title = fit(p.title, 10, true, width)
	if p.title != "" {
		x = widthOf(p.title, 10, true) + 16
	}
	for _, k := range p.keys {
		w := 18 + widthOf(k.label, 8.5, false)
		if x > 0 && x+w > width {
			x, y = 0, y+1
		}
		at = append(at, vg.Point{X: x, Y: vg.Length(y)})
		x += w + 12
	}
	if p.title == "" && len(p.keys) == 0 {
		return nil, 0
	}
	return at, y + 1
}

// head is the height above the data: title, legend, strip of windows.
func (p *panel) head(width vg.Length) vg.Length {
	_, lines := p.flow(width)
	h := vg.Length(lines)*headLine + 4
	if len(p.spans) > 0 {
		h += stripLine
	}
	return h
}

// foot is the height below the data.
func (p *panel) foot() vg.Length {
	h := vg.Length(2)
	if !p.x.bare && len(p.x.ticks) > 0 {
		h += 15
	}
	if !p.x.bare && p.x.label != "" {
		h += 14
	}
	return h
}

func (p *panel) render(c draw.Canvas, area vg.Rectangle) {
	f := &frame{p, draw.Canvas{Canvas: c.Canvas, Rectangle: area}}
	top := area.Max.Y
	if len(p.spans) > 0 {
		f.strip()
		top += stripLine
	}
	at, lines := p.flow(area.Size().X)
	first := top + 4 + vg.Length(lines)*headLine - headLine/2
	f.text(vg.Point{X: area.Min.X, Y: first}, p.title, 10, true, ink, leftMid)
	for i, k := range p.keys {
		f.key(k, vg.Point{X: area.Min.X + at[i].X, Y: first - at[i].Y*headLine})
	}
	f.axes()
	if p.empty != "" {
		f.text(middleOf(area), p.empty, 9, false, inkSoft, midMid)
		return
	}
	for _, d := range p.draw {
		d(f)
	}
	f.labels()
	if p.bar != nil {
		f.colorBar()
	}
}

func middleOf(r vg.Rectangle) vg.Point {
	return vg.Point{X: (r.Min.X + r.Max.X) / 2, Y: (r.Min.Y + r.Max.Y) / 2}
}

func (f *frame) key(k key, p vg.Point) {
	switch {
	case k.area:
		f.rect(p.X+1, p.Y-3.5, p.X+12, p.Y+3.5, k.color)
	case k.dot:
		f.dot(vg.Point{X: p.X + 7, Y: p.Y}, k.color, 3)
	default:
		f.c.StrokeLine2(draw.LineStyle{Color: k.color, Width: 1.8, Dashes: k.dash}, p.X, p.Y, p.X+14, p.Y)
	}
	f.text(vg.Point{X: p.X + 17, Y: p.Y}, k.label, 8.5, false, ink, leftMid)
}

// strip draws the windows: bands behind the data, names above it.
func (f *frame) strip() {
	for i, s := range f.spans {
		x0, x1 := max(f.px(s.from), f.c.Min.X), min(f.px(s.to), f.c.Max.X)
		if x1 <= x0 {
			continue
		}
		if i%2 == 0 {
			f.rect(x0, f.c.Min.Y, x1, f.c.Max.Y+stripLine, bandGrey)
		}
		if widthOf(s.name, 8, false) < x1-x0 {
			f.text(vg.Point{X: (x0 + x1) / 2, Y: f.c.Max.Y + stripLine/2}, s.name, 8, false, inkSoft, midMid)
		}
	}
}

func (f *frame) axes() {
	line := draw.LineStyle{Color: inkSoft, Width: 0.6}
	hair := draw.LineStyle{Color: gridGrey, Width: 0.6}
	a := f.c.Rectangle
	for _, t := range f.y.ticks {
		if n := f.y.norm(t.Value); n < -1e-9 || n > 1+1e-9 {
			continue
		}
		y := f.py(t.Value)
		if t.Label == "" {
			f.c.StrokeLine2(line, a.Min.X-2, y, a.Min.X, y)
			continue
		}
		if f.y.grid {
			f.c.StrokeLine2(hair, a.Min.X, y, a.Max.X, y)
		}
		f.text(vg.Point{X: a.Min.X - 5, Y: y}, t.Label, 8.5, false, ink, rightMid)
	}
	if f.y.label != "" {
		sty := style(9, false, inkSoft, midMid)
		sty.Rotation = math.Pi / 2
		f.c.FillText(sty, vg.Point{X: a.Min.X - f.gutter() + 6, Y: (a.Min.Y + a.Max.Y) / 2}, f.y.label)
	}
	f.c.StrokeLine2(line, a.Min.X, a.Min.Y, a.Max.X, a.Min.Y)
	if !f.y.grid {
		f.c.StrokeLine2(line, a.Min.X, a.Min.Y, a.Min.X, a.Max.Y)
	}
	for _, t := range f.x.ticks {
		if n := f.x.norm(t.Value); n < -1e-9 || n > 1+1e-9 {
			continue
		}
		x := f.px(t.Value)
		long := vg.Length(3.5)
		if t.Label == "" {
			long = 2
		}
		f.c.StrokeLine2(line, x, a.Min.Y, x, a.Min.Y-long)
		if !f.x.bare {
			f.text(vg.Point{X: x, Y: a.Min.Y - 5}, t.Label, 8.5, false, ink, midTop)
		}
	}
	if f.x.label != "" && !f.x.bare {
		f.text(vg.Point{X: (a.Min.X + a.Max.X) / 2, Y: a.Min.Y - 18}, f.x.label, 9, false, inkSoft, midTop)
	}
}

// labels draws the marks: lines first, then their words in the head-room, beside
// the line where no other line or word stands, else a row lower.
func (f *frame) labels() {
	ms := slices.DeleteFunc(slices.Clone(f.marks), func(m mark) bool {
		return !finite(m.at) || m.at < f.x.min || m.at > f.x.max
	})
	slices.SortStableFunc(ms, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	for _, m := range ms {
		x := f.px(m.at)
		f.c.StrokeLine2(draw.LineStyle{Color: m.color, Width: 0.9, Dashes: m.dash}, x, f.c.Min.Y, x, f.c.Max.Y)
	}
	if f.quiet {
		return
	}
	type taken struct {
		from, to vg.Length
		row      int
	}
	var words []taken
	for i, m := range ms {
		x, w := f.px(m.at), widthOf(m.label, 8, false)
		clear := func(from vg.Length, row int) bool {
			if from < f.c.Min.X || from+w > f.c.Max.X {
				return false
			}
			for j, o := range ms {
				if ox := f.px(o.at); j != i && ox > from-2 && ox < from+w+2 {
					return false
				}
			}
			return !slices.ContainsFunc(words, func(t taken) bool {
				return t.row == row && from < t.to+5 && from+w > t.from-5
			})
		}
		left, row := x+4, 0
		if left+w > f.c.Max.X { // rather across another line than cut off
			left, row = x-4-w, 1
		}
		for _, try := range []struct {
			from vg.Length
			row  int
		}{{x + 4, 0}, {x - 4 - w, 0}, {x + 4, 1}, {x - 4 - w, 1}} {
			if clear(try.from, try.row) {
				left, row = try.from, try.row
				break
			}
		}
		words = append(words, taken{left, left + w, row})
		f.halo(vg.Point{X: left, Y: f.c.Max.Y - 6 - vg.Length(row)*10}, m.label, 8, m.color, leftMid)
	}
}

func (f *frame) colorBar() {
	const n = 48
	x0, x1 := f.c.Max.X+10, f.c.Max.X+19
	tall := f.c.Max.Y - f.c.Min.Y
	for i := range n {
		y := f.c.Min.Y + tall*vg.Length(i)/n
		f.rect(x0, y, x1, min(y+tall/n+0.3, f.c.Max.Y), ramp((float64(i)+0.5)/n))
	}
	for i := range 3 {
		share := float64(i) / 2
		if f.bar.hi == f.bar.lo && i != 1 {
			continue
		}
		y := f.c.Min.Y + tall*vg.Length(share)
		f.c.StrokeLine2(draw.LineStyle{Color: inkSoft, Width: 0.6}, x1, y, x1+3, y)
		v := f.bar.lo + share*(f.bar.hi-f.bar.lo)
		if f.bar.at != nil {
			v = f.bar.at(share)
		}
		f.text(vg.Point{X: x1 + 5, Y: y}, f.bar.format(v), 8, false, ink, leftMid)
	}
}

type paint = color.NRGBA

var (
	nan       = math.NaN()
	purpleInk = rgb(0x7a3b69)
)

func tick(v float64, label string) gplot.Tick { return gplot.Tick{Value: v, Label: label} }
func points(v float64) vg.Length              { return vg.Length(v) }
