package reference

import (
	"io"
	"log"
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"spillway/internal/booking"
	"spillway/reference/lottery"
)

// silence is where net/http logs what clients do wrong. It is counted elsewhere
// and must not fill a disk in a flash crowd.
var silence = log.New(io.Discard, "", 0)

// metrics makes the registry: a histogram that requests write, and a collector
// that reads the layers' own counters when it is asked.
func (s *Stack) metrics() {
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "spillway_gateway_latency_seconds", Help: "Time from the arrival of a request to its reply, by step.",
		Buckets:                     []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30},
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
	}, []string{"step"})
	for i := range s.latency {
		name := "other"
		if i > 0 {
			name = booking.Step(i).String()
		}
		s.latency[i] = latency.WithLabelValues(name)
	}
	s.registry = prometheus.NewRegistry()
	s.registry.MustRegister(latency, &collector{s: s})
}

// collector exports the layers. Its names are spillway_<layer>_<what>_<unit>.
type collector struct{ s *Stack }

var _ prometheus.Collector = (*collector)(nil)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("spillway_"+name, help, labels, nil)
}

var (
	descReplies    = desc("gateway_replies_total", "Replies of the gateways by step and outcome; refusals are among them, by cause.", "step", "outcome")
	descRequests   = desc("gateway_requests_total", "Replies by instance.", "instance")
	descUp         = desc("gateway_up_instances", "Instances that serve.")
	descFailovers  = desc("gateway_failovers_total", "Times that a lost instance was passed over.")
	descInFlight   = desc("gateway_inflight_requests", "Requests waiting or in service.")
	descRoom       = desc("gateway_room_fill_ratio", "Fill of the waiting room, 0 to 1.")
	descWaiting    = desc("gateway_waiting_units", "Work in the waiting room.")
	descWork       = desc("gateway_work_units_total", "Work begun.")
	descOffered    = desc("gateway_offered_units_total", "Work offered, the refused included.")
	descRung       = desc("gateway_rung_number", "Degradation rung; 1 serves everything.")
	descFlagAge    = desc("stock_closed_flag_age_seconds", "Age of the oldest closed flag among the instances.")
	descFlagErrors = desc("stock_closed_flag_errors_total", "Reads of the closed flag that failed.")
	descFree       = desc("stock_free_reservations", "Reservations left.")
	descCalls      = desc("stock_calls_total", "Script calls.")
	descSubmits    = desc("stock_submits_total", "Submits in script calls.")
	descFailed     = desc("stock_failed_calls_total", "Script calls whose result is unknown.")
	descDepth      = desc("queue_depth_entries", "Entries waiting.")
	descAge        = desc("queue_oldest_age_seconds", "Age of the oldest entry.")
	descDead       = desc("queue_dead_letters", "Dead letters that are open.")
	descRows       = desc("ledger_rows_total", "Rows written.")
	descBatches    = desc("ledger_batches_total", "Transactions of the writer.")
	descBatchMax   = desc("ledger_batch_max_rows", "Largest transaction so far.")
	descTurned     = desc("ledger_turned_total", "Tickets that the ledger refused.")
	descWriterErr  = desc("ledger_errors_total", "Rounds of the writer that failed and were tried again.")
	descActive     = desc("ledger_active_writers", "1 while this process writes the ledger, 0 while another has the lease.")
	descBacklog    = desc("ledger_backlog_seconds", "Work waiting at the synchronous database.")
	descCoin       = desc("admission_coins_total", "Results of the coin's check on submit.", "result")
	descProb       = desc("admission_probability_ratio", "Admission probability, 0 to 1, as configured now.")
	descVersion    = desc("admission_config_version_number", "Version of the runtime config.")
	descEdge       = desc("edge_replies_total", "Replies of the edge by how they were answered.", "how")
	descFetches    = desc("edge_fetches_total", "Fetches from the origin.")
	descFetchFail  = desc("edge_fetch_failures_total", "Fetches that failed.")
	descEntries    = desc("lottery_entries_total", "Lottery entries taken.")
	descChanges    = desc("lottery_changes_total", "Changes of lottery entries accepted.", "change")
	descDeskNo     = desc("lottery_refused_total", "Refusals of the lottery's desk, by reason.", "reason")
	descAbuses     = desc("front_refused_total", "Clients refused or cut off, by kind.", "kind")
	descOpen       = desc("front_open_connections", "Connections by part.", "part")
	descErrors     = desc("stores_errors_total", "Failures of a store that a request met.")
)

// Describe implements prometheus.Collector. Sending none makes the collector
// unchecked: which layers there are depends on the mode.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. It reads memory only: what has to be
// asked of a store comes from the last sample, at most a tenth of a second old.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.s
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		if !math.IsNaN(v) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	up := 0
	for i, in := range s.instances {
		var all uint64
		for step := range booking.StepPoll + 1 {
			for o := range booking.Unmapped + 1 {
				all += in.Replies(step, o)
			}
		}
		count(descRequests, float64(all), strconv.Itoa(i))
		if in.Up() {
			up++
		}
	}
	for step := booking.StepConfig; step <= booking.StepPoll; step++ {
		for o := booking.OK; o <= booking.Unmapped; o++ {
			var n uint64
			for _, in := range s.instances {
				n += in.Replies(step, o)
			}
			if n > 0 {
				count(descReplies, float64(n), step.String(), o.String())
			}
		}
	}
	var flagErrors uint64
	for _, in := range s.instances {
		flagErrors += in.FlagErrors()
	}
	st, fill, rung := s.station.State()
	if s.serves() {
		gauge(descUp, float64(up))
		count(descFailovers, float64(s.failovers.Load()))
		gauge(descInFlight, float64(st.Inside))
		gauge(descRoom, fill)
		gauge(descWaiting, st.WaitingUnits)
		count(descWork, st.WorkSum)
		count(descOffered, st.OfferedUnits)
		gauge(descRung, float64(rung))
	}
	if age, ok := s.flagAge(s.clock.Now()); ok {
		gauge(descFlagAge, age.Seconds())
	}
	count(descFlagErrors, float64(flagErrors))
	count(descErrors, float64(s.errors.Load()))

	for kind := range abuses {
		count(descAbuses, float64(s.abuses[kind].Load()), abuseNames[kind])
	}
	if s.doors[0] != nil {
		gauge(descOpen, float64(s.doors[0].connections()), "visitors")
	}
	gauge(descOpen, float64(s.doors[1].connections()), "admin")

	last, batchMax := s.watch.latest()
	gauge(descFree, last.get(sampleStockFree))
	gauge(descDepth, last.get(sampleQueueDepth))
	gauge(descAge, last.get(sampleQueueAge))
	gauge(descDead, last.get(sampleDead))
	if s.store != nil {
		x := s.store.Stats()
		count(descCalls, float64(x.Calls))
		count(descSubmits, float64(x.Submits))
		count(descFailed, float64(x.Failed))
	}
	if s.writer != nil {
		x := s.writer.Stats()
		count(descRows, float64(x.Rows))
		count(descBatches, float64(x.Batches))
		count(descTurned, float64(x.Turned))
		count(descWriterErr, float64(x.Errors))
		gauge(descBatchMax, float64(batchMax))
		active := 1.0
		if s.lease != nil && !s.lease.held() {
			active = 0
		}
		gauge(descActive, active)
	}
	if s.lossless != nil {
		gauge(descBacklog, s.lossless.Backlog().Seconds())
		if n := last.get(sampleWritten); !math.IsNaN(n) {
			count(descRows, n)
		}
	}
	a := s.admission.Counts()
	count(descCoin, float64(a.Passed), "passed")
	count(descCoin, float64(a.Refused), "refused")
	count(descCoin, float64(a.Unchecked), "unchecked")
	config, _ := s.admission.Config()
	gauge(descProb, config.Probability)
	gauge(descVersion, float64(config.Version))
	if s.edge != nil {
		e := s.edge.Stats()
		count(descEdge, float64(e.Hits), "hit")
		count(descEdge, float64(e.Misses), "miss")
		count(descEdge, float64(e.Stale), "stale")
		count(descFetches, float64(e.Fetches))
		count(descFetchFail, float64(e.Failures))
	}
	if s.desk != nil {
		x := s.desk.Counts()
		count(descEntries, float64(x.Taken))
		count(descChanges, float64(x.Edits), booking.ChangeEdit.String())
		count(descChanges, float64(x.Withdrawals), booking.ChangeWithdraw.String())
		for _, reason := range lottery.Reasons() {
			count(descDeskNo, float64(x.Refused[reason]), reason)
		}
	}
}
