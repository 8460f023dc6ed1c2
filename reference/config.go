package reference

import (
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/reference/ledger"
)

// Roles of a process. Several gateways and writers share a Redis, a database and
// an event; one control speaks for them all.
const (
	RoleAll     = ""        // gateways and writer in one process
	RoleGateway = "gateway" // the visitors' part, one instance, without a writer
	RoleWriter  = "writer"  // sets up the sale and writes the ledger, without visitors
	RoleControl = "control" // hands the admin part's calls to the members and merges their samples
)

// Config is all that a backend needs to know. It holds capacities and policies,
// never the load to come. It travels to a child process as JSON on standard
// input. All values are in run terms: pooled over the instances, already scaled.
type Config struct {
	Role    string          `json:"role"` // see RoleAll
	Mode    booking.Mode    `json:"mode"`
	OpenAt  time.Duration   `json:"open_at"`  // offset of the opening
	CloseAt time.Duration   `json:"close_at"` // offset of the end of booking; 0 = never by time
	Seed    uint64          `json:"seed"`     // keys service times, and without a secret the tickets of a test run
	Secret  string          `json:"secret"`   // keys tickets and phone numbers, 32 characters or more; all processes of an event share it, and keep it
	Phones  bool            `json:"phones"`   // a person is told by the phone number of the submit, which is then required
	Classes []booking.Class `json:"classes"`
	Bots    uint64          `json:"bots_from"` // users from this id on are bots, for labels only

	Listen      string `json:"listen"`       // address of the visitor's part, "127.0.0.1:0"
	AdminListen string `json:"admin_listen"` // address of the admin part and metrics, loopback by default
	AdminToken  string `json:"admin_token"`  // "" = made at the start and printed in the ready line
	Connections int    `json:"connections"`  // of visitors at once, see package doc; 0 = 16,384, or what the files of the process allow
	Redis       string `json:"redis"`        // "" = embedded miniredis; "redis://…", with ?addr=… for a cluster
	Database    string `json:"database"`     // "" = SQLite file in Dir; "sqlite:PATH" or "postgres://…"
	Dir         string `json:"dir"`          // folder of the embedded database; "" = a temporary one
	Event       string `json:"event"`        // hash tag of all keys, "{event}:…"
	// Crash, for tests, is the crash point at which the process kills itself:
	// "POINT", or "POINT:N" for its N-th passing; "" = none. See CrashPoints.
	Crash string `json:"crash"`
	// Share is a gateway's part of the pooled limits of Gateway, more than 0 and up
	// to 1; 0 = all. A limiter has whole slots: see gateway.Slots for the floor.
	Share float64 `json:"share"`
	// Members are the admin URLs that control speaks for.
	Members []string `json:"members"`
	Native  bool     `json:"native"` // no modelled slots and service times: the code's own capacity

	Off       map[string]bool `json:"off"` // layers switched off, see Layers
	Edge      EdgeConfig      `json:"edge"`
	Admission AdmissionConfig `json:"admission"`
	Gateway   GatewayConfig   `json:"gateway"`
	Stock     StockConfig     `json:"stock"`
	Queue     QueueConfig     `json:"queue"`
	Ledger    LedgerConfig    `json:"ledger"`
	// Lottery are the rules of mode lottery; none = policy.DefaultLotteryRules.
	Lottery policy.LotteryRules `json:"lottery"`
	// ReceiptKey signs the receipts of lottery entries: an Ed25519 private key as PEM
	// (PKCS #8); "" = receipts bear no signature.
	ReceiptKey string `json:"receipt_key"`
}

// Layers are the words of the switches, each with what is done when it is off.
var Layers = map[string]string{
	"edge":      "config and catalogue are served by the gateways, a unit each",
	"admission": "every press passes",
	"closed":    "the closed check is not asked of stock: status says preorder from the opening on, every submit reaches stock",
	"room":      "the waiting room has no bound",
	"drop":      "expired work is served all the same",
	"inflight":  "no in-flight limit",
	"priority":  "first in, first out, all classes alike",
	"ladder":    "always on the first rung",
	"budget":    "retries are free",
	"batch":     "one script call a submit",
	"queue":     "synchronous write to the database at submit",
}

// EdgeConfig sets the edge.
type EdgeConfig struct {
	ConfigLife     time.Duration `json:"config_life"`     // life of the config at the edge
	CatalogueLife  time.Duration `json:"catalogue_life"`  // life of each catalogue at the edge
	ClientLife     time.Duration `json:"client_life"`     // life of the config in the client
	KeyOnQuery     bool          `json:"key_on_query"`    // cache key includes the query string
	CatalogueBytes int           `json:"catalogue_bytes"` // size of a catalogue
	OriginUnits    float64       `json:"origin_units"`    // gateway work of a miss
}

// AdmissionConfig sets the gate.
type AdmissionConfig struct {
	Gate        policy.Gate   `json:"gate"`
	Probability float64       `json:"probability"` // 0..1
	Period      time.Duration `json:"period"`      // epoch of the coin
	Results     bool          `json:"results"`     // the entry to the result list is on
}

// GatewayConfig sets the gateways. Limits are pooled over the instances.
type GatewayConfig struct {
	Instances   int           `json:"instances"`
	Capacity    float64       `json:"capacity"`   // units per second, all instances; the slots are Capacity x UnitTime
	UnitTime    time.Duration `json:"unit_time"`  // service time of one unit in one slot
	ServiceCV   float64       `json:"service_cv"` // 0 = constant service time, else log-normal
	StatusUnits float64       `json:"status_units"`
	PollUnits   float64       `json:"poll_units"`
	SubmitUnits float64       `json:"submit_units"`
	Room        float64       `json:"room"`       // units that may wait; 0 = none may
	DropAfter   time.Duration `json:"drop_after"` // longest wait before work is dropped at dequeue; 0 = deadline only
	InFlight    int           `json:"in_flight"`  // 0 = unlimited
	Ladder      policy.Ladder `json:"ladder"`
	RetryRatio  float64       `json:"retry_ratio"` // retry budget: tokens earned by a first attempt; 0 = none
	RetryAfter  time.Duration `json:"retry_after"` // what refusals advise; 0 = nothing
}

// StockConfig sets the stock.
type StockConfig struct {
	Items      []int         `json:"items"`       // reservations of each item
	ClosedLife time.Duration `json:"closed_life"` // life of the local closed flag
	BatchMax   int           `json:"batch_max"`   // submits a script call takes at the most
	Linger     time.Duration `json:"linger"`      // longest wait for a batch to fill
	// Grace is how long a rebuild waits for the other gateways to offer what they
	// have accepted; 0 = 1 s with a Redis by URL, and not at all with the embedded
	// one, which has no other gateways.
	Grace time.Duration `json:"grace"`
}

// QueueConfig sets the queue.
type QueueConfig struct {
	Depth    int `json:"depth"`    // bound, entries; 0 = unbounded by choice
	Attempts int `json:"attempts"` // deliveries before an entry becomes a dead letter
}

// LedgerConfig sets the ledger.
type LedgerConfig struct {
	Rate         float64       `json:"rate"`          // rows per second of the writer; 0 = as fast as it can
	Every        time.Duration `json:"every"`         // beat of the writer
	FlushEvery   time.Duration `json:"flush_every"`   // timed-writer mode: the timer
	DatabaseRate float64       `json:"database_rate"` // lossless mode: units per second of the database; 0 = its own speed
	ReadUnits    float64       `json:"read_units"`
	WriteUnits   float64       `json:"write_units"`
}

// Ready is the one line of JSON that a backend prints when it serves. URLs of
// stores are in it as the configuration named them; Public takes their passwords
// off.
type Ready struct {
	URL        string `json:"url"`
	AdminURL   string `json:"admin_url"`
	AdminToken string `json:"admin_token"`
	Redis      string `json:"redis"`
	Database   string `json:"database"`
	Event      string `json:"event"`
	PID        int    `json:"pid"`
}

// Public is what may be printed: without the stores' passwords, since the line
// ends in logs. Whoever needs them named them in the configuration, or gives
// them again (PGPASSWORD for the database).
func (r Ready) Public() Ready {
	r.Redis, r.Database = shownRedis(r.Redis), ledger.ShownURL(r.Database)
	return r
}
