package gate

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"spillway/internal/record"
	"spillway/reports"
)

// Lines is the objectives to show beside the invariants: all but those that ask
// for an invariant to hold which was checked, and so has a line of its own.
func (v Verdict) Lines() []Line {
	return slices.DeleteFunc(slices.Clone(v.Objectives), func(l Line) bool {
		o, err := record.ParseObjective(l.Objective)
		return err == nil && o.Kind == record.KindInvariant && o.Op == "==" && o.Value == 0 &&
			slices.ContainsFunc(v.Invariants, func(i Invariant) bool { return i.Name == o.Stat })
	})
}

// Table is the objectives and invariants as a table.
func (v Verdict) Table() reports.Table {
	t := reports.Table{Columns: []string{"objective", "measured", "samples", "status"}}
	for _, l := range v.Lines() {
		n := ""
		if l.Samples > 0 {
			n = reports.Count.Format(float64(l.Samples))
		}
		t.Rows = append(t.Rows, []string{l.Objective, l.Shown, n, string(l.Status)})
		if l.Why != "" {
			t.Notes = append(t.Notes, l.Objective+": "+l.Why)
		}
	}
	for _, i := range v.Invariants {
		t.Rows = append(t.Rows, []string{"invariant " + i.Name, reports.Count.Format(float64(i.Broken)) + " broken", "", string(i.Status)})
		if i.Status == Broken {
			t.Notes = append(t.Notes, "invariant "+i.Name+": "+i.Detail)
		}
	}
	return t
}

// Text is the verdict for a terminal.
func (v Verdict) Text() string {
	t := v.Table()
	t.Notes = append(t.Notes, "", "verdict: "+strings.ToUpper(string(v.Result))+". "+v.Reason)
	return t.Text()
}

// Markdown is the verdict for a pull request or a job summary.
func (v Verdict) Markdown() string {
	t := v.Table()
	return fmt.Sprintf("**%s.** %s\n\n%s", reports.Escape(title(string(v.Result))), reports.Escape(v.Reason), t.Markdown())
}

func title(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }

// JSON is the verdict for a program, indented, with a newline at the end.
func (v Verdict) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

type suitesXML struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Suite    suiteXML `xml:"testsuite"`
}

type suiteXML struct {
	Name     string    `xml:"name,attr"`
	Tests    int       `xml:"tests,attr"`
	Failures int       `xml:"failures,attr"`
	Errors   int       `xml:"errors,attr"`
	Skipped  int       `xml:"skipped,attr"`
	Cases    []caseXML `xml:"testcase"`
}

type caseXML struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Failure *textXML `xml:"failure,omitempty"`
	Error   *textXML `xml:"error,omitempty"`
	Skipped *textXML `xml:"skipped,omitempty"`
}

type textXML struct {
	Message string `xml:"message,attr"`
}

// JUnit is the verdict as JUnit XML: a case per objective and invariant and one
// for the run's validity. A miss or breach is a failure, an invalid run an
// error, what cannot be told is skipped with the reason. In a baseline all that
// would fail is skipped.
func (v Verdict) JUnit() ([]byte, error) {
	s := suiteXML{Name: "spillway " + v.Scenario + " seed " + strconv.FormatUint(v.Seed, 10)}
	add := func(class, name string, st Status, message string) {
		c := caseXML{Class: class, Name: name}
		switch {
		case st == Held:
		case v.Baseline || st == CannotTell || st == TooClose:
			c.Skipped = &textXML{string(st) + ": " + message}
			s.Skipped++
		default:
			c.Failure = &textXML{message}
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	for _, l := range v.Objectives {
		m := "measured " + l.Shown
		if l.Why != "" {
			m = l.Why
		}
		add("objective", l.Objective, l.Status, m)
	}
	for _, i := range v.Invariants {
		add("invariant", i.Name, i.Status, fmt.Sprintf("broken %d times: %s", i.Broken, i.Detail))
	}
	valid := caseXML{Class: "run", Name: "generator kept up"}
	if len(v.Invalid) > 0 {
		if t := (&textXML{strings.Join(v.Invalid, "; ")}); v.Baseline {
			valid.Skipped = t
			s.Skipped++
		} else {
			valid.Error = t
			s.Errors++
		}
	}
	s.Cases = append(s.Cases, valid)
	s.Tests = len(s.Cases)
	b, err := xml.MarshalIndent(suitesXML{Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Skipped: s.Skipped, Suite: s}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}
