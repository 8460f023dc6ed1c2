package scenarios

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
)

// CannotShow is what a run of thinned people says nothing about, one line each.
func CannotShow() []string {
	return []string{
		"memory and connections at full size",
		"hot keys and rows that the whole city would touch at once",
		"code whose cost grows faster than the number of people",
		"latency below what one request takes on this machine",
	}
}

// tooClose is the margin in σ within which no verdict is given.
const tooClose = 2

// Explain writes what the law makes of the scenario and what it expects of the
// run: full and run values, peaks, sell-out, the margin and what is assumed.
func (sc *Scaled) Explain(w io.Writer) error {
	b := bufio.NewWriter(w)
	p, full := sc.Prediction, &sc.Full
	fmt.Fprintf(b, "%s: %s\n", full.Name, orElse(full.Title, full.Name))
	fmt.Fprintf(b, "mode %s, people %s, time %g x, window %s to %s of the opening, %v of run\n\n",
		full.Mode, scaleWord(sc.S), sc.K, signed(full.Window.From), signed(full.Window.To), round(sc.Length))

	rows, same := sc.lawRows()
	half, width := (len(rows)+1)/2, 0
	for _, r := range rows[:half] {
		width = max(width, len(r))
	}
	fmt.Fprintf(b, "similarity law: full size -> run; what is not listed stays as it is\n")
	for i := range half {
		if i+half < len(rows) {
			fmt.Fprintf(b, "  %-*s  %s\n", width, rows[i], rows[i+half])
		} else {
			fmt.Fprintf(b, "  %s\n", rows[i])
		}
	}

	if same > 0 {
		fmt.Fprintf(b, "  and %d times, which stay at 1 x\n", same)
	}

	fmt.Fprintf(b, "\nprediction for the run (expected values; * in scenario time)\n")
	fmt.Fprintf(b, "  visits          %.0f, peak %.4g/s at %s*\n", p.Visits, p.PeakVisits, signed(round(p.PeakAt)))
	fmt.Fprintf(b, "  requests        peak %.0f/s, of those %.0f/s at the gateways\n", p.PeakHTTP, p.PeakGateway)
	fmt.Fprintf(b, "  load            peak %.2f of capacity in the second from %s*\n", p.PeakLoad, signed(p.PeakLoadAt))
	switch {
	case full.Mode == booking.ModeLottery:
		fmt.Fprintf(b, "  stock           not taken: winners are drawn later\n")
	case p.SoldOutAt < 0:
		fmt.Fprintf(b, "  sold out        not within the window\n")
	case p.LastWritten < 0:
		fmt.Fprintf(b, "  sold out        at %s*, not all written within the window\n", signed(p.SoldOutAt))
	default:
		fmt.Fprintf(b, "  sold out        at %s*, last written at %s*\n", signed(p.SoldOutAt), signed(p.LastWritten))
	}
	fmt.Fprintf(b, "  queue           at most %.0f waiting\n", p.PeakDepth)
	fmt.Fprintf(b, "  margin          (1 - %.2f) / %.3f = %+.1f σ: %s\n", p.PeakLoad, p.Sigma, p.Margin, marginWords(p.Margin))
	if sc.Gateway.Native {
		fmt.Fprintf(b, "  bias            service times are the code's own\n")
	} else {
		fmt.Fprintf(b, "  bias            a submit's %v counts %g-fold, %.2g of the timeout (at most %g)\n", sc.submitTime(), sc.K, p.BiasK, MaxBias)
	}

	section(b, "rounded", sc.Rounded)
	var off []string
	for _, l := range full.Switched() {
		off = append(off, fmt.Sprintf("%-10s %s", l, Layers[l]))
	}
	section(b, "layers off, and what is done instead", off)
	var events []string
	for _, c := range full.Changes {
		events = append(events, fmt.Sprintf("%s: %s becomes %s", signed(c.At), c.Key, c.To))
	}
	for _, f := range full.Faults {
		line := fmt.Sprintf("%s: %s for %v", signed(f.At), fault.Name(f.Kind, f.Target), f.For)
		if row, err := fault.Find(f.Kind, f.Target); err == nil {
			if row.Unit != "" {
				amount, _ := row.Amount(f.Amount) // Validate has refused what fails
				if row.Unit == fault.Share {
					amount *= 100
				}
				line += fmt.Sprintf(", %g %s", amount, row.Unit)
			}
			line += ": " + row.Does
		}
		events = append(events, line)
	}
	section(b, "changes and faults", events)
	if sc.S < 1 {
		section(b, "what a thinned run cannot show", CannotShow())
	}
	if as := full.Assumptions(); len(as) > 0 {
		fmt.Fprintf(b, "\nassumptions (low, base, high)\n")
		for _, a := range as {
			fmt.Fprintf(b, "  %-28s %s | %s | %s: %s\n", a.Key, a.Low, a.Base, a.High, a.Why)
		}
	}
	return b.Flush()
}

func section(w io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, l := range lines {
		fmt.Fprintf(w, "  %s\n", l)
	}
}

// marginWords is the rule of the verdict in words.
func marginWords(m float64) string {
	switch {
	case math.Abs(m) < tooClose:
		return "too close to call, a verdict is refused"
	case m < 0:
		return "overloaded beyond doubt"
	}
	return "clear of the tipping line"
}

// lawRows lists every value that the law changes; same counts the times that
// stay what they are because the run is not quickened.
func (sc *Scaled) lawRows() (rows []string, same int) {
	run := map[string]string{}
	sc.each(func(p, unit string, v reflect.Value) {
		if v.CanFloat() || v.CanInt() {
			run[p] = value(v, unit)
		}
	})
	for _, l := range law {
		sc.Full.each(func(p, unit string, v reflect.Value) {
			switch {
			case p != l.path || v.IsZero() || strings.HasPrefix(p, "bots.") && sc.Full.Bots.Count == 0:
			case l.rule == byTime && sc.K == 1:
				same++
			default:
				from, _ := strings.CutSuffix(value(v, unit), " "+unit)
				rows = append(rows, fmt.Sprintf("%-20s %s -> %s", p, from, run[p]))
			}
		})
		if l.path == "gateway.capacity" {
			rows = append(rows, fmt.Sprintf("%-20s %.0f -> %.5g units/s", "  all gateways", sc.Full.Gateway.Capacity*sc.Full.Gateway.Instances, sc.PooledCapacity()))
		}
	}
	return rows, same
}

// value writes a leaf shortly: 1.7e+08 would be hard to read, 170 M is not.
func value(v reflect.Value, unit string) string {
	if v.CanInt() {
		return round(time.Duration(v.Int())).String()
	}
	switch f := v.Float(); {
	case f >= 1e6:
		return fmt.Sprintf("%.4g M", f/1e6)
	case f == math.Trunc(f):
		return fmt.Sprintf("%.0f %s", f, unit)
	default:
		return fmt.Sprintf("%.5g %s", f, unit)
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

// signed writes a moment with its sign, as the evening's clock has it.
func signed(d time.Duration) string {
	if d >= 0 {
		return "+" + d.String()
	}
	return d.String()
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
