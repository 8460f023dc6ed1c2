package fairness

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"spillway/reports"
)

// Text renders the report for a terminal.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s. %s\n", plain(r.Name), strings.ToUpper(r.Verdict), plain(r.Why))
	pools := "1 pool"
	if r.Pools != 1 {
		pools = count(float64(r.Pools)) + " pools"
	}
	fmt.Fprintf(&b, "%s entries, %s winners, %s; %d tests, together wrong about a fair draw with %s at most (Holm).\n",
		count(float64(r.Entries)), count(float64(r.Winners)), pools, len(r.Tests), percent(r.FamilyError))

	b.WriteString("\nprocess\n")
	for _, c := range r.Process {
		fmt.Fprintf(&b, "%-19s  %-10s  %s\n", c.Name, c.Word, plain(c.Why))
	}

	rows := [][]string{{"test", "statistic", "p", "Holm", "method", ""}}
	for _, t := range r.Tests {
		if t.Kind == KindLevel && !t.Rejected {
			continue
		}
		rows = append(rows, []string{t.Name(), t.statistic(), pText(t.P), pText(t.Holm), t.Method, map[bool]string{true: "REJECTS"}[t.Rejected]})
	}
	b.WriteString("\n" + table(rows))
	b.WriteString("Levels that do not reject are in the tables below.\n")

	for _, l := range r.Dimensions {
		rows = [][]string{{l.Name, "entries", "winners", "expected", "rate", "fair rate", percent(r.Confidence) + " interval", "p", "Holm", "method", "noticed from"}}
		for _, s := range l.Strata {
			row := []string{s.Level, count(float64(s.Entries)), count(float64(s.Winners)), decimal(s.Expected), rate(s.Rate), rate(s.Fair),
				rate(s.RateLo) + " … " + rate(s.RateHi), pText(s.P), pText(s.Holm), s.Method, "n/a"}
			if s.Noticed != nil {
				row[10] = advantage(*s.Noticed)
			}
			if !s.Luck {
				row = append(row[:6], "no luck", "", "", "", "")
			}
			rows = append(rows, row)
		}
		b.WriteString("\n" + table(rows))
	}

	rows = [][]string{{"favour noticed with " + percent(r.Power), "from", "level", "everywhere from", "level"}}
	for _, l := range r.Dimensions {
		if least, most, ok := l.Noticed(); ok {
			rows = append(rows, []string{l.Name, advantage(*least.Noticed), least.Level, advantage(*most.Noticed), most.Level})
		} else {
			rows = append(rows, []string{l.Name, "n/a", "", "n/a", ""})
		}
	}
	if rho, d, ok := r.RanksNoticed(); ok {
		rows = append(rows, []string{KindSpearman, fmt.Sprintf("|ρ| %.2g", rho)}, []string{KindKS, fmt.Sprintf("D %.2g", d)})
	}
	b.WriteString("\n" + table(rows))
	b.WriteString("A smaller favour may pass unseen, and so may one for people whom no dimension sets apart.\n")
	for _, n := range r.Notes {
		b.WriteString(plain(n) + "\n")
	}
	return b.String()
}

// RanksCritical are the rank correlation and the distance from uniform beyond which the
// report rejects, were it the only test to do so. ok is false without rank tests.
func (r *Report) RanksCritical() (rho, d float64, ok bool) {
	if r.Ranks == nil || r.Ranks.Count < 2 || len(r.Tests) == 0 {
		return 0, 0, false
	}
	level, root := r.FamilyError/float64(len(r.Tests)), math.Sqrt(float64(r.Ranks.Count))
	return min(1, quantile(1-level/2)/root), min(1, math.Sqrt(math.Log(2/level)/2)/root), true
}

// RanksNoticed are those that the report notices with its power: so many standard
// deviations beyond, that of a share being 1/(2√n) at most.
func (r *Report) RanksNoticed() (rho, d float64, ok bool) {
	rho, d, ok = r.RanksCritical()
	if !ok {
		return 0, 0, false
	}
	more := quantile(r.Power) / math.Sqrt(float64(r.Ranks.Count))
	return min(1, rho+more), min(1, d+more/2), true
}

func (t Test) statistic() string {
	s := fmt.Sprintf("%s %.2f", t.Symbol, t.Statistic)
	if t.Kind == KindSpearman || t.Kind == KindKS {
		s = fmt.Sprintf("%s %.2g", t.Symbol, t.Statistic)
	}
	if t.DF > 0 {
		s += fmt.Sprintf(", %d d.f.", t.DF)
	}
	return s
}

// table aligns rows, the first of which is the head.
func table(rows [][]string) string {
	return reports.Table{Columns: rows[0], Rows: rows[1:]}.Text()
}

// plain takes out what would break a line or steer a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

func pText(p float64) string {
	switch {
	case p <= leastP:
		return "< 1e-30"
	case p < 0.001:
		return strconv.FormatFloat(p, 'e', 1, 64)
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}

// count writes a whole number, thousands apart.
func count(v float64) string { return reports.Count.Format(v) }

func decimal(v float64) string {
	if v >= 1000 {
		return count(v)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 4, 64) + " %" }

func rate(share float64) string { return strconv.FormatFloat(100*share, 'f', 2, 64) + " %" }

func advantage(v float64) string {
	return fmt.Sprintf("+%.*f %%", map[bool]int{true: 0, false: 1}[v >= 0.1], 100*v)
}
