package scenarios

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"spillway/internal/record"
)

func setting(key, value string) record.Setting { return record.Setting{Key: key, Value: value} }

func TestShippedScenarios(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			s := load(t, name)
			if s.Name != name {
				t.Errorf("is named %q in its file", s.Name)
			}
			if s.Title == "" || s.About == "" {
				t.Error("has no title or no about")
			}
			if _, err := Scale(s, 0, 0); err != nil {
				t.Error(err)
			}
			again, err := Parse([]byte(s.Text), "merged")
			if err != nil {
				t.Fatalf("the merged text does not read back: %v\n%s", err, s.Text)
			}
			s.at, again.at = nil, nil
			if !reflect.DeepEqual(s, again) {
				t.Errorf("the merged text reads back as another:\n%s\n---\n%s", s.Text, again.Text)
			}
		})
	}
}

// Every claim about the evening says where it comes from; what does not is a
// choice about the run.
func TestMainScenarioIsNoted(t *testing.T) {
	s := load(t, "suikang-2020-01-31")
	chosen := []string{"name", "title", "about", "mode", "baseline", "gateway.native",
		"scale.people", "scale.time", "window.from", "window.to", "window.peak", "window.recovery"}
	s.each(func(p, _ string, _ reflect.Value) {
		n, said := s.Notes[p]
		switch {
		case slices.Contains(chosen, p):
		case !said && p == "bots.count":
		case !said:
			t.Errorf("%s is not given", p)
		case n.Source == "" && n.Why == "":
			t.Errorf("%s: %s is neither sourced nor assumed", p, n.Value)
		}
	})
	for _, p := range []string{"population.classes.0.share", "population.classes.3.priority"} {
		if s.Notes[p].Why == "" {
			t.Errorf("%s has no reason", p)
		}
	}
}

// minimal is a file that extends the main scenario; lines start at 3.
func minimal(lines string) string {
	return "extends: suikang-2020-01-31\nname: mine\n" + lines
}

func TestBadInput(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", `f.yaml:1:1: empty`},
		{"- a\n", `f.yaml:1:1: a scenario is a mapping`},
		{"a: [\n", `f.yaml:1:4: `},
		{minimal("queue:\n  dept: 5 entries\n"), `f.yaml:4:3: unknown key "queue.dept": did you mean "depth"?`},
		{minimal("queu: {depth: 5 entries}\n"), `f.yaml:3:1: unknown key "queu": did you mean "queue"?`},
		{minimal("queue: {depth: 5000}\n"), `f.yaml:3:16: queue.depth: "5000" has no unit: write "5000 entries"`},
		{minimal("queue: {depth: 5 rows}\n"), `f.yaml:3:16: queue.depth: "5 rows" has the unit "rows": want "5 entries"`},
		{minimal("queue: {depth: deep}\n"), `f.yaml:3:16: queue.depth: "deep" is not a number: want "10 entries"`},
		{minimal("queue: {depth: -5 entries}\n"), `f.yaml:3:16: queue.depth: "-5 entries" is negative`},
		{minimal("queue: {depth: .nan entries}\n"), `queue.depth: ".nan entries" is not a finite number`},
		{minimal("queue: {depth: NaN}\n"), `is not a finite number`},
		{minimal("queue: {depth: 1e999 entries}\n"), `"1e999 entries" is not a finite number`},
		{minimal("queue: {depth: .inf}\n"), `is not a finite number`},
		{minimal("queue: {depth: 2.5 entries}\n"), `f.yaml:3:16: queue.depth: 2.5 is not a whole number of entries`},
		{minimal("queue: {depth: [1]}\n"), `f.yaml:3:16: queue.depth: want one value, not a list`},
		{minimal("queue: 5 entries\n"), `f.yaml:3:8: queue: want a mapping`},
		{minimal("queue:\n"), `no value: give one or remove the key`},
		{minimal("queue: {depth: 5 entries, depth: 6 entries}\n"), `f.yaml:3:27: key "depth" is there twice`},
		{minimal("admission: {probability: 120 %}\n"), `f.yaml:3:26: admission.probability: "120 %" is over 100 %`},
		{minimal("admission: {probability: 0.2}\n"), `f.yaml:3:26: admission.probability: "0.2" has no unit: write "0.2 %"`},
		{minimal("admission: {probability: 12.5 %}\n"), `f.yaml:3:26: admission.probability: 12.5 %: the original gate takes whole per cents only`},
		{minimal("admission: {gate: orignal}\n"), `f.yaml:3:19: admission.gate: "orignal": did you mean "original"?: want one of off, original, coin`},
		{minimal("title: \"a\\u009b31m\"\n"), `f.yaml:3:8: title: "a\u009b31m": want at most 2,000 printable characters`},
		{minimal("title: \"a\\u202eb\"\n"), `printable characters`},
		{minimal("admission: {results: yes}\n"), `"yes": want on or off`},
		{minimal("visitor: {timeout: 15}\n"), `f.yaml:3:20: visitor.timeout: "15" has no unit: write a time such as "15s"`},
		{minimal("visitor: {timeout: -15s}\n"), `"-15s" is negative`},
		{minimal("visitor: {timeout: 15 %}\n"), `"15 %" is not a time`},
		{minimal("visitor: {timeout: 0s}\n"), `f.yaml:3:20: visitor.timeout: must be above 0`},
		{minimal("visitor: {timeout: 9999h}\n"), `is longer than 720h0m0s`},
		{minimal("visitor: {human_min: 3s}\n"), `visitor.human_max: 2s is less than visitor.human_min, 3s`},
		{minimal("scale: {people: 100}\n"), `f.yaml:3:17: scale.people: "100" is not a ratio: want a ratio such as "1:100"`},
		{minimal("scale: {people: \"2:1\"}\n"), `"2:1" is over 1:1`},
		{minimal("stock: {reservations: 0 reservations}\n"), `f.yaml:3:23: stock.reservations: a stock of 0 has nothing to sell`},
		{minimal("stock: {shops: 100_000 shops}\n"), `stock.shops`},
		{minimal("mode: queud\n"), `f.yaml:3:7: mode: "queud": did you mean "queued"?`},
		{minimal("window: {from: 50s}\n"), `window.to: 40s is not after window.from, 50s`},
		{minimal("window: {recovery: 5s}\n"), `f.yaml:3:20: window.recovery: 5s is before window.peak, 8s`},
		{minimal("window: {to: 5h}\n"), `f.yaml:3:14: window.to: 5h0m0s is after arrivals.day_to`},
		{minimal("arrivals: {rush_share: 90 %}\n"), `arrivals.rush_share: is more than arrivals.evening_share`},
		{minimal("arrivals: {rush_share: 79 %}\n"), `arrivals: these shares need a background of`},
		{minimal("layers: {egde: off}\n"), `f.yaml:3:10: unknown layer "egde": did you mean "edge"?`},
		{minimal("layers: {edge: 0}\n"), `"0": want on or off`},
		{minimal("edge: {cache_key: query}\n"), `"query": want one of path, url`},
		{minimal("objectives:\n  - submit.qeued.p99 < 800ms\n"), `f.yaml:4:5: objectives.0: `},
		{minimal("objectives:\n  - nosuchstep.p99 < 800ms\n"), `f.yaml:4:5: objectives.0: `},
		{minimal("window: {from: 1s}\nobjectives:\n  - submit.before.p50 < 800ms\n"), `f.yaml:5:5: objectives.0: "submit.before.p50 < 800ms" names the window "before", which is empty here`},
		{minimal("changes:\n  - {at: 0s, key: admission.probability, to: 12.5 %}\n"), `f.yaml:4:46: changes.0.to: 12.5 %: the original gate`},
		{minimal("changes:\n  - {at: 0s, key: admission.probability, to: 20}\n"), `changes.0.to: "20" has no unit`},
		{minimal("changes:\n  - {at: 0s, key: queue.depth, to: 20}\n"), `f.yaml:4:19: changes.0.key: "queue.depth"`},
		{minimal("changes:\n  - {at: 5s, key: admission.gate, to: off}\n  - {at: 0s, key: admission.gate, to: coin}\n"), `changes.1.at: 0s is before the change above it`},
		{minimal("faults:\n  - {at: 5s, kind: writer-stops, for: 1s}\n"), `f.yaml:4:20: faults.0.kind: "writer-stops": did you mean "writer-stop"?`},
		{minimal("faults:\n  - {at: 5s, kind: writer-stop}\n"), `faults.0.for: a fault lasts`},
		{minimal("faults:\n  - {at: 5s, kind: instance-loss, for: 1s, amount: 17 x}\n"), `faults.0.amount: want how many of the 16 instances`},
		{minimal("faults:\n  - {at: 5s, kind: kill, target: gateways, for: 1s}\n"), `f.yaml:4:34: faults.0.target: "gateways": did you mean "gateway"?`},
		{minimal("faults:\n  - {at: 5s, kind: kill, for: 1s}\n"), `faults.0.target: fault kill: target is missing: one of gateway, writer, redis, database`},
		{minimal("faults:\n  - {at: 5s, kind: pause, target: gateway-redis, for: 1s}\n"), `faults.0.target: fault pause: target "gateway-redis": one of gateway, writer, redis, database`},
		{minimal("faults:\n  - {at: 5s, kind: outage, target: redis, for: 1s}\n"), `faults.0.target: fault outage: target "redis": it has none`},
		{minimal("faults:\n  - {at: 5s, kind: ack-lost, target: redis, for: 1s, amount: 0.2 s}\n"), `faults.0.amount: has the unit "s": fault ack-lost wants "%"`},
		{minimal("faults:\n  - {at: 5s, kind: slow, target: writer-redis, for: 1s}\n"), `faults.0.amount: fault slow: amount is missing: seconds, more than 0 and up to 10`},
		{minimal("faults:\n  - {at: 5s, kind: slow, target: writer-redis, for: 1s, amount: 11s}\n"), `faults.0.amount: fault slow: amount 11: want seconds`},
		{minimal("faults:\n  - {at: 5s, kind: poison, for: 1s, amount: 2.5 messages}\n"), `faults.0.amount: fault poison: amount 2.5: want a whole number of messages`},
		{minimal("faults:\n  - {at: 5s, kind: redis-full, for: 1s, amount: 1 x}\n"), `faults.0.amount: fault redis-full has none: leave it out`},
		{minimal("faults:\n  - {at: 5s, kind: poison, for: 1s, amount: 5}\n"), `faults.0.amount: "5": want a number with its unit`},
		{minimal("faults:\n  - {at: 60s, kind: writer-stop, for: 1s}\n"), `faults.0.at: the fault lies outside the window`},
		{minimal("population:\n  classes:\n    - {name: a, share: 50 %, priority: 1}\n"), `population.classes: the shares add up to 50 %`},
		{minimal("population:\n  classes:\n    - {name: bots, share: 100 %, priority: 1}\n"), `want a name, not "bots"`},
		{minimal("population:\n  classes:\n    - {name: a, share: 100 %, priority: 1.5}\n"), `want a rank from 1 to 100`},
		{minimal("queue:\n  depth: {value: 5 entries, source: x, assumption: {low: 1 entries, high: 9 entries, why: y}}\n"), `is either sourced or assumed`},
		{minimal("queue:\n  depth: {value: 5 entries, assumption: {low: 6 entries, high: 9 entries, why: y}}\n"), `queue.depth: assumption: 6 entries … 9 entries does not enclose 5 entries`},
		{minimal("queue:\n  depth: {value: 5 entries, assumption: {low: 1 rows, high: 9 entries, why: y}}\n"), `assumption: low: "1 rows" has the unit "rows"`},
		{minimal("queue:\n  depth: {value: 5 entries, assumption: {low: 1 entries, high: 9 entries}}\n"), `an assumption has low, high and why`},
		{minimal("queue:\n  depth: {valu: 5 entries}\n"), `f.yaml:4:11: unknown key "queue.depth.valu": did you mean "value"?`},
		{minimal("queue: {depth: &a 5 entries}\n"), `anchors and aliases are not read`},
		{minimal("queue: {depth: !!int 5}\n"), `tags are not read`},
		{minimal("") + "---\nname: other\n", `a second document`},
		{"extends: nosuch\nname: x\n", `f.yaml:1:10: extends: unknown scenario "nosuch"`},
		{"extends: [a]\nname: x\n", `extends wants the name of a scenario`},
		{"extends: smok\nname: x\n", `did you mean "smoke"?`},
		{"name: X Y\nmode: queued\n", `f.yaml:1:7: name: "X Y": want a name of lower-case`},
		{"name: x\n", `mode: is missing`},
		{"name: x\nmode: queued\n", `is missing`},
		{"name: " + strings.Repeat("a", textMax) + "\n", `a scenario has at most`},
		{strings.Repeat("[", 1000), `nested deeper`},
		{strings.Repeat("- ", 1000), `nested deeper`},
	} {
		s, err := Parse([]byte(c.text), "f.yaml")
		switch {
		case err == nil:
			t.Errorf("accepted: %.120q gives %s", c.text, s.Name)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%.120q:\n got %v\nwant %s", c.text, err, c.want)
		case strings.ContainsAny(err.Error(), "\n\r"):
			t.Errorf("%.120q: more than one line: %q", c.text, err)
		}
	}
}

func TestModesNeedTheirs(t *testing.T) {
	for _, c := range []struct{ mode, key, want string }{
		{"queued", "ledger.rate", "ledger.rate"},
		{"queued", "queue.attempts", "queue.attempts"},
		{"timed-writer", "ledger.flush_every", "ledger.flush_every"},
		{"lossless", "ledger.database_rate", "ledger.database_rate"},
		{"lossless", "ledger.write", "ledger.write"},
	} {
		s := load(t, "suikang-2020-01-31", "mode", c.mode)
		value := "0"
		if c.key == "ledger.flush_every" {
			value = "0s"
		}
		if err := s.Set(c.key, value); err == nil || !strings.Contains(err.Error(), c.want+": must be above 0") {
			t.Errorf("mode %s without %s: %v", c.mode, c.key, err)
		}
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load("suikang-2020-01-3"); err == nil || !strings.Contains(err.Error(), `did you mean "suikang-2020-01-31"?`) || !strings.Contains(err.Error(), "scenario list") {
		t.Errorf("unknown name: %v", err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("base.yaml", minimal("queue: {depth: 7 entries}\n"))
	s, err := Load(write("own.yaml", "extends: base.yaml\nname: own\nobjectives: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Queue.Depth != 7 || s.Name != "own" || len(s.Objectives) != 0 || s.Notes["queue.depth"].Why != "" {
		t.Errorf("%+v", s)
	}
	a := write("a.yaml", "extends: b.yaml\nname: a\n")
	write("b.yaml", "extends: a.yaml\nname: b\n")
	for name, want := range map[string]string{
		a:                                  "runs in a circle",
		filepath.Join(dir, "nosuch.yaml"):  "no such file",
		dir + "/":                          "not a file",
		write("bad.yaml", minimal("x: 1")): "bad.yaml:3:1: unknown key",
	} {
		if _, err := Load(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	// An error in a value that was inherited names the file that has it.
	if _, err := Load(write("c.yaml", "extends: base.yaml\nname: c\nwindow: {to: 20s}\n")); err == nil || !strings.Contains(err.Error(), "suikang-2020-01-31.yaml:") {
		t.Errorf("%v", err)
	}
}

func TestSet(t *testing.T) {
	s := load(t, "suikang-2020-01-31")
	before := s.Digest()
	for _, c := range []struct{ key, value, want string }{
		{"queue.dept", "5", `unknown key "queue.dept": did you mean "queue.depth"?`},
		{"depth", "5", `did you mean "queue.depth"?`},
		{"name", "x", "unknown key"},
		{"queue", "x", "unknown key"},
		{"queue.depth", "x", `queue.depth=x: "x" is not a number`},
		{"queue.depth", "-1", "is negative"},
		{"queue.depth", "1.5", "not a whole number"},
		{"queue.depth", "1 rows", `has the unit "rows"`},
		{"admission.probability", "20", `"20" has no unit: write "20 %"`},
		{"admission.probability", "12.5%", "whole per cents"},
		{"visitor.timeout", "15", "has no unit"},
		{"scale.people", "100", "is not a ratio"},
		{"layers.egde", "off", `did you mean "layers.edge"?`},
		{"layers.edge", "maybe", "want on or off"},
		{"stock.reservations", "0", "nothing to sell"},
	} {
		if err := s.Set(c.key, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v, want %q", c.key, c.value, err, c.want)
		}
	}
	if s.Digest() != before || s.Queue.Depth != 20_000 || !s.On("edge") {
		t.Error("a refused setting left a trace")
	}
	copied := *s
	for _, c := range [][2]string{{"queue.depth", "1000"}, {"admission.probability", "50%"}, {"visitor.timeout", "10s"},
		{"layers.edge", "off"}, {"admission.gate", "coin"}, {"admission.probability", "12.5 %"}, {"scale.people", "1:200"}, {"window.from", "-5s"}} {
		if err := s.Set(c[0], c[1]); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
	if s.Queue.Depth != 1000 || s.Admission.Probability != 0.125 || s.On("edge") || s.Scale.People != 0.005 {
		t.Errorf("%+v", s)
	}
	if s.Digest() == before || !strings.Contains(s.Text, "depth: 1000 entries\n") {
		t.Error("the text does not say what was set")
	}
	if !copied.On("edge") || copied.Notes["queue.depth"].Why == "" || copied.Digest() != before {
		t.Error("setting one spec changed a copy made before")
	}
	if err := s.SetAll(setting("admission.probability", "33.3 %"), setting("admission.gate", "original")); err == nil {
		t.Error("a pair that does not fit was taken")
	}
	if err := s.SetAll(setting("admission.gate", "original"), setting("admission.probability", "33 %")); err != nil {
		t.Error(err)
	}
}

// Every key can be set to the value it has, and that changes its provenance only.
func TestKeysCanBeSet(t *testing.T) {
	keys := Keys()
	if len(keys) < 70 || !slices.Contains(keys, "layers.queue") || !slices.Contains(keys, "admission.gate") || slices.Contains(keys, "name") {
		t.Errorf("%d keys: %v", len(keys), keys)
	}
	for _, k := range keys {
		s := load(t, "suikang-2020-01-31")
		value := s.Notes[k].Value
		if strings.HasPrefix(k, "layers.") {
			value = "on"
		}
		if err := s.Set(k, value); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestParseVary(t *testing.T) {
	for _, c := range []struct {
		arg  string
		want []string
	}{
		{"admission.probability=5%,20%, 50 %,20%", []string{"5%", "20%", "50 %"}},
		{"queue.depth=1000,2000", []string{"1000", "2000"}},
		{"queue.depth=1000..4000/4", []string{"1000", "2000", "3000", "4000"}},
		{"queue.depth=1000 entries..2000 entries/2", []string{"1000 entries", "2000 entries"}},
		{"queue.depth=10..1000/3log", []string{"10", "100", "1000"}},
		{"admission.probability=0%..100%/5", []string{"0 %", "25 %", "50 %", "75 %", "100 %"}},
		{"visitor.timeout=5s..20s/4", []string{"5s", "10s", "15s", "20s"}},
		{"visitor.timeout=100ms..10s/3log", []string{"100ms", "1s", "10s"}},
		{"queue.depth=1..2/5", []string{"1", "2"}},
		{"layers.edge=on,off", []string{"on", "off"}},
	} {
		_, got, err := ParseVary(c.arg)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.arg, got, err, c.want)
		}
	}
	for _, arg := range []string{"", "x", "=1", "x=", "x=1,,2", "x=1..2", "x=2..1/3", "x=1..2/1", "x=1..2/x", "x=0..2/3log",
		"x=1%..2/3", "x=a..b/3", "x=1s..2/3", "x=1..2/99999", "x=1e999..2e999/3"} {
		if _, _, err := ParseVary(arg); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", arg, err)
		}
	}
	s := load(t, "suikang-2020-01-31")
	_, values, err := ParseVary("admission.probability=1%..10%/19log")
	if err != nil {
		t.Fatal(err)
	}
	grid := s.Grid("admission.probability", values)
	if want := []string{"1 %", "2 %", "3 %", "4 %", "5 %", "6 %", "7 %", "8 %", "9 %", "10 %"}; !slices.Equal(grid, want) {
		t.Errorf("grid %q", grid)
	}
	for _, v := range grid {
		if err := s.Set("admission.probability", v); err != nil {
			t.Error(err)
		}
	}
	if got := s.Grid("queue.depth", values); !slices.Equal(got, values) {
		t.Error("another key's grid was touched")
	}
}

// Whatever is set, the text reads back as the same scenario.
func TestTextReadsBack(t *testing.T) {
	keys := Keys()
	rapid.Check(t, func(t *rapid.T) {
		s, err := Load(rapid.SampledFrom(Names()).Draw(t, "name"))
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 4).Draw(t, "settings") {
			value := rapid.SampledFrom([]string{"0", "1", "7", "35%", "12.5 %", "100 %", "0s", "900ms", "-3s", "2m", "on", "off",
				"coin", "1:50", "url", "queued", "lossless", "3.5", "1e3", "100_000"}).Draw(t, "value")
			_ = s.Set(rapid.SampledFrom(keys).Draw(t, "key"), value) // most are refused, which must leave no trace
		}
		again, err := Parse([]byte(s.Text), "merged")
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Text)
		}
		s.at, again.at = nil, nil
		if !reflect.DeepEqual(s, again) {
			t.Fatalf("reads back as another:\n%s\n---\n%s", s.Text, again.Text)
		}
	})
}

// Run it with -fuzzminimizetime=1x: else the fuzzer spends its time on making
// whole scenarios shorter.
func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		text, err := shippedText(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 2_000 { // a large one takes the fuzzer a minute to minimise
			f.Add(text)
		}
	}
	f.Add([]byte(minimal("queue: {depth: {value: 5 entries, source: x}}\n")))
	f.Add([]byte("a: &x [1]\nb: *x\n<<: {}\n"))
	f.Add([]byte("? a\n: - b\n--- |\n x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), ".y") { // no other files in a fuzz run
			return
		}
		s, err := Parse(text, "fuzz")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than one line: %q", err)
			}
			return
		}
		again, err := Parse([]byte(s.Text), "merged")
		if err != nil {
			t.Fatalf("the merged text does not read back: %v\n%s", err, s.Text)
		}
		if again.Text != s.Text {
			t.Fatalf("reads back as another:\n%s\n---\n%s", s.Text, again.Text)
		}
	})
}

func FuzzParseVary(f *testing.F) {
	f.Add("queue.depth=10..1000/3log")
	f.Add("admission.probability=5%,20%")
	f.Add("visitor.timeout=1s..2s/3")
	f.Fuzz(func(t *testing.T, arg string) {
		if _, values, err := ParseVary(arg); err == nil && (len(values) == 0 || len(values) > gridMax) {
			t.Fatalf("%q: %d values", arg, len(values))
		}
	})
}
