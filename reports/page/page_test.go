package page_test

import (
	"bytes"
	"encoding/base64"
	htmlpkg "html"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
	"spillway/reports"
	"spillway/reports/page"
)

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 3"><path d="M0 0L8 3"/></svg>`

// full is a page with everything in it, every text of it being s.
func full(s string) page.Page {
	r := recordtest.Make(recordtest.Options{Seed: 1, People: 0.0005, Bots: 2})
	setStrings(reflect.ValueOf(&r.Header).Elem(), s)
	r.Header.Windows = []record.Window{{Name: s, From: r.Header.From, To: r.Header.To}}
	r.Header.Switched = []string{s}
	r.Header.Vary = []record.Setting{{Key: s, Value: s}}
	for i := range r.Groups {
		r.Groups[i].Name = s
	}
	r.Invariants = []record.Invariant{{Name: s, Broken: 1, Detail: s}}
	table := reports.Table{Title: s, Columns: []string{s, s}, Rows: [][]string{{s, s}}, Notes: []string{s}}
	return page.Page{Record: r, Name: s, Others: []page.Run{{Name: s, Record: r}, {Record: r}},
		Figures:  []page.Figure{{ID: s, Section: s, Title: s, Caption: s, SVG: []byte(svg), PNGFile: s}, {SVG: []byte(s)}},
		Tables:   []reports.Table{table},
		Commands: []string{s}, Files: []page.File{{Name: s, What: s}}}
}

// setStrings sets every string of a struct, in its lists too.
func setStrings(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && v.Type().Field(i).IsExported() && v.Field(i).Type().PkgPath() != "time" {
				setStrings(v.Field(i), s)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			setStrings(v.Index(i), s)
		}
	}
}

func render(t *testing.T, p page.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// tag matches the start of a tag as browsers see it, quoted attributes skipped.
var tag = regexp.MustCompile(`</?[a-zA-Z!][^\s>]*((?:\s+[a-zA-Z-]+(?:="[^"]*")?)*)\s*>`)

func skeleton(html string) (tags []string) {
	attr := regexp.MustCompile(`="[^"]*"`)
	html = regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(html, "<style></style>")
	for _, m := range tag.FindAllString(html, -1) {
		tags = append(tags, attr.ReplaceAllString(m, ""))
	}
	return tags
}

// Text from outside never changes the page's structure: with hostile text in
// every field the tags and attribute names are those of the page with tame text.
func TestHostileTextStaysText(t *testing.T) {
	want := skeleton(render(t, full("tame")))
	if len(want) < 200 {
		t.Fatalf("only %d tags found", len(want))
	}
	for _, s := range []string{
		`"><script>alert(1)</script><img src=x onerror=alert(1)>`,
		`'"></style></pre></details></table><svg onload=alert(1)>{{.}}`,
		`javascript:alert(1)`, `" onmouseover="alert(1)`, "]]>&<!-- \x00\x1b -->", `</title><b>`} {
		html := render(t, full(s))
		got := skeleton(html)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q changed the structure: %d tags of %d", s, len(got), len(want))
		}
		for _, bad := range []string{"<script", "<img src=x", "<svg", `href="javascript:`, `" onmouseover="`} {
			if strings.Contains(html, bad) {
				t.Errorf("%q: the page holds %s", s, bad)
			}
		}
	}
}

// The page needs no network: nothing in it is fetched.
func TestNothingIsFetched(t *testing.T) {
	html := render(t, full("tame"))
	for _, bad := range []string{"http://", "https://", "url(", "@import", "<link", "<script", "<iframe", "srcset"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %s", bad)
		}
	}
	if !strings.Contains(htmlpkg.UnescapeString(html), "data:image/svg+xml;base64,"+base64.StdEncoding.EncodeToString([]byte(svg))) {
		t.Error("the figure is not in the page")
	}
	for _, want := range []string{"prefers-color-scheme: dark", "@media print", "width=device-width", "default-src &#39;none&#39;", "Assumptions", "cannot show"} {
		if !strings.Contains(html, want) && !strings.Contains(html, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestPageSaysWhatMatters(t *testing.T) {
	html := render(t, page.Page{Record: recordtest.Evening(1), Others: []page.Run{{Name: "lossless", Record: recordtest.Lossless(1)}}})
	for _, want := range []string{"All 756 reservations were taken", "collapsed by timeouts", "INCONCLUSIVE", "1:100", "suikang-2020-01-31"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(html, "NaN") || strings.Contains(html, "ZgotmplZ") {
		t.Error("the page shows a number that is none, or a value the template refused")
	}
}

func TestAnyRecordMakesAPage(t *testing.T) {
	for seed := range uint64(30) {
		html := render(t, page.Page{Record: recordtest.Sparse(seed)})
		if strings.Contains(html, "NaN") || !strings.HasSuffix(html, "</html>\n") {
			t.Errorf("seed %d: the page is cut or shows NaN", seed)
		}
	}
	empty := record.New(record.Header{People: 1, TimeScale: 1, Margin: math.NaN()})
	render(t, page.Page{Record: empty})
	if err := page.Write(&bytes.Buffer{}, page.Page{}); err == nil {
		t.Error("a page without a record")
	}
}
