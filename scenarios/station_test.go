package scenarios

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestShippedStations(t *testing.T) {
	names := StationNames()
	for _, want := range []string{"station-mm16", "station-erlang-b", "station-erlang-a", "station-md1", "station-mg1-lognormal", "station-retrial", "station-empirical"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not shipped", want)
		}
	}
	for _, name := range names {
		if slices.Contains(Names(), name) {
			t.Errorf("%s is an evening, too", name)
		}
		s, err := LoadStation(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != name || s.Title == "" || s.About == "" {
			t.Errorf("%s: name %q, title %q, about %q", name, s.Name, s.Title, s.About)
		}
		if !IsStation(name) {
			t.Errorf("%s is no station", name)
		}
		if _, err := Load(name); !errors.Is(err, ErrStation) {
			t.Errorf("%s as an evening: %v", name, err)
		}
		readsBack(t, s)
	}
	for _, name := range Names() {
		if IsStation(name) {
			t.Errorf("%s is a station", name)
		}
	}
	if _, err := LoadStation("smoke"); !errors.Is(err, ErrEvening) {
		t.Errorf("smoke as a station: %v", err)
	}
}

func readsBack(t *testing.T, s *Station) {
	t.Helper()
	again, err := ParseStation([]byte(s.Text), "merged")
	if err != nil {
		t.Fatalf("the merged text does not read back: %v\n%s", err, s.Text)
	}
	a, b := *s, *again
	a.at, b.at = nil, nil
	if !reflect.DeepEqual(a, b) || a.Digest() != b.Digest() {
		t.Errorf("the merged text reads back as another:\n%s\n---\n%s", s.Text, again.Text)
	}
}

// plain is a station with all that it needs; more lines go below "station:".
func plain(more string) string {
	text := `name: mine
station:
  servers: 3 servers
  arrivals: {rate: 100 customers/s, process: poisson}
  service: {law: exponential, mean: 10ms}
`
	for _, line := range strings.Split(more, "\n") {
		if key, _, ok := strings.Cut(line, ":"); ok && strings.Contains(text, "  "+key+":") { // replaces one of them
			var out []string
			for _, l := range strings.Split(text, "\n") {
				if !strings.HasPrefix(l, "  "+key+":") {
					out = append(out, l)
				}
			}
			text = strings.Join(out, "\n")
		}
		text += "  " + line + "\n"
	}
	return text
}

func TestStationValues(t *testing.T) {
	s, err := ParseStation([]byte(plain(`places: 9 places
patience: {law: log-normal, mean: 50ms, cv: 2 x}
retry: {probability: 80 %, delay: {law: empirical, values: [1s, 1500ms]}, attempts: 4 attempts}
order: lifo
classes: [25 %, 75 %]
measure: {method: batch-means, blocks: 30 blocks, customers: 1_000 customers, warm_up: 500 customers, confidence: 99 %}`)), "mine.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := StationSpec{Servers: 3, Places: 9, Arrivals: ComingSpec{100, Poisson}, Service: LawSpec{Law: LawExponential, Mean: 10 * time.Millisecond},
		Patience: LawSpec{Law: LawLogNormal, Mean: 50 * time.Millisecond, CV: 2},
		Retry:    RetrySpec{0.8, LawSpec{Law: LawEmpirical, Values: []time.Duration{time.Second, 1500 * time.Millisecond}}, 4},
		Order:    OrderLIFO, Classes: []float64{0.25, 0.75}, Measure: MeasureSpec{MethodBatchMeans, 30, 1000, 500, 0.99}}
	if !reflect.DeepEqual(s.Station, want) {
		t.Errorf("read as %+v", s.Station)
	}
	readsBack(t, s)

	for text, warm := range map[string]WarmUp{"auto": WarmUpChosen, "0 customers": WarmUpNone, "7 customers": 7} {
		s, err := ParseStation([]byte(plain("measure: {warm_up: "+text+"}")), "mine.yaml")
		if err != nil || s.Station.Measure.WarmUp != warm {
			t.Errorf("warm_up %s: %v, %v", text, s, err)
		}
	}
}

// Every mistake is one line that says where it stands.
func TestStationRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mine.yaml")
	many := strings.Repeat("1ms\n", valuesMax+1)
	for name, text := range map[string]string{"empty.txt": "# nothing\n", "words.txt": "1ms\nsoon\n", "many.txt": many} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ more, at, says string }{
		{"servers: 3", ":5:12", `has no unit: write "3 servers"`},
		{"servers: 0 servers", ":5:12", "must be above 0"},
		{"servers: 2.5 servers", ":5:12", "not a whole number"},
		{"servers: 2_000_000 servers", ":5:12", "over 1048576"},
		{"severs: 3 servers", ":6:3", `unknown key "station.severs": did you mean "servers"?`},
		{"places: 2 places", ":6:11", "2 places for 3 servers"},
		{"arrivals: {rate: 100 /s, process: poisson}", ":5:20", `want "100 customers/s"`},
		{"arrivals: {rate: 100 customers/s}", ":5:", "station.arrivals.process: is missing"},
		{"arrivals: {rate: 100 customers/s, process: poison}", ":5:46", `did you mean "poisson"?`},
		{"service: {law: exponential}", ":5:", "station.service.mean: is missing"},
		{"service: {mean: 10ms}", ":5:", "station.service.law: is missing"},
		{"service: {law: gamma, mean: 10ms}", ":5:18", "want one of exponential, log-normal, deterministic, empirical"},
		{"service: {law: exponential, mean: 10}", ":5:37", "has no unit"},
		{"service: {law: exponential, mean: 10ms, cv: 2 x}", ":5:47", "has no cv"},
		{"service: {law: log-normal, mean: 10ms}", ":5:", "station.service.cv: is missing"},
		{"service: {law: log-normal, mean: 10ms, cv: 101 x}", ":5:46", "over 100 x"},
		{"service: {law: deterministic, mean: 1ms, values: [1ms]}", ":5:", "has no values"},
		{"service: {law: empirical}", ":5:", "values: is missing"},
		{"service: {law: empirical, values: [0s, 0s]}", ":5:", "are all 0"},
		{"service: {law: empirical, values: [1ms, fast]}", ":5:43", "is not a time"},
		{"service: {law: empirical, values: [1ms, {value: 2ms}]}", ":5:", "plain values"},
		{"service: {law: empirical, values: 1ms}", ":5:37", "want a list"},
		{"service: {law: empirical, file: none.txt}", ":5:29", "no such file"},
		{"service: {law: empirical, file: empty.txt}", ":5:29", "has no times"},
		{"service: {law: empirical, file: many.txt}", ":5:29", "at most 5000"},
		{"service: {law: empirical, file: words.txt}", "words.txt:2:1", "is not a time"},
		{"service: {law: empirical, file: .}", ":5:29", "not a file"},
		{"service: {law: empirical, file: words.txt, values: [1ms]}", ":5:29", "the values are there too"},
		{"patience: {mean: 1s}", ":6:", "station.patience.law: is missing"},
		{"patience: {law: none, mean: 1s}", ":6:", "neither mean nor cv"},
		{"retry: {probability: 80 %}", ":6:", "station.retry.delay.law: is missing"},
		{"retry: {delay: {law: exponential, mean: 1s}}", ":6:", "station.retry.probability: is missing"},
		{"retry: {probability: 120 %, delay: {law: exponential, mean: 1s}}", ":6:24", "over 100 %"},
		{"order: random", ":6:10", "want one of fifo, lifo"},
		{"classes: [100 %]", ":6:", "1 classes"},
		{"classes: [10 %, 80 %]", ":6:", "add up to 90 %"},
		{"classes: [0 %, 100 %]", ":6:13", "above 0 %"},
		{"measure: {blocks: 1 blocks}", ":6:21", "an interval needs two"},
		{"measure: {blocks: 5000 blocks}", ":6:21", "give 2 to 1000"},
		{"measure: {customers: 0 customers}", ":6:24", "give 1 to"},
		{"measure: {warm_up: -3 customers}", ":6:22", "is negative"},
		{"measure: {warm_up: some}", ":6:22", "or auto"},
		{"measure: {confidence: 100 %}", ":6:25", "below 100 %"},
		{"measure: {method: guess}", ":6:21", "want one of replications, batch-means"},
		{"measure: 5", ":6:12", "want a mapping"},
	} {
		_, err := ParseStation([]byte(plain(c.more)), file)
		switch {
		case err == nil:
			t.Errorf("%s: was taken", c.more)
		case !strings.Contains(err.Error(), c.at) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s:\n\t%v\nwant %s and %q", c.more, err, c.at, c.says)
		}
	}
}

func TestStationFileOfValues(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "times.txt"), []byte("# measured\n4ms\n\n16ms # slow\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "base.yaml")
	if err := os.WriteFile(base, []byte(plain("service: {law: empirical, file: times.txt}")), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := LoadStation(base)
	if err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{4 * time.Millisecond, 16 * time.Millisecond}; !slices.Equal(s.Station.Service.Values, want) {
		t.Errorf("read %v", s.Station.Service.Values)
	}
	readsBack(t, s) // from anywhere: the values are in the text
	// Another law in the place of one drops the values, not only overlays them.
	s, err = ParseStation([]byte("extends: ./base.yaml\nname: other\nstation:\n  service: {law: deterministic, mean: 10ms}\n"), filepath.Join(dir, "other.yaml"))
	if err != nil || s.Station.Service.Values != nil || s.Station.Servers != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestStationSet(t *testing.T) {
	s, err := LoadStation("station-mg1-lognormal")
	if err != nil {
		t.Fatal(err)
	}
	before := s.Text
	for _, bad := range [][2]string{{"station.server", "3"}, {"servers", "3"}, {"station.servers", "none"}, {"station.service.mean", "10"},
		{"station.service.law", "empirical"}, {"station.places", "0.5"}, {"queue.depth", "5"}, {"title", "x"}, {"station.classes", "[50 %, 50 %]"}} {
		if err := s.SetAll(setting(bad[0], bad[1])); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%s: %v", bad[0], bad[1], err)
		}
	}
	if s.Text != before {
		t.Error("a refused setting left a trace")
	}
	if err := s.SetAll(setting("station.service.law", "deterministic"), setting("station.servers", "2")); err != nil {
		t.Fatal(err)
	}
	if l := s.Station.Service; l.CV != 0 || l.Mean != 10*time.Millisecond || s.Station.Servers != 2 {
		t.Errorf("%+v", s.Station)
	}
	readsBack(t, s)
	if err := s.SetAll(setting("station.service.law", "log-normal"), setting("station.service.cv", "3 x"), setting("station.measure.warm_up", "auto")); err != nil {
		t.Fatal(err)
	}
	readsBack(t, s)
	if err := s.SetAll(setting("servers", "3")); err == nil || !strings.Contains(err.Error(), `did you mean "station.servers"?`) {
		t.Error(err)
	}
}

// Run it with -fuzzminimizetime=1x, as FuzzParse.
func FuzzParseStation(f *testing.F) {
	for _, name := range StationNames() {
		s, err := LoadStation(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(s.Text))
	}
	f.Add([]byte(plain("classes: [50 %, 50 %]\nretry: {probability: 1 %, delay: {law: log-normal, mean: 1s, cv: 1 x}}")))
	f.Add([]byte(plain("service: {law: empirical, file: x.txt}")))
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), ".y") || strings.Contains(string(text), "file") { // no other files in a fuzz run
			return
		}
		s, err := ParseStation(text, "fuzz")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than one line: %q", err)
			}
			return
		}
		again, err := ParseStation([]byte(s.Text), "merged")
		if err != nil {
			t.Fatalf("the merged text does not read back: %v\n%s", err, s.Text)
		}
		if again.Text != s.Text {
			t.Fatalf("reads back as another:\n%s\n---\n%s", s.Text, again.Text)
		}
	})
}
