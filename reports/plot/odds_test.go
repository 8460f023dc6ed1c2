package plot

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
	"spillway/reports"
)

// flatDay is a run of a day with one request every second, ten in the first.
func flatDay() *record.Record {
	r := record.New(record.Header{TimeScale: 1, People: 1, To: 24 * time.Hour})
	c := make([]uint64, 24*3600)
	for i := range c {
		c[i] = 1
	}
	c[0] = 10
	r.Counters[record.CountRequests] = c
	return r
}

// A run is folded into the minutes of a day where they lie.
func TestPerMinute(t *testing.T) {
	mean, busiest := perMinute(LoadSide{Record: flatDay(), Opens: 22 * time.Hour})
	if at := 22 * 60; busiest[at] != 10 || math.Abs(mean[at]-69.0/60) > 1e-9 || busiest[at-1] != 1 || mean[0] != 1 {
		t.Errorf("at the opening %g, at most %g; before it %g; at midnight %g", mean[at], busiest[at], busiest[at-1], mean[0])
	}
	short := record.New(record.Header{TimeScale: 2, From: -time.Minute, To: time.Minute})
	short.Counters[record.CountRequests] = []uint64{4, 4}
	mean, busiest = perMinute(LoadSide{Record: short, Opens: 0})
	if mean[dayMinutes-1] != 8.0/30 || mean[0] != 0 || !math.IsNaN(mean[1]) || !math.IsNaN(busiest[1]) {
		t.Errorf("before midnight %g, after %g, then %g and %g", mean[dayMinutes-1], mean[0], mean[1], busiest[1])
	}
}

func odds(won ...uint64) reports.Odds {
	o := reports.Odds{All: reports.NewChance("all", 1000, 50_000)}
	for i := range 10 {
		o.Tenths = append(o.Tenths, reports.NewChance("", won[i%len(won)], 5000))
	}
	o.Groups = []reports.Chance{reports.NewChance("people", 900, 49_950), reports.NewChance(record.GroupBots, 50, 50)}
	return o
}

func TestVersusFigures(t *testing.T) {
	coarse(t)
	rush, lots := odds(700, 300, 0, 0, 0, 0, 0, 0, 0, 0), odds(100)
	for range 10 {
		rush.Pressed = append(rush.Pressed, reports.NewChance("", 7, 70))
	}
	for name, c := range map[string]struct {
		draw func() (Figure, error)
		want []string
	}{
		"loads": {func() (Figure, error) {
			return Loads("sub", [2]LoadSide{{Name: "the rush", Record: recordtest.Evening(1), Opens: 20 * time.Hour},
				{Name: "the lottery", Record: flatDay(), Opens: 22 * time.Hour, Hours: make([]float64, 24)}})
		}, []string{"the rush", "the lottery", "time of day", "requests/s", "opening", "20:00"}},
		"winners": {func() (Figure, error) {
			return Winners("winners", "sub", [2]OddsSide{{"the rush", rush}, {"the lottery", lots}})
		},
			[]string{"the rush", "the lottery", "everybody alike, 2 %", "fastest tenth to press", "nobody (of 5,000)", "100 %", "bots, or their owners", "chance to win (%)"}},
		"servers": {func() (Figure, error) {
			return ServersNeeded("sub", 16, [2]ServerSide{{"the rush", 14, 11.6, "in 5 of 5"}, {"the lottery", 1, 0.05, ""}})
		}, []string{"14 hold, in 5 of 5", "1 holds", "as they stood, 16", "servers"}},
	} {
		f, err := c.draw()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		texts := parse(t, f)
		for _, want := range c.want {
			if !slices.Contains(texts, want) {
				t.Errorf("%s does not say %q: %q", name, want, texts)
			}
		}
		if again, err := c.draw(); err != nil || string(again.SVG) != string(f.SVG) {
			t.Errorf("%s: drawn twice it differs (%v)", name, err)
		}
	}
}

func TestVersusFiguresWithoutData(t *testing.T) {
	coarse(t)
	empty := LoadSide{Record: record.New(record.Header{})}
	for name, draw := range map[string]func() (Figure, error){
		"no runs":    func() (Figure, error) { return Loads("", [2]LoadSide{}) },
		"no request": func() (Figure, error) { return Loads("", [2]LoadSide{empty, empty}) },
		"no odds":    func() (Figure, error) { return Winners("w", "", [2]OddsSide{}) },
		"no servers": func() (Figure, error) { return ServersNeeded("", 0, [2]ServerSide{}) },
		"no work":    func() (Figure, error) { return ServersNeeded("", 1, [2]ServerSide{{Work: math.NaN()}}) },
	} {
		if _, err := draw(); !errors.Is(err, ErrNoData) {
			t.Errorf("%s: %v", name, err)
		}
	}
	rush := odds(0)
	rush.Groups[0].Name = hostile
	f, err := Winners("w", hostile, [2]OddsSide{{hostile, rush}, {hostile, rush}})
	if err != nil {
		t.Fatal(err)
	}
	parse(t, f)
	if strings.Contains(string(f.SVG), "<script") {
		t.Error("a name breaks out of the drawing")
	}
}
