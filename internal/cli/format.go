package cli

import (
	"fmt"
	"time"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/scenarios/attack"
)

// signed writes a moment of scenario time, as in "+12s".
func signed(d time.Duration) string {
	if d.Abs() < 10*time.Minute {
		return fmt.Sprintf("%+.0fs", d.Seconds())
	}
	sign := "+"
	if d < 0 {
		sign = "-"
	}
	return sign + d.Abs().Truncate(time.Second).String()
}

// short writes a small duration in three figures.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.3gms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.3gs", d.Seconds())
}

// refusals writes the refusals by cause, the commonest two and the rest.
func refusals(list []attack.Refusal) string {
	if len(list) == 0 {
		return "0"
	}
	text, rest := "", 0
	for i, r := range list {
		if i < 2 {
			text += fmt.Sprintf("%d %v ", r.Count, r.Outcome)
		} else {
			rest += r.Count
		}
	}
	if rest > 0 {
		text += fmt.Sprintf("%d other ", rest)
	}
	return text[:len(text)-1]
}

func depth(d float64) string {
	if d < 0 {
		return "n/a"
	}
	return fmt.Sprintf("%.0f", d)
}

// oneLine is what a finished run came to.
func oneLine(rec *record.Record) string {
	s := reports.Summarize(rec)
	return fmt.Sprintf("done: %s requests of %s due, %s confirmed of %s, sold out %s, lateness p99 %s",
		count(s.Achieved), count(s.Planned), count(s.Confirmed.N), s.Stock.Text(reports.Count),
		s.SoldOut.Text(reports.Seconds), s.Lateness.P99.Text(reports.Seconds))
}
