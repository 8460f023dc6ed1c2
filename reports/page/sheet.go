package page

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"spillway/reports"
)

// Fact is one line of how a page came about.
type Fact struct{ Name, What string }

// Sheet is a page in the same look about something that left no run record, such as
// a bare service station. Everything in it is text that is shown as it stands.
type Sheet struct {
	Kicker, Title string
	Word, Reason  string // the verdict; "" = none
	Class         string // of the verdict: held, missed or inconclusive
	Warnings      []string
	Answer        []string // paragraphs
	Tiles         []Tile
	Note          string // below the tiles
	Tables        []reports.Table
	Figures       []Figure
	Details       []reports.Table // after the figures
	Limits        []string        // what it cannot tell, after the details
	Commands      []string
	Facts         []Fact
	Files         []File
	Text          string // the scenario
}

//go:embed sheet.html
var sheetSource string

var sheetTmpl = template.Must(template.Must(tmpl.Clone()).New("sheet.html").Parse(sheetSource))

// WriteSheet writes the page.
func WriteSheet(w io.Writer, s Sheet) error {
	v := struct {
		Sheet
		Sections []section
	}{s, sections(s.Figures)}
	if err := sheetTmpl.ExecuteTemplate(w, "sheet", v); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}
