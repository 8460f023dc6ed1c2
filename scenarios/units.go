package scenarios

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/internal/fault"
)

// timeMax bounds every time of a scenario: thirty days.
const timeMax = 30 * 24 * time.Hour

// countMax bounds every number of a scenario; far more than people on Earth.
const countMax = 1e12

// parseNumber reads a number and its unit. A share comes back as 0..1, a ratio
// "1:N" as 1/N. bare admits a number without unit where the unit is a word.
// written is the text with its unit, as a file would say it.
func parseNumber(text, unit string, bare bool) (v float64, written string, err error) {
	text = strings.TrimSpace(text)
	switch unit {
	case "ratio":
		return parseRatio(text)
	case "amount":
		return parseAmount(text)
	}
	num, rest := cutNumber(text)
	if num == "" {
		if notFinite(text) {
			return 0, "", fmt.Errorf("%.40q is not a finite number: want %s", text, wanted(unit))
		}
		return 0, "", fmt.Errorf("%.40q is not a number: want %s", text, wanted(unit))
	}
	v, perr := strconv.ParseFloat(strings.ReplaceAll(num, "_", ""), 64)
	switch {
	case perr != nil || math.IsInf(v, 0) || math.IsNaN(v):
		return 0, "", fmt.Errorf("%.40q is not a finite number: want %s", text, wanted(unit))
	case v < 0 || math.Signbit(v):
		return 0, "", fmt.Errorf("%.40q is negative: want %s", text, wanted(unit))
	case v > countMax:
		return 0, "", fmt.Errorf("%.40q is over %g", text, float64(countMax))
	}
	if unit == "rank" {
		if rest != "" || v != math.Trunc(v) || v < 1 || v > 100 {
			return 0, "", fmt.Errorf("%.40q: want a rank from 1 to 100", text)
		}
		return v, num, nil
	}
	switch {
	case rest == "" && bare && unit != "%":
		text = num + " " + unit
	case rest == "":
		return 0, "", fmt.Errorf("%.40q has no unit: write %q", text, num+" "+unit)
	case rest != unit:
		return 0, "", fmt.Errorf("%.40q has the unit %.20q: want %q", text, rest, num+" "+unit)
	}
	if unit == "%" {
		if v > 100 {
			return 0, "", fmt.Errorf("%.40q is over 100 %%", text)
		}
		v /= 100
	}
	return v, text, nil
}

// parseAmount reads the amount of a fault in any unit: a time, negative too, comes
// back in seconds, a share as 0..1.
func parseAmount(text string) (float64, string, error) {
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		if d > timeMax || d < -timeMax {
			return 0, "", fmt.Errorf("%.40q is longer than %v", text, timeMax)
		}
		return d.Seconds(), text, nil
	}
	_, unit := cutNumber(text)
	if unit == "" {
		return 0, "", fmt.Errorf("%.40q: want a number with its unit, such as \"300ms\", \"20 %%\" or \"5 messages\"", text)
	}
	return parseNumber(text, unit, false)
}

// amountUnit is the unit that an amount is written in, "s" for every time.
func amountUnit(text string) string {
	if _, err := time.ParseDuration(text); err == nil {
		return fault.Seconds
	}
	_, unit := cutNumber(text)
	return unit
}

// cutNumber parts the number at the start of a text from what follows.
func cutNumber(s string) (num, rest string) {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	digits := 0
	dot := false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
			continue
		case c == '.' && !dot:
			dot = true
			continue
		case c == '_' && digits > 0 && !dot && i+1 < len(s) && isDigit(s[i+1]):
			continue
		}
		break
	}
	if digits == 0 {
		return "", s
	}
	if j := i; j < len(s) && (s[j] == 'e' || s[j] == 'E') {
		j++
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		k := j
		for k < len(s) && isDigit(s[k]) {
			k++
		}
		if k > j {
			i = k
		}
	}
	return s[:i], strings.TrimSpace(s[i:])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func notFinite(s string) bool {
	s = strings.TrimLeft(strings.ToLower(s), "+-.")
	return strings.HasPrefix(s, "nan") || strings.HasPrefix(s, "inf")
}

func wanted(unit string) string {
	switch unit {
	case "%":
		return `a percentage such as "20 %"`
	case "rank":
		return "a rank such as 1"
	}
	return strconv.Quote("10 " + unit)
}

// parseRatio reads "1:100" as 0.01.
func parseRatio(text string) (float64, string, error) {
	bad := func(why string) (float64, string, error) {
		return 0, "", fmt.Errorf("%.40q %s: want a ratio such as \"1:100\"", text, why)
	}
	a, b, ok := strings.Cut(text, ":")
	if !ok {
		return bad("is not a ratio")
	}
	x, _, err := parseNumber(strings.TrimSpace(a)+" x", "x", false)
	if err != nil {
		return bad("is not a ratio of two numbers")
	}
	y, _, err := parseNumber(strings.TrimSpace(b)+" x", "x", false)
	switch {
	case err != nil:
		return bad("is not a ratio of two numbers")
	case x <= 0 || y <= 0:
		return bad("has a zero in it")
	case x > y:
		return bad("is over 1:1")
	}
	return x / y, text, nil
}

// parseTime reads a Go duration; moment admits a negative one.
func parseTime(text string, moment bool) (time.Duration, error) {
	text = strings.TrimSpace(text)
	d, err := time.ParseDuration(text)
	if err != nil || text == "0" || text == "+0" || text == "-0" {
		if num, rest := cutNumber(text); num != "" && rest == "" {
			return 0, fmt.Errorf("%.40q has no unit: write a time such as %q", text, num+"s")
		}
		if notFinite(text) {
			return 0, fmt.Errorf("%.40q is not a finite time: want one such as \"5s\" or \"800ms\"", text)
		}
		return 0, fmt.Errorf("%.40q is not a time: want one such as \"5s\" or \"800ms\"", text)
	}
	if d < 0 && !moment {
		return 0, fmt.Errorf("%.40q is negative: want a time such as \"5s\"", text)
	}
	if d > timeMax || d < -timeMax {
		return 0, fmt.Errorf("%.40q is longer than %v", text, timeMax)
	}
	return d, nil
}

// nearest is the candidate that the word was probably meant to be, "" if none is
// near: an edit distance of at most a third of its length, and at least 1.
func nearest(word string, candidates []string) string {
	best, bestAt := "", 1+max(1, min(len(word), 60)/3)
	if len(word) > 100 {
		return ""
	}
	for _, c := range candidates {
		if d := distance(word, c); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance counts insertions, deletions, changes and swaps of neighbours (optimal
// string alignment), by bytes.
func distance(a, b string) int {
	var before, last, row []int
	for j := 0; j <= len(b); j++ {
		last = append(last, j)
	}
	for i := 1; i <= len(a); i++ {
		row = append(make([]int, 0, len(b)+1), i)
		for j := 1; j <= len(b); j++ {
			d := last[j-1]
			if a[i-1] != b[j-1] {
				d++
			}
			d = min(d, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(b)]
}

// DidYouMean is the end of an error about a word: ": did you mean …?" when a candidate
// is near, else nothing.
func DidYouMean(word string, candidates []string) string {
	if slices.Contains(candidates, word) {
		return ""
	}
	return didYouMean(word, candidates)
}

func didYouMean(word string, candidates []string) string {
	if n := nearest(word, candidates); n != "" {
		return fmt.Sprintf(": did you mean %q?", n)
	}
	return ""
}
