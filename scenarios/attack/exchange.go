package attack

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/wire"
)

// exchange is one request and its reply. The dispatcher fills it, one worker
// sends it and writes the reply, the dispatcher folds it; it is handed over, never
// shared.
type exchange struct {
	ref      uint32 // the visitor's place
	index    uint32 // its own
	visit    booking.VisitID
	user     booking.UserID
	ticket   booking.Ticket
	epoch    int64
	step     booking.Step // 0 = GET of the target's root, for a plain schedule
	group    uint8
	bot      bool
	english  bool
	hasEpoch bool
	attempt  uint16
	item     uint16

	timeout  time.Duration // from sent
	intended time.Duration
	base     time.Duration // where the span begins: intended, or the press for a submit
	sent     time.Duration
	done     time.Duration
	unsent   bool // the run ended before it could be sent
	cut      bool // the run ended before it was answered

	reply   policy.Reply
	runtime policy.Runtime // StepConfig with OK: the config that came

	header http.Header // carries index through vegeta, made once
}

// chunkBits sets how many exchanges or places are made at once: 1024, so that
// growing copies nothing and wastes little.
const chunkBits = 10

// exchanges is the store of exchanges, by index. Only the dispatcher takes and
// gives back; a worker may look up an index that was handed to it.
type exchanges struct {
	chunks [1 << 12]*[1 << chunkBits]exchange
	made   uint32
	free   []uint32
}

// errTooMany says that four million exchanges are waiting to be worked off.
var errTooMany = errors.New("attack: too many exchanges under way")

func (xs *exchanges) at(i uint32) *exchange {
	return &xs.chunks[i>>chunkBits][i&(1<<chunkBits-1)]
}

// has reports whether i was ever handed out; any goroutine that was handed an
// index may ask about that one.
func (xs *exchanges) has(i uint64) bool {
	return i>>chunkBits < uint64(len(xs.chunks)) && xs.chunks[i>>chunkBits] != nil
}

func (xs *exchanges) take() (*exchange, error) {
	if n := len(xs.free); n > 0 {
		i := xs.free[n-1]
		xs.free = xs.free[:n-1]
		return xs.at(i), nil
	}
	if xs.made == 1<<(12+chunkBits) {
		return nil, errTooMany
	}
	i := xs.made
	if i&(1<<chunkBits-1) == 0 {
		xs.chunks[i>>chunkBits] = new([1 << chunkBits]exchange)
	}
	xs.made++
	x := xs.at(i)
	x.index = i
	x.header = http.Header{headerIndex: {strconv.FormatUint(uint64(i), 10)}}
	return x, nil
}

func (xs *exchanges) give(x *exchange) {
	*x = exchange{index: x.index, header: x.header}
	xs.free = append(xs.free, x.index)
}

// headerIndex carries an exchange's index from the Targeter to our RoundTripper
// and goes no further.
const headerIndex = "Spillway-Index"

// headerSeq is vegeta's own; it is stripped with it.
const headerSeq = "X-Vegeta-Seq"

// bodyMax is the largest reply that is read, in bytes. The catalogue of the
// evening has 9.3 kB compressed and some 60 kB plain.
const bodyMax = 1 << 20

// retryAfterMax bounds what a reply may ask a visitor to wait.
const retryAfterMax = time.Hour

// target turns exchanges into requests of the contract and replies into outcomes.
type target struct {
	base    *url.URL
	root    *url.URL
	status  *url.URL
	submits *url.URL
	zh, en  *url.URL
	// key begins every idempotency key, so that runs with different seeds against
	// one backend do not share them.
	key string
	// origin is the wall moment of offset 0, in Unix nanoseconds: the coin's epochs
	// are counted in wall time on the wire.
	origin atomic.Int64
	seen   atomic.Pointer[seenConfig]
	bufs   sync.Pool
}

// seenConfig is the last config that was read: most are the same bytes again.
type seenConfig struct {
	body    string
	runtime policy.Runtime
}

// parseTarget checks a target's URL.
func parseTarget(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %.80q is not a URL; write http://HOST:PORT", ErrInput, raw)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%w: URL %.80q: want http://HOST:PORT or https://HOST:PORT, with a path at most", ErrInput, raw)
	}
	return u, nil
}

func newTarget(raw string, mode booking.Mode, seed uint64) (*target, error) {
	base, err := parseTarget(raw)
	if err != nil {
		return nil, err
	}
	submits := wire.PathBookings
	if mode == booking.ModeLottery {
		submits = wire.PathEntries
	}
	t := &target{base: base, key: strconv.FormatUint(seed, 16)}
	t.root = t.at("/")
	t.status = t.at(wire.PathStatus)
	t.submits = t.at(submits)
	t.zh, t.en = t.at(wire.PathCatalogue+"zh.json"), t.at(wire.PathCatalogue+"en.json")
	t.bufs.New = func() any { b := make([]byte, 8<<10); return &b }
	return t, nil
}

// at is the URL of a path of the contract.
func (t *target) at(path string) *url.URL {
	u := &url.URL{Scheme: t.base.Scheme, Host: t.base.Host, Path: strings.TrimSuffix(t.base.Path, "/") + path}
	return u
}

var userAgent = []string{"spillway"}
var contentJSON = []string{"application/json"}

// fill makes req the request of x. req must be the caller's own.
func (t *target) fill(x *exchange, req *http.Request) {
	h := req.Header
	delete(h, headerIndex)
	delete(h, headerSeq)
	h["User-Agent"] = userAgent
	req.Method = http.MethodGet
	req.Body, req.GetBody, req.ContentLength = nil, nil, 0
	req.Host = t.base.Host

	vals := make([]string, 4) // one allocation for all header values
	vals[0] = strconv.FormatUint(uint64(x.user), 10)
	vals[1] = strconv.FormatInt(x.timeout.Milliseconds(), 10)
	vals[2] = strconv.Itoa(int(x.attempt))
	if x.step != 0 {
		h[wire.HeaderUser] = vals[0:1:1]
		h[wire.HeaderDeadline] = vals[1:2:2]
		h[wire.HeaderAttempt] = vals[2:3:3]
	}
	switch x.step {
	case booking.StepConfig:
		u := *t.at(wire.PathConfig)
		// The original client appends a changing query string, which defeats an edge
		// cache that keys on it.
		u.RawQuery = "t=" + strconv.FormatInt(x.intended.Milliseconds(), 10)
		req.URL = &u
	case booking.StepCatalogue:
		req.URL = t.zh
		if x.english {
			req.URL = t.en
		}
	case booking.StepStatus, booking.StepCheck:
		req.URL = t.status
	case booking.StepSubmit:
		req.URL = t.submits
		req.Method = http.MethodPost
		body := appendSubmit(make([]byte, 0, 48), x)
		// No GetBody: net/http must not send a submit twice behind our back.
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		h["Content-Type"] = contentJSON
		vals[3] = t.idempotencyKey(x)
		h[wire.HeaderKey] = vals[3:4:4]
	case booking.StepPoll:
		req.URL = t.at(wire.PathBookings + "/" + x.ticket.String())
	default:
		req.URL = t.root
	}
}

// idempotencyKey is one per user for people, whose client remembers what it sent,
// and a fresh one for each post of a bot.
func (t *target) idempotencyKey(x *exchange) string {
	b := make([]byte, 0, 64)
	b = append(b, t.key...)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(x.user), 10)
	if x.bot {
		b = append(b, '-')
		b = strconv.AppendUint(b, uint64(x.attempt), 10)
	}
	return string(b)
}

// appendSubmit is the JSON of a wire.Submit.
func appendSubmit(b []byte, x *exchange) []byte {
	b = append(b, `{"item":`...)
	b = strconv.AppendUint(b, uint64(x.item), 10)
	if x.hasEpoch {
		b = append(b, `,"epoch":`...)
		b = strconv.AppendInt(b, x.epoch, 10)
	}
	return append(b, '}')
}

// may tells which outcomes a reply to a step can carry. Refusals that any layer
// may give are allowed everywhere; what only a client can know, nowhere.
func may(step booking.Step, o booking.Outcome) bool {
	switch o {
	case booking.Busy, booking.Shed, booking.Limited, booking.Expired, booking.Degraded,
		booking.OverBudget, booking.Off, booking.Invalid, booking.Unknown:
		return true
	}
	switch step {
	case booking.StepConfig, booking.StepCatalogue:
		return o == booking.OK
	case booking.StepStatus, booking.StepCheck:
		return o == booking.Wait || o == booking.Open || o == booking.Closed
	case booking.StepSubmit:
		switch o {
		case booking.Queued, booking.Confirmed, booking.Refused, booking.Duplicate, booking.SoldOut,
			booking.Closed, booking.Wait, booking.BadCoin:
			return true
		}
	case booking.StepPoll:
		return o == booking.Confirmed || o == booking.Pending || o == booking.Refused
	}
	return false
}

// read reads a reply into x: its outcome, and of the body what the step needs.
// err is a transport error; a reply that makes no sense is unmapped, not an error.
func (t *target) read(x *exchange, resp *http.Response) error {
	x.reply.Outcome = booking.Unmapped
	bufp := t.bufs.Get().(*[]byte)
	defer t.bufs.Put(bufp)
	body, whole, err := readBody(resp.Body, *bufp)
	if err != nil {
		return err
	}
	if x.step == 0 {
		x.reply.Outcome = booking.OK
		return nil
	}
	x.reply.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	x.reply.NoRetry = resp.Header.Get(wire.HeaderRetry) == "no"
	o, err := booking.ParseOutcome(resp.Header.Get(wire.HeaderOutcome))
	if err != nil || !may(x.step, o) {
		return nil
	}
	switch {
	case x.step == booking.StepConfig && o == booking.OK:
		rt, ok := t.config(body, whole)
		if !ok {
			return nil
		}
		x.runtime = rt
	case x.step == booking.StepSubmit && (o == booking.Queued || o == booking.Confirmed):
		ticket, ok := ticketOf(body, whole)
		if !ok || o == booking.Queued && ticket.IsZero() {
			return nil // nothing to poll for
		}
		x.reply.Ticket = ticket
	case !whole && x.step != booking.StepCatalogue:
		return nil
	}
	x.reply.Outcome = o
	return nil
}

// readBody reads a body to its end, but bodyMax at most. What is beyond buf is
// read and dropped; whole says that all of it is in the answer.
func readBody(r io.Reader, buf []byte) (body []byte, whole bool, err error) {
	n := 0
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return buf[:n], true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(r, bodyMax-int64(n))); err != nil {
		return nil, false, err
	}
	return buf[:n], false, nil
}

// ticketOf reads the ticket of an answer; none at all is the zero ticket.
func ticketOf(body []byte, whole bool) (booking.Ticket, bool) {
	var a wire.Answer
	if !whole || json.Unmarshal(body, &a) != nil {
		return booking.Ticket{}, false
	}
	if a.Ticket == "" {
		return booking.Ticket{}, true
	}
	ticket, err := booking.ParseTicket(a.Ticket)
	return ticket, err == nil
}

// retryAfter reads whole seconds; anything else is "not said".
func retryAfter(s string) time.Duration {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, retryAfterMax)
}

// config reads a runtime config; its Version is left 0 for the dispatcher to set.
func (t *target) config(body []byte, whole bool) (policy.Runtime, bool) {
	if last := t.seen.Load(); last != nil && whole && last.body == string(body) {
		return last.runtime, true
	}
	var c wire.Config
	if !whole || json.Unmarshal(body, &c) != nil {
		return policy.Runtime{}, false
	}
	rt, err := runtimeOf(c, t.origin.Load())
	if err != nil {
		return policy.Runtime{}, false
	}
	t.seen.Store(&seenConfig{string(body), rt})
	return rt, true
}

// runtimeOf is a config of the wire in the terms of the run whose offset 0 is at
// originNanos, Unix time. Version is 0.
func runtimeOf(c wire.Config, originNanos int64) (policy.Runtime, error) {
	gate, err := policy.ParseGate(c.Gate)
	if err != nil {
		return policy.Runtime{}, err
	}
	if !(c.Probability >= 0 && c.Probability <= 1) {
		return policy.Runtime{}, fmt.Errorf("admission probability %v: want 0 to 1", c.Probability)
	}
	rt := policy.Runtime{Gate: gate, Probability: c.Probability, Results: c.Results}
	if gate != policy.GateCoin {
		return rt, nil
	}
	if c.Coin == nil {
		return policy.Runtime{}, errors.New("gate coin without a coin")
	}
	salt, err := hex.DecodeString(c.Coin.Salt)
	if err != nil || len(salt) != 16 {
		return policy.Runtime{}, fmt.Errorf("coin salt %.40q: want 32 hex digits", c.Coin.Salt)
	}
	if c.Coin.PeriodMillis <= 0 || c.Coin.PeriodMillis > math.MaxInt64/int64(time.Millisecond) {
		return policy.Runtime{}, fmt.Errorf("coin period %d ms: want a positive time", c.Coin.PeriodMillis)
	}
	if c.Coin.OriginUnixMs < 0 || c.Coin.OriginUnixMs > math.MaxInt64/int64(time.Millisecond) {
		return policy.Runtime{}, fmt.Errorf("coin origin %d: want milliseconds since 1970", c.Coin.OriginUnixMs)
	}
	rt.Coin = policy.Coin{
		K0: binary.BigEndian.Uint64(salt[:8]), K1: binary.BigEndian.Uint64(salt[8:]),
		Period: time.Duration(c.Coin.PeriodMillis) * time.Millisecond,
		Origin: time.Duration(c.Coin.OriginUnixMs*int64(time.Millisecond) - originNanos),
	}
	return rt, nil
}
