package wire

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"spillway/internal/booking"
)

// Paths of the visitor's part.
const (
	PathConfig    = "/config.json" // GET, edge; any query string is accepted
	PathCatalogue = "/catalogue/"  // GET, edge; + "zh.json" or "en.json"
	PathStatus    = "/v1/status"   // GET
	PathBookings  = "/v1/bookings" // POST a Submit; GET + "/{ticket}" for a Result
	PathEntries   = "/v1/entries"  // lottery mode: POST a Submit; + "/{ticket}": GET an Entry, PUT an Edit, DELETE
	PathHealth    = "/healthz"     // GET, 200 while the process lives
	PathReady     = "/readyz"      // GET, 200 while it can serve
	PathMetrics   = "/metrics"     // GET, Prometheus text
)

// Paths of the admin part. Every call carries "Authorization: Bearer TOKEN".
const (
	PathAdminStart   = "/admin/start"        // POST a Start
	PathAdminConfig  = "/admin/config"       // POST a Change
	PathAdminFaults  = "/admin/faults"       // POST a Fault
	PathAdminCheck   = "/admin/faults/check" // POST a Fault: answered like PathAdminFaults, and nothing is done
	PathAdminSamples = "/admin/samples"      // GET ?since=NANOSECONDS, answers Samples
	PathAdminDrain   = "/admin/drain"        // POST, answers Drained when the queue is empty or the query's ?within=DURATION is over
)

// Headers.
const (
	// HeaderOutcome carries the outcome of every reply of the visitor's part.
	HeaderOutcome = "Spillway-Outcome"
	// HeaderUser names the user, a decimal number. A real deployment puts its
	// authenticated account here.
	HeaderUser = "Spillway-User"
	// HeaderDeadline is how many milliseconds the client will still wait.
	HeaderDeadline = "Spillway-Deadline-Ms"
	// HeaderAttempt is the attempt number of this step in this visit, from 1.
	HeaderAttempt = "Spillway-Attempt"
	// HeaderKey is the idempotency key of a submit, 1 to 64 visible ASCII
	// characters (IETF draft-ietf-httpapi-idempotency-key-header).
	HeaderKey = "Idempotency-Key"
	// HeaderRetry says "no" when a retry is pointless.
	HeaderRetry = "Spillway-Retry"
	// HeaderCache says hit, miss or stale: how the edge answered.
	HeaderCache = "Spillway-Cache"
)

// MaxBody is the largest body of a request that is read, in bytes.
const MaxBody = 4 << 10

// Config is the runtime config that the edge serves.
type Config struct {
	Version     uint32      `json:"version"`
	Gate        string      `json:"gate"`        // off, original, coin
	Probability float64     `json:"probability"` // 0..1; the original gate takes whole per cents
	Coin        *CoinConfig `json:"coin,omitempty"`
	Results     bool        `json:"results"` // the entry to the result list is on
	LifeMillis  int64       `json:"life_ms"` // how long a client may keep it
}

// CoinConfig is what a client needs to toss the checkable coin alone.
type CoinConfig struct {
	Salt         string `json:"salt"`           // 32 hex digits: the two SipHash keys, big-endian
	PeriodMillis int64  `json:"period_ms"`      // length of an epoch
	OriginUnixMs int64  `json:"origin_unix_ms"` // start of epoch 0
}

// Status answers a status call.
type Status struct {
	State string `json:"state"` // wait, preorder, finish
}

// Submit is the body of a booking, or of a lottery entry.
type Submit struct {
	Item  int    `json:"item"`
	Epoch *int64 `json:"epoch,omitempty"` // the epoch whose coin passed, gate coin only
	Other bool   `json:"other,omitempty"` // lottery: takes another type in the same shop
	// Senior registers a person of 65 or older once for good (lottery). That the
	// person is so old is for the account system before the backend to prove.
	Senior bool `json:"senior,omitempty"`
	// Phone is the person's number, where the backend goes by numbers. It is in
	// the body because URLs and headers end up in logs.
	Phone string `json:"phone,omitempty"`
}

// Answer answers a submit and, in its later fields, a poll.
type Answer struct {
	Outcome      string `json:"outcome"`
	Ticket       string `json:"ticket,omitempty"`
	WaitedMicros int64  `json:"waited_us,omitempty"` // accepted to written, once confirmed
	Message      string `json:"message,omitempty"`
	// NotBefore is when the same request may be granted, in Unix milliseconds; 0 = not said.
	NotBefore int64  `json:"not_before_unix_ms,omitempty"`
	Entry     *Entry `json:"entry,omitempty"` // of a lottery entry that is written
}

// Edit is the body of an edit of a lottery entry: what it says then.
type Edit struct {
	Item  int  `json:"item"`
	Other bool `json:"other,omitempty"`
}

// Entry is a lottery entry as the ledger holds it, and its receipt. Moments are in
// Unix milliseconds.
type Entry struct {
	ID        string `json:"id"` // the public name: what stands in a sealed list
	Item      int    `json:"item"`
	Other     bool   `json:"other"`
	Senior    bool   `json:"senior"`
	Entered   int64  `json:"entered_unix_ms"`             // moment from which it counts
	Edited    int64  `json:"edited_unix_ms"`              // moment from which its last edit counts; 0 = it was never edited
	Withdrawn int64  `json:"withdrawn_unix_ms,omitempty"` // moment from which it is withdrawn
	State     string `json:"state"`                       // live, withdrawn, over
	Won       string `json:"won,omitempty"`               // day of its person's last published win, as 2020-02-19
	WonItem   *int   `json:"won_item,omitempty"`          // what was won
	// Signature is Ed25519 over "spillway-receipt-v1 ID ITEM OTHER SENIOR ENTERED EDITED"
	// with flags as 0 or 1; none when the backend has no key.
	Signature []byte `json:"signature,omitempty"`
}

// Start tells the backend when offset 0 of the run is.
type Start struct {
	UnixNano int64 `json:"unix_nano"`
}

// Change changes the runtime config. Unset fields stay as they are.
type Change struct {
	Probability *float64 `json:"probability,omitempty"`
	Gate        *string  `json:"gate,omitempty"`
	Results     *bool    `json:"results,omitempty"`
	Kill        *bool    `json:"kill,omitempty"` // kill switch: refuse every submit
}

// Fault starts a fault. It ends by itself after For. The words, targets and amounts
// are those of internal/fault.
type Fault struct {
	Kind   string        `json:"kind"`
	For    time.Duration `json:"for_ns"`
	Amount float64       `json:"amount,omitempty"` // the kind's strength, in its unit
	Target string        `json:"target,omitempty"` // what is hit; "" for a kind without targets
}

// Samples are the backend's own measurements since a moment.
type Samples struct {
	NowNanos int64                   `json:"now_ns"`          // the backend's offset at the answer
	Series   map[string][][2]float64 `json:"series"`          // name to (offset in seconds, value)
	Marks    map[string]float64      `json:"marks"`           // name to offset in seconds
	Totals   map[string]float64      `json:"totals"`          // counters since the start, for cross-checks
	Waited   map[string][][2]float64 `json:"waited"`          // "ledger": (written at offset s, accepted-to-written s), since the moment
	Notes    []string                `json:"notes,omitempty"` // what a report should say: of the backend itself, and of members of a deployment that did not answer
}

// Drained answers a drain.
type Drained struct {
	Depth int `json:"depth"` // entries still waiting
	Dead  int `json:"dead"`
}

// StatusCode is the HTTP status that goes with an outcome. Clients read the
// header, never this.
func StatusCode(o booking.Outcome) int {
	switch o {
	case booking.OK, booking.Wait, booking.Open, booking.Closed, booking.Confirmed, booking.Pending, booking.Refused:
		return http.StatusOK
	case booking.Queued:
		return http.StatusAccepted
	case booking.Duplicate, booking.SoldOut:
		return http.StatusConflict
	case booking.Limited, booking.OverBudget:
		return http.StatusTooManyRequests
	case booking.Busy, booking.Shed, booking.Degraded, booking.Off:
		return http.StatusServiceUnavailable
	case booking.Expired:
		return http.StatusGatewayTimeout
	case booking.BadCoin:
		return http.StatusForbidden
	case booking.Invalid:
		return http.StatusBadRequest
	case booking.Unknown:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// Reply writes an outcome with its status, header and body. retryAfter 0 is not
// said; noRetry says that a retry is pointless. body may be nil.
func Reply(w http.ResponseWriter, o booking.Outcome, retryAfter time.Duration, noRetry bool, body any) {
	h := w.Header()
	h.Set(HeaderOutcome, o.String())
	h.Set("Cache-Control", "no-store")
	if retryAfter > 0 {
		h.Set("Retry-After", seconds(retryAfter))
	}
	if noRetry {
		h.Set(HeaderRetry, "no")
	}
	if body == nil {
		w.WriteHeader(StatusCode(o))
		return
	}
	b, err := json.Marshal(body)
	if err != nil { // the bodies are this package's own types; none can fail
		http.Error(w, "encoding the reply: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(StatusCode(o))
	_, _ = w.Write(b) // the client may be gone; its own timeout tells it
}

// seconds rounds up to whole seconds, as RFC 9110 section 10.2.3 wants them.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
