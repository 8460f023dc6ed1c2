package page

import (
	"bytes"
	"strings"
	"testing"

	"spillway/reports"
)

// A sheet stands alone and shows hostile text as text.
func TestSheet(t *testing.T) {
	const evil = `<script>alert(1)</script>`
	var b bytes.Buffer
	err := WriteSheet(&b, Sheet{Kicker: evil, Title: evil, Word: "agrees", Reason: evil, Class: "held", Warnings: []string{evil}, Answer: []string{evil},
		Tiles: []Tile{{evil, evil}}, Note: evil, Tables: []reports.Table{{Title: evil, Columns: []string{evil}, Rows: [][]string{{evil}}}},
		Figures:  []Figure{{ID: "a", Section: evil, Title: evil, Caption: evil, SVG: []byte("<svg></svg>"), PNGFile: "figures/a.png"}},
		Commands: []string{evil}, Facts: []Fact{{evil, evil}}, Files: []File{{"station.json", evil}}, Text: evil})
	if err != nil {
		t.Fatal(err)
	}
	html := b.String()
	if strings.Contains(html, "<script") || strings.Contains(html, "http://") || strings.Contains(html, "https://") {
		t.Error("a script, or something from elsewhere")
	}
	for _, want := range []string{"AGREES", "data:image/svg&#43;xml;base64,", `href="station.json"`, "&lt;script&gt;", "</html>"} {
		if !strings.Contains(html, want) {
			t.Errorf("does not hold %q", want)
		}
	}
	b.Reset()
	if err := WriteSheet(&b, Sheet{Title: "x"}); err != nil || strings.Contains(b.String(), "verdict\"") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
