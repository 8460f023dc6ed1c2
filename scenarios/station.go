package scenarios

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/internal/record"
)

// ErrStation is wrapped by the error of reading a station where an evening is wanted.
var ErrStation = errors.New("a bare service station, not an evening: spillway sim runs it")

// ErrEvening is wrapped by the error of reading an evening where a station is wanted.
var ErrEvening = errors.New(`not a station: a station's file has the key "station"`)

// Station is a bare service station as its file says it: what is left when every
// layer is switched off. Its grammar is that of an evening; see Spec for the tags.
// Keys that are absent mean what their comment says.
type Station struct {
	Name  string `yaml:"name" unit:"text"`
	Title string `yaml:"title" unit:"text"`
	About string `yaml:"about" unit:"text"`

	Station StationSpec `yaml:"station"`

	Notes map[string]Note `yaml:"-"` // as Spec's
	Text  string          `yaml:"-"` // as Spec's

	at map[string]string
}

// StationSpec is the station itself and how it is measured.
type StationSpec struct {
	Servers  float64     `yaml:"servers" unit:"servers"`
	Places   float64     `yaml:"places" unit:"places"` // waiting and in service; 0 or absent = no bound
	Arrivals ComingSpec  `yaml:"arrivals"`
	Service  LawSpec     `yaml:"service"`
	Patience LawSpec     `yaml:"patience"` // absent, or law none = nobody leaves the queue
	Retry    RetrySpec   `yaml:"retry"`    // absent = who finds no place or leaves does not come back
	Order    string      `yaml:"order" unit:"word"`
	Classes  []float64   `yaml:"classes" unit:"%"` // shares, first served first, without preemption; absent = one class
	Measure  MeasureSpec `yaml:"measure"`
}

// ComingSpec is how customers come for the first time.
type ComingSpec struct {
	Rate    float64 `yaml:"rate" unit:"customers/s"`
	Process string  `yaml:"process" unit:"word"` // poisson or regular
}

// LawSpec is the distribution of a time. A file of values ("file: times.txt") is
// read in place of values: a time a line, "#" for comments.
type LawSpec struct {
	Law    string          `yaml:"law" unit:"word"` // exponential, log-normal, deterministic, empirical
	Mean   time.Duration   `yaml:"mean" unit:"time"`
	CV     float64         `yaml:"cv" unit:"x"`        // log-normal: standard deviation over mean
	Values []time.Duration `yaml:"values" unit:"time"` // empirical: each equally likely
}

// RetrySpec is how customers come back.
type RetrySpec struct {
	Probability float64 `yaml:"probability" unit:"%"` // after each failed attempt
	Delay       LawSpec `yaml:"delay"`
	Attempts    float64 `yaml:"attempts" unit:"attempts"` // in all, the first included; 0 or absent = no limit
}

// MeasureSpec is how the intervals come about; absent keys take the values of
// package sim/station: 20 replications of 100,000 customers, intervals of 95 %.
type MeasureSpec struct {
	Method     string  `yaml:"method" unit:"word"` // replications or batch-means
	Blocks     float64 `yaml:"blocks" unit:"blocks"`
	Customers  float64 `yaml:"customers" unit:"customers"` // measured in each block
	WarmUp     WarmUp  `yaml:"warm_up" unit:"customers"`
	Confidence float64 `yaml:"confidence" unit:"%"`
}

// WarmUp is the number of customers discarded at the start of each run: above 0 as
// many, WarmUpChosen (auto, or absent) by the simulator's rule, WarmUpNone none.
type WarmUp int

// The warm-ups that are not a number above 0.
const (
	WarmUpNone   WarmUp = -1
	WarmUpChosen WarmUp = 0
)

// The words of a station.
const (
	Poisson = "poisson"
	Regular = "regular"

	LawNone          = "none"
	LawExponential   = "exponential"
	LawLogNormal     = "log-normal"
	LawDeterministic = "deterministic"
	LawEmpirical     = "empirical"

	OrderFIFO = "fifo"
	OrderLIFO = "lifo"

	MethodReplications = "replications"
	MethodBatchMeans   = "batch-means"
)

// lawPaths are the keys that hold a LawSpec.
var lawPaths = []string{"station.service", "station.patience", "station.retry.delay"}

const stationPrefix = "station-"

func isStationName(name string) bool { return strings.HasPrefix(name, stationPrefix) }

// StationNames lists the shipped stations, in alphabetical order.
func StationNames() []string {
	return slices.DeleteFunc(shippedNames(), func(n string) bool { return !isStationName(n) })
}

// IsStation reports whether the name or file is a station's. What cannot be read is
// none: reading it as an evening says why.
func IsStation(name string) bool {
	text, file, err := textOf(name)
	if err != nil {
		return false
	}
	root, err := resolve(text, file, nil)
	if err != nil {
		// A station with a mistake in it is a station still: which it is decides only
		// what the error speaks of.
		return slices.ContainsFunc(strings.Split(string(text), "\n"), func(l string) bool { return strings.HasPrefix(l, "station:") })
	}
	return root.get("station") != nil
}

// LoadStation reads and validates a station, as Load does an evening.
func LoadStation(name string) (*Station, error) {
	text, file, err := textOf(name)
	if err != nil {
		return nil, err
	}
	return ParseStation(text, file)
}

// ParseStation reads and validates the text of a station; see Parse.
func ParseStation(text []byte, file string) (*Station, error) {
	root, err := resolve(text, file, nil)
	if err != nil {
		return nil, err
	}
	if root.get("station") == nil {
		return nil, fmt.Errorf("%s: %w", file, ErrEvening)
	}
	s := &Station{}
	d := decoder{notes: map[string]Note{}, at: map[string]string{}}
	if err := d.section(reflect.ValueOf(s).Elem(), root, ""); err != nil {
		return nil, err
	}
	s.Notes, s.at = d.notes, d.at
	s.Text = notes(s.Notes).render(reflect.ValueOf(s).Elem())
	if len(s.Text) > textMax {
		return nil, fmt.Errorf("%s: %d bytes with all it names, at most %d: give fewer values", file, len(s.Text), textMax)
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// Digest names the station: the SHA-256 of its text.
func (s *Station) Digest() string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s.Text))) }

// StationKeys lists the keys that a station's Set takes, in the order of the file.
func StationKeys() []string {
	var s Station
	var out []string
	eachLeaf(reflect.ValueOf(&s).Elem(), "", func(path, unit string, _ reflect.Value) {
		if unit != "text" {
			out = append(out, path)
		}
	})
	return out
}

// SetAll changes values and validates the whole again; see Spec.Set. A law that is
// set anew drops the parameters that its family does not have.
func (s *Station) SetAll(settings ...record.Setting) error {
	next := *s
	next.Notes, next.at = maps.Clone(s.Notes), maps.Clone(s.at)
	if next.Notes == nil {
		next.Notes = map[string]Note{}
	}
	for _, set := range settings {
		if err := next.set(strings.TrimSpace(set.Key), set.Value); err != nil {
			return err
		}
	}
	next.Text = notes(next.Notes).render(reflect.ValueOf(&next).Elem())
	if err := next.Validate(); err != nil {
		return err
	}
	*s = next
	return nil
}

func (s *Station) set(key, value string) error {
	keys := StationKeys()
	if !slices.Contains(keys, key) {
		mean := didYouMean(key, keys)
		if i := slices.IndexFunc(keys, func(k string) bool { return strings.HasSuffix(k, "."+key) }); mean == "" && i >= 0 {
			mean = fmt.Sprintf(": did you mean %q?", keys[i])
		}
		return fmt.Errorf("unknown key %q%s (a key is station.name, such as station.servers)", clip(key), mean)
	}
	var err error
	eachLeaf(reflect.ValueOf(s).Elem(), "", func(path, unit string, v reflect.Value) {
		if path != key || err != nil {
			return
		}
		written, e := setLeaf(v, value, path, unit, true)
		if e != nil {
			err = fmt.Errorf("%s=%s: %w", key, clip(value), e)
			return
		}
		s.Notes[path] = Note{Value: written}
		delete(s.at, path)
	})
	if section, ok := strings.CutSuffix(key, ".law"); err == nil && ok {
		s.dropUnused(section)
	}
	return err
}

// law is the law at one of lawPaths.
func (s *Station) law(path string) *LawSpec {
	switch path {
	case "station.service":
		return &s.Station.Service
	case "station.patience":
		return &s.Station.Patience
	}
	return &s.Station.Retry.Delay
}

// uses says which parameters a law has.
func (l *LawSpec) uses(parameter string) bool {
	switch parameter {
	case "mean":
		return l.Law != LawEmpirical && l.Law != LawNone && l.Law != ""
	case "cv":
		return l.Law == LawLogNormal
	}
	return l.Law == LawEmpirical
}

func (s *Station) dropUnused(section string) {
	l := s.law(section)
	drop := func(parameter string) bool {
		if l.uses(parameter) {
			return false
		}
		key := section + "." + parameter
		gone := func(p string) bool { return p == key || strings.HasPrefix(p, key+".") }
		maps.DeleteFunc(s.Notes, func(p string, _ Note) bool { return gone(p) })
		maps.DeleteFunc(s.at, func(p, _ string) bool { return gone(p) })
		return true
	}
	if drop("mean") {
		l.Mean = 0
	}
	if drop("cv") {
		l.CV = 0
	}
	if drop("values") {
		l.Values = nil
	}
}

// Limits of a station's file: far beyond what can be simulated in a day, and below
// what a machine's memory cannot hold.
const (
	serversMax = 1 << 20
	placesMax  = 1e12
	blocksMax  = 1000 // a block's two histograms take a quarter of a megabyte
	stationMax = 1e9  // customers in a block
	rateMax    = 1e9
	valuesMax  = 5000 // of a law: the whole scenario stays below the limit of a file
)

// Validate checks what a single value cannot show, as Spec.Validate does. Whether
// the station settles is for the simulator to say.
func (s *Station) Validate() error {
	c := &findings{name: s.Name, notes: s.Notes, at: s.at, root: reflect.ValueOf(s).Elem()}
	st := &s.Station
	c.limits()
	c.that(nameForm.MatchString(s.Name), "name", "%.40q: want a name of lower-case letters, digits, dots and dashes", s.Name)
	c.that(!strings.ContainsAny(s.Name+s.Title, "\n"), "title", "want one line")
	c.positive("station.servers", "station.arrivals.rate")
	c.whole("station.servers", "station.places", "station.retry.attempts", "station.measure.blocks", "station.measure.customers")
	c.that(st.Servers <= serversMax, "station.servers", "is over %d", serversMax)
	c.that(st.Places == 0 || st.Places >= st.Servers, "station.places",
		"%g places for %g servers: who is in service holds one; give at least as many, or 0 for no bound", st.Places, st.Servers)
	c.that(st.Places <= placesMax, "station.places", "is over %g: give 0 for no bound", float64(placesMax))
	c.that(st.Arrivals.Rate >= 1e-6 && st.Arrivals.Rate <= rateMax, "station.arrivals.rate", "%g is not within 1e-6 to %g customers/s", st.Arrivals.Rate, float64(rateMax))
	c.that(st.Arrivals.Process != "", "station.arrivals.process", "is missing: poisson or regular")
	c.lawAt("station.service", &st.Service)
	if st.Patience.Law != LawNone && (st.Patience.Law != "" || c.said("station.patience")) {
		c.lawAt("station.patience", &st.Patience)
	}
	if st.Patience.Law == LawNone {
		c.that(!c.said("station.patience.mean") && !c.said("station.patience.cv"), "station.patience", "law none has neither mean nor cv: remove them")
	}
	if st.Retry.Probability > 0 || c.said("station.retry") {
		if !c.said("station.retry.probability") {
			c.fail("station.retry.probability", "is missing: the share of failed attempts that are followed by another, in per cent")
		}
		c.lawAt("station.retry.delay", &st.Retry.Delay)
	}
	var sum float64
	for i, share := range st.Classes {
		c.that(share > 0, "station.classes."+strconv.Itoa(i), "want a share above 0 %%")
		sum += share
	}
	c.that(len(st.Classes) == 0 || len(st.Classes) >= 2 && len(st.Classes) <= 100, "station.classes", "%d classes: give 2 to 100, or none", len(st.Classes))
	c.that(len(st.Classes) == 0 || math.Abs(sum-1) < 1e-9, "station.classes", "the shares add up to %.4g %%, not 100 %%", 100*sum)
	m := st.Measure
	if c.said("station.measure.blocks") || m.Blocks != 0 {
		c.that(m.Blocks >= 2 && m.Blocks <= blocksMax, "station.measure.blocks", "%g: give 2 to %d: an interval needs two", m.Blocks, blocksMax)
	}
	if c.said("station.measure.customers") || m.Customers != 0 {
		c.that(m.Customers >= 1 && m.Customers <= stationMax, "station.measure.customers", "%g: give 1 to %g", m.Customers, float64(stationMax))
	}
	if c.said("station.measure.confidence") || m.Confidence != 0 {
		c.that(m.Confidence > 0 && m.Confidence < 1, "station.measure.confidence", "%g %%: give one above 0 %% and below 100 %%", 100*m.Confidence)
	}
	c.that(m.WarmUp >= WarmUpNone && float64(m.WarmUp) <= stationMax, "station.measure.warm_up", "%d: give auto or at most %g", m.WarmUp, float64(stationMax))
	return c.err
}

// said reports whether the file has the key or the section.
func (c *findings) said(path string) bool {
	if _, ok := c.at[path]; ok {
		return true
	}
	if _, ok := c.notes[path]; ok {
		return true
	}
	for p := range c.notes {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// lawAt checks a law that has to be there.
func (c *findings) lawAt(path string, l *LawSpec) {
	c.that(l.Law != "", path+".law", "is missing: exponential, log-normal, deterministic or empirical")
	if c.err != nil {
		return
	}
	for _, parameter := range []string{"mean", "cv"} {
		p := path + "." + parameter
		switch {
		case l.uses(parameter):
			c.positive(p)
		case c.said(p):
			c.fail(p, "a law that is %s has no %s: remove it", l.Law, parameter)
		}
	}
	c.that(l.CV <= 100, path+".cv", "%g x is over 100 x", l.CV)
	switch p := path + ".values"; {
	case !l.uses("values"):
		c.that(len(l.Values) == 0, p, "a law that is %s has no values: remove them", l.Law)
	case len(l.Values) == 0:
		c.fail(p, "is missing: give values: [9ms, 12ms, …], or file: NAME with a time a line")
	default:
		c.that(len(l.Values) <= valuesMax, p, "%d values, at most %d: take every n-th of the sorted ones", len(l.Values), valuesMax)
		c.that(slices.Max(l.Values) > 0, p, "are all 0")
		for i, v := range l.Values {
			c.that(v >= 0 && v <= timeMax, p+"."+strconv.Itoa(i), "%v is not within 0 to %v", v, timeMax)
		}
	}
}

// parseWarmUp reads "auto" or a number of customers.
func parseWarmUp(text, unit string, bare bool) (WarmUp, string, error) {
	if text == "auto" {
		return WarmUpChosen, text, nil
	}
	n, written, err := parseNumber(text, unit, bare)
	switch {
	case err != nil:
		return 0, written, fmt.Errorf("%w, or auto", err)
	case n != math.Trunc(n):
		return 0, written, fmt.Errorf("%.40q is not a whole number of customers", text)
	case n == 0:
		return WarmUpNone, written, nil
	}
	return WarmUp(n), written, nil
}

// valuesOfFiles puts the values of the files that a station's laws name in their
// place, so that the merged text holds everything.
func valuesOfFiles(root *node, file string) error {
	for _, path := range lawPaths {
		n := root
		for _, key := range strings.Split(path, ".") {
			if n != nil {
				n = n.get(key)
			}
		}
		if n == nil || n.kind != mapping {
			continue
		}
		for i, e := range n.entries {
			if e.key != "file" {
				continue
			}
			switch {
			case e.val.kind != scalar || strings.TrimSpace(e.val.text) == "":
				return fmt.Errorf("%s: %s.file: want the name of a file with a time a line", e.at, path)
			case n.get("values") != nil:
				return fmt.Errorf("%s: %s.file: the values are there too: remove one", e.at, path)
			}
			values, err := readValues(e.val.text, file)
			if err != nil {
				return fmt.Errorf("%s: %s.file: %w", e.at, path, err)
			}
			values.at = e.at
			n.entries[i] = entry{"values", e.at, values}
		}
	}
	return nil
}

// readValues reads a file of times, looked for beside the scenario's.
func readValues(name, beside string) (*node, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(beside), name)
	}
	text, err := readFile(name)
	switch {
	case err != nil:
		return nil, err
	case len(text) > textMax:
		return nil, fmt.Errorf("%s has over %d bytes", name, textMax)
	}
	out := &node{kind: list}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out.items = append(out.items, &node{kind: scalar, at: fmt.Sprintf("%s:%d:1", name, i+1), text: string(line)})
		}
	}
	switch {
	case len(out.items) == 0:
		return nil, fmt.Errorf("%s has no times", name)
	case len(out.items) > valuesMax:
		return nil, fmt.Errorf("%s has %d times, at most %d: take every n-th of the sorted ones", name, len(out.items), valuesMax)
	}
	return out, nil
}
