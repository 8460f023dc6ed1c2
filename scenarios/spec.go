package scenarios

import (
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/internal/record"
)

// Spec is one scenario at full size and in scenario time (opening = 0), as its
// file says it. Load fills and validates it; Scale makes the values of a run.
//
// The tags are the file's grammar: yaml is the key, unit what a value must carry:
// "time" a Go duration, "moment" one counted from the opening that may be
// negative, "%" a percentage kept as 0..1, "ratio" 1:N, "word" one of a set,
// "amount" a number in the unit of its fault, "on/off" a switch, "text" free text, "rank" a bare number from 1, anything else
// the word after a number. Where a value comes from is kept beside it, in Notes.
type Spec struct {
	Name  string       `yaml:"name" unit:"text"`
	Title string       `yaml:"title" unit:"text"`
	About string       `yaml:"about" unit:"text"`
	Mode  booking.Mode `yaml:"mode" unit:"word"`

	Scale      ScaleSpec      `yaml:"scale"`
	Window     WindowSpec     `yaml:"window"`
	Population PopulationSpec `yaml:"population"`
	Arrivals   ArrivalSpec    `yaml:"arrivals"`
	Visitor    VisitorSpec    `yaml:"visitor"`
	Bots       BotSpec        `yaml:"bots"`

	Layers    map[string]bool `yaml:"layers"` // layer word to on (true) or off; absent = on
	Edge      EdgeSpec        `yaml:"edge"`
	Admission AdmissionSpec   `yaml:"admission"`
	Gateway   GatewaySpec     `yaml:"gateway"`
	Stock     StockSpec       `yaml:"stock"`
	Queue     QueueSpec       `yaml:"queue"`
	Ledger    LedgerSpec      `yaml:"ledger"`

	Changes    []Change `yaml:"changes"`
	Faults     []Fault  `yaml:"faults"`
	Objectives []string `yaml:"objectives"`
	// Baseline says that the scenario is meant to collapse: its objectives are
	// shown but do not count.
	Baseline bool `yaml:"baseline" unit:"on/off"`

	// Notes is where each value comes from, by key path ("queue.depth").
	Notes map[string]Note `yaml:"-"`
	// Text is the whole scenario as one file: what it extends merged in, every
	// value as written with its provenance, in the order of this struct. It reads
	// back as the same scenario, and its digest names the scenario in records.
	Text string `yaml:"-"`

	at map[string]string // key path to file:line:col, for errors
}

// Note is the provenance of one value: sourced, assumed, or (both empty) chosen.
type Note struct {
	Source         string // where it was published
	Low, High, Why string // an assumption's range and reason
	Value          string // as written
}

// ScaleSpec is the scale of the attack; the simulator runs 1:1 unless told.
type ScaleSpec struct {
	People float64 `yaml:"people" unit:"ratio"` // "1:100" is 0.01
	Time   float64 `yaml:"time" unit:"x"`       // "1 x"; k of the similarity law
}

// WindowSpec is the part of the evening to run, and its parts.
type WindowSpec struct {
	From     time.Duration `yaml:"from" unit:"moment"`
	To       time.Duration `yaml:"to" unit:"moment"`
	Peak     time.Duration `yaml:"peak" unit:"moment"`     // rise is from the opening to here
	Recovery time.Duration `yaml:"recovery" unit:"moment"` // peak is up to here
}

// PopulationSpec is who lives in the city.
type PopulationSpec struct {
	Users   float64         `yaml:"users" unit:"users"`
	English float64         `yaml:"english" unit:"%"`
	Classes []booking.Class `yaml:"classes"` // items: name, province, grade, share, priority, from, until
}

// ArrivalSpec shapes the arrival curve; see Curve.
type ArrivalSpec struct {
	Visits       float64       `yaml:"visits" unit:"visits"`   // of the whole day
	DayFrom      time.Duration `yaml:"day_from" unit:"moment"` // the day's first visit, -2h
	DayTo        time.Duration `yaml:"day_to" unit:"moment"`   // its last, 4h
	EveningShare float64       `yaml:"evening_share" unit:"%"` // of the visits, from the opening on
	RushShare    float64       `yaml:"rush_share" unit:"%"`    // of the visits, in the first ten minutes
	BuildUp      time.Duration `yaml:"build_up" unit:"time"`   // growth before the opening: e^(t/build_up)
	Rise         time.Duration `yaml:"rise" unit:"time"`       // 1-e^(-t/rise)
	Decay        time.Duration `yaml:"decay" unit:"time"`      // e^(-t/decay)
	Ebb          time.Duration `yaml:"ebb" unit:"time"`        // e^(-t/ebb) of the background
}

// VisitorSpec is what people do; see policy.Program for the meanings.
type VisitorSpec struct {
	BookingShare      float64       `yaml:"booking_share" unit:"%"`
	Notice            time.Duration `yaml:"notice" unit:"time"`
	Form              time.Duration `yaml:"form" unit:"time"`
	ThinkCV           float64       `yaml:"think_cv" unit:"x"`
	Lock              time.Duration `yaml:"lock" unit:"time"`
	HumanMin          time.Duration `yaml:"human_min" unit:"time"`
	HumanMax          time.Duration `yaml:"human_max" unit:"time"`
	GiveUp            float64       `yaml:"give_up" unit:"%"`
	Timeout           time.Duration `yaml:"timeout" unit:"time"`
	ConfigLife        time.Duration `yaml:"config_life" unit:"time"`
	PollEvery         time.Duration `yaml:"poll_every" unit:"time"`
	PollJitter        time.Duration `yaml:"poll_jitter" unit:"time"`
	Jitter            bool          `yaml:"jitter" unit:"on/off"`
	HonoursRetryAfter bool          `yaml:"honours_retry_after" unit:"on/off"`
}

// BotSpec is the bots: they skip the gate and post at a fixed beat.
type BotSpec struct {
	Count float64       `yaml:"count" unit:"bots"`
	Every time.Duration `yaml:"every" unit:"time"`
	From  time.Duration `yaml:"from" unit:"moment"` // the first post, spread over one beat
}

// EdgeSpec is the edge.
type EdgeSpec struct {
	ConfigLife    time.Duration `yaml:"config_life" unit:"time"`
	CatalogueLife time.Duration `yaml:"catalogue_life" unit:"time"`
	CacheKey      string        `yaml:"cache_key" unit:"word"` // "path" or "url"
	CatalogueSize float64       `yaml:"catalogue_size" unit:"B"`
	OriginUnits   float64       `yaml:"origin" unit:"units"`
}

// AdmissionSpec is the gate.
type AdmissionSpec struct {
	Gate        policy.Gate   `yaml:"gate" unit:"word"`
	Probability float64       `yaml:"probability" unit:"%"`
	Period      time.Duration `yaml:"period" unit:"time"`
	Results     bool          `yaml:"results" unit:"on/off"`
}

// GatewaySpec is one gateway; the law pools the instances.
type GatewaySpec struct {
	Instances  float64       `yaml:"instances" unit:"instances"`
	Capacity   float64       `yaml:"capacity" unit:"units/s"` // of one instance
	UnitTime   time.Duration `yaml:"unit_time" unit:"time"`
	ServiceCV  float64       `yaml:"service_cv" unit:"x"`
	Status     float64       `yaml:"status" unit:"units"`
	Poll       float64       `yaml:"poll" unit:"units"`
	Submit     float64       `yaml:"submit" unit:"units"`
	Room       time.Duration `yaml:"room" unit:"time"` // work of all instances that may wait
	DropAfter  time.Duration `yaml:"drop_after" unit:"time"`
	InFlight   float64       `yaml:"in_flight" unit:"requests"` // of all instances
	NoResults  float64       `yaml:"ladder_no_results" unit:"%"`
	NoLow      float64       `yaml:"ladder_no_low" unit:"%"`
	TopOnly    float64       `yaml:"ladder_top_only" unit:"%"`
	LadderHold time.Duration `yaml:"ladder_hold" unit:"time"`
	RetryRatio float64       `yaml:"retry_ratio" unit:"%"`
	RetryAfter time.Duration `yaml:"retry_after" unit:"time"`
	Native     bool          `yaml:"native" unit:"on/off"`
}

// StockSpec is the stock.
type StockSpec struct {
	Reservations float64       `yaml:"reservations" unit:"reservations"`
	Shops        float64       `yaml:"shops" unit:"shops"`
	ExpressShare float64       `yaml:"express_share" unit:"%"` // stock and demand of shop 0; 0 = all alike
	ClosedLife   time.Duration `yaml:"closed_life" unit:"time"`
}

// QueueSpec is the queue.
type QueueSpec struct {
	Depth    float64 `yaml:"depth" unit:"entries"`
	Attempts float64 `yaml:"attempts" unit:"attempts"`
}

// LedgerSpec is the writer and the database.
type LedgerSpec struct {
	Rate         float64       `yaml:"rate" unit:"rows/s"`
	Every        time.Duration `yaml:"every" unit:"time"`
	FlushEvery   time.Duration `yaml:"flush_every" unit:"time"`
	DatabaseRate float64       `yaml:"database_rate" unit:"units/s"`
	Read         float64       `yaml:"read" unit:"units"`
	Write        float64       `yaml:"write" unit:"units"`
}

// Change is a config change at a moment, which reaches clients as their copies
// expire. It may lie before the window.
type Change struct {
	At  time.Duration `yaml:"at" unit:"moment"`
	Key string        `yaml:"key" unit:"word"` // admission.probability, admission.gate, admission.results
	To  string        `yaml:"to" unit:"text"`
}

// Fault is a fault at a moment, for a time; package fault has the words. Its amount
// is written in the kind's unit: "300ms", "20 %", "5 messages".
type Fault struct {
	At     time.Duration `yaml:"at" unit:"moment"`
	Kind   string        `yaml:"kind" unit:"word"`
	Target string        `yaml:"target" unit:"word"`
	For    time.Duration `yaml:"for" unit:"time"`
	Amount float64       `yaml:"amount" unit:"amount"`
}

// Scaled is a scenario in the terms of one run: people thinned by S, time
// quickened by K, everything else as the similarity law has it. Embedded Spec
// values are run values, save that moments (Window, Changes, Faults, Bots.From,
// the day's ends) stay in scenario time and Admission is what the config says at
// offset 0. Full is the scenario they came from. A Scaled is not changed after
// it is made, so any goroutine may use it.
type Scaled struct {
	Spec
	Full Spec
	S, K float64
	// Seed keys every draw; Scale leaves it 0 (a good seed), see WithSeed.
	Seed draw.Seed
	// Length is the run's length; offset 0 of the run is Window.From.
	Length time.Duration
	// OpenAt is the opening as an offset of the run.
	OpenAt time.Duration
	// Rounded says what the law could not keep exactly, one line each.
	Rounded []string
	// Prediction is what the law expects of the run.
	Prediction Prediction

	curve   *Curve   // full size, scenario time
	history *history // openings of one user before the window; nil = none
}

// Prediction is the fluid estimate that explain prints, in run terms. In lossless
// mode PeakLoad is the database's when that is the higher.
type Prediction struct {
	Visits      float64       // expected number in the window
	PeakVisits  float64       // visits per second at the peak
	PeakAt      time.Duration // scenario time of that peak
	PeakHTTP    float64       // requests per second, edge and gateways together
	PeakGateway float64       // requests per second at the gateways
	PeakLoad    float64       // of the busiest second, 1 = capacity
	PeakLoadAt  time.Duration // scenario time of that second
	SoldOutAt   time.Duration // scenario time; < 0 = not within the window
	LastWritten time.Duration // scenario time
	PeakDepth   float64       // entries
	Sigma       float64       // of the peak load
	Margin      float64       // (1 - PeakLoad) / Sigma
	BiasK       float64       // k·S/timeout: what unscaled service times distort
}

// Windows are the parts of the run that percentiles are given for.
func (s *Spec) Windows() []record.Window {
	return []record.Window{
		{Name: "before", From: s.Window.From, To: min(0, s.Window.To)},
		{Name: "rise", From: max(0, s.Window.From), To: s.Window.Peak},
		{Name: "peak", From: s.Window.Peak, To: s.Window.Recovery},
		{Name: "recovery", From: s.Window.Recovery, To: s.Window.To},
	}
}

// On reports whether a layer is switched on.
func (s *Spec) On(layer string) bool {
	on, said := s.Layers[layer]
	return on || !said
}
