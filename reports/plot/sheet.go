package plot

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"slices"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// sheet is a figure before it is drawn: panels in rows of cols.
type sheet struct {
	id, title, sub, caption string
	cols                    int
	keys                    []key    // a legend for all panels
	panels                  []*panel // row by row; nil leaves a hole
}

// legend is the sheet's own legend as a panel without data.
func (s *sheet) legend() (p *panel, at []vg.Point, height vg.Length) {
	p = &panel{keys: s.keys}
	at, lines := p.flow(sheetWidth - 2*margin)
	return p, at, vg.Length(lines) * headLine
}

// layout returns the data areas and the height of the sheet.
func (s *sheet) layout() (areas []vg.Rectangle, height vg.Length) {
	cols := max(s.cols, 1)
	left, right := make([]vg.Length, cols), make([]vg.Length, cols)
	for i, p := range s.panels {
		if p == nil {
			continue
		}
		left[i%cols] = max(left[i%cols], p.gutter())
		right[i%cols] = max(right[i%cols], 6)
		if p.bar != nil {
			right[i%cols] = max(right[i%cols], barRoom)
		}
	}
	inner := sheetWidth - 2*margin - vg.Length(cols-1)*gap
	for i := range cols {
		inner -= left[i] + right[i]
	}
	wide := inner / vg.Length(cols)

	_, _, legend := s.legend()
	if legend > 0 {
		legend += 8
	}
	y := margin + 34 + legend // from the top
	areas = make([]vg.Rectangle, len(s.panels))
	for r := 0; r*cols < len(s.panels); r++ {
		row := s.panels[r*cols : min((r+1)*cols, len(s.panels))]
		var head, tall, foot vg.Length
		for _, p := range row {
			if p != nil {
				head, tall, foot = max(head, p.head(wide)), max(tall, p.tall()), max(foot, p.foot())
			}
		}
		x := margin
		for i := range row {
			x += left[i]
			areas[r*cols+i] = vg.Rectangle{Min: vg.Point{X: x, Y: y + head + tall}, Max: vg.Point{X: x + wide, Y: y + head}}
			x += wide + right[i] + gap
		}
		y += head + tall + foot + rowGap
	}
	height = y - rowGap + margin
	for i := range areas { // turn upwards
		areas[i].Min.Y, areas[i].Max.Y = height-areas[i].Min.Y, height-areas[i].Max.Y
	}
	return areas, height
}

func (s *sheet) paint(c draw.Canvas, areas []vg.Rectangle) {
	f := &frame{&panel{}, c}
	f.rect(c.Min.X, c.Min.Y, c.Max.X, c.Max.Y, paper)
	f.text(vg.Point{X: margin, Y: c.Max.Y - margin - 7}, s.title, 13, true, ink, leftMid)
	f.text(vg.Point{X: margin, Y: c.Max.Y - margin - 22}, s.sub, 8.5, false, inkSoft, leftMid)
	_, at, _ := s.legend()
	for i, k := range s.keys {
		f.key(k, vg.Point{X: margin + at[i].X, Y: c.Max.Y - margin - 40 - at[i].Y*headLine})
	}
	for i, p := range s.panels {
		if p != nil {
			p.render(c, areas[i])
		}
	}
}

// figure draws the sheet in both formats.
func (s *sheet) figure() (Figure, error) {
	s.title, s.sub = clean(s.title, 90), clean(s.sub, 150)
	areas, height := s.layout()
	svg := vgsvg.NewWith(vgsvg.UseWH(sheetWidth, height))
	measured := &textLengths{Canvas: svg}
	s.paint(draw.New(measured), areas)
	var raw bytes.Buffer
	if _, err := svg.WriteTo(&raw); err != nil {
		return Figure{}, fmt.Errorf("figure %s: svg: %w", s.id, err)
	}
	img := vgimg.NewWith(vgimg.UseWH(sheetWidth, height), vgimg.UseDPI(dpi), vgimg.UseBackgroundColor(paper))
	s.paint(draw.New(img), areas)
	var pix bytes.Buffer
	// The best compression takes many times as long and saves 6 %.
	if err := png.Encode(&pix, paletted(img.Image())); err != nil {
		return Figure{}, fmt.Errorf("figure %s: png: %w", s.id, err)
	}
	return Figure{ID: s.id, Title: s.title, Caption: s.caption, SVG: tidySVG(raw.Bytes(), s.title, measured.widths), PNG: pix.Bytes()}, nil
}

// textLengths notes the width of every text in the order they are drawn.
type textLengths struct {
	*vgsvg.Canvas
	widths []vg.Length
}

// FillString implements vg.Canvas.
func (t *textLengths) FillString(face font.Face, p vg.Point, s string) {
	t.widths = append(t.widths, face.Width(s))
	t.Canvas.FillString(face, p, s)
}

// tidySVG drops the prologue, so that the SVG can stand inside a page, names it
// for screen readers, and gives every text its stand-in fonts and its measured
// length. Text content can hold none of the patterns: its "<" and quotes are escaped.
func tidySVG(raw []byte, title string, widths []vg.Length) []byte {
	if i := bytes.Index(raw, []byte("<svg ")); i > 0 {
		raw = raw[i:]
	}
	for _, variant := range []string{"none", "normal"} {
		raw = bytes.ReplaceAll(raw, []byte(`style="font-family:Liberation Sans;font-variant:`+variant+`;`),
			[]byte(`style="font-family:'Liberation Sans',Arimo,Arial,Helvetica,sans-serif;`))
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg role="img" aria-label="%s" `, escape(title))
	parts := bytes.Split(raw[len("<svg "):], []byte("<text "))
	for i, part := range parts {
		if i > 0 {
			out.WriteString("<text ")
			if i <= len(widths) && widths[i-1] > 0 {
				fmt.Fprintf(&out, `textLength="%.4g" lengthAdjust="spacingAndGlyphs" `, widths[i-1].Points())
			}
		}
		out.Write(part)
	}
	return out.Bytes()
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", `\`, "&#92;").Replace(s)
}

// paletted maps a drawing to its 256 most frequent colours, any other to the
// nearest of them: a third of the bytes, and no difference that an eye can see.
func paletted(src image.Image) image.Image {
	rgba, ok := src.(*image.RGBA)
	if !ok {
		return src
	}
	// Most pixels are as their left neighbour, so colours are looked up once a run.
	at := func(i int) color.RGBA {
		return color.RGBA{rgba.Pix[i], rgba.Pix[i+1], rgba.Pix[i+2], rgba.Pix[i+3]}
	}
	counts := map[color.RGBA]int{}
	for i, n := 0, len(rgba.Pix); i+3 < n; {
		c, from := at(i), i
		for i += 4; i+3 < n && at(i) == c; i += 4 {
		}
		counts[c] += (i - from) / 4
	}
	all := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		all = append(all, c)
	}
	pack := func(c color.RGBA) uint32 { return uint32(c.R)<<24 | uint32(c.G)<<16 | uint32(c.B)<<8 | uint32(c.A) }
	slices.SortFunc(all, func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(pack(a), pack(b)))
	})
	index := make(map[color.RGBA]uint8, len(all))
	var pal color.Palette
	for i, c := range all {
		if i < 256 {
			pal = append(pal, c)
			index[c] = uint8(i)
		} else {
			index[c] = uint8(pal.Index(c))
		}
	}
	out := image.NewPaletted(rgba.Rect, pal)
	var last color.RGBA
	var of uint8
	for i := 0; i+3 < len(rgba.Pix); i += 4 {
		if c := at(i); c != last || i == 0 {
			last, of = c, index[c]
		}
		out.Pix[i/4] = of
	}
	return out
}
