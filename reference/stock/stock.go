package stock

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dchest/siphash"
	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
)

var (
	// ErrRunning is returned by Fill when a sale with other stock is running.
	ErrRunning = errors.New("a sale with other stock is already set up under this event; end it first or choose another event")
	// ErrNotOpen comes with the outcome unknown when no sale is set up, or the
	// queue's stream is missing: Redis lost its memory or Fill was never called.
	ErrNotOpen = errors.New("no sale is set up in the store; fill it first")
	// ErrOvertaken is returned by a step of a rebuild whose lock has passed to
	// somebody else, or was lost with Redis's memory: begin again.
	ErrOvertaken = errors.New("somebody else rebuilds the sale, or Redis lost its memory once more; look again")
	// ErrSealed comes with the outcome unknown for a lottery entry, or a change of one,
	// whose moment was sealed before it reached the store: nothing was done. Again,
	// it has another moment.
	ErrSealed = errors.New("the day was sealed while this was on its way; try again")
	// ErrClosed comes with the outcome unknown when the Store has been closed.
	ErrClosed = errors.New("the stock layer is closed")
)

// Limits of a Store.
const (
	// BatchLimit is the largest batch of submits a script call takes. 64 bring
	// nothing over 32 on miniredis, and keep a call under a millisecond or two.
	BatchLimit = 64
	// ItemsMax bounds the items of a sale; the script passes all at set-up, and
	// Lua unpacks at most about 8,000 values.
	ItemsMax = 2000
	// KeyMax is the longest idempotency key, in bytes.
	KeyMax = 64
)

// callTimeout bounds one script call when Options.Timeout is zero. A late answer
// is unknown, not failed.
const callTimeout = 3 * time.Second

// Options sets up a Store.
type Options struct {
	Event   string // hash tag of all keys: 1 to 64 letters, digits, "-", "_", "."
	Items   int    // number of items, 1..ItemsMax; submits for others are invalid
	Stream  string // key of the queue's stream; "" = nothing is enqueued
	Depth   int    // bound of the queue in entries; 0 = unbounded by choice
	Results string // key of the result cache's hash, where an acceptance is noted as pending; "" = none
	// Entries says that there is no stock to take: one entry a user is accepted
	// and counted, and a repeated entry gets its first ticket again.
	Entries bool
	// Rules are the lottery's, whose days an edit is counted in; Entries mode only.
	Rules policy.LotteryRules
	// BatchMax is how many submits share a script call, 1..BatchLimit; 0 and 1
	// mean one call a submit.
	BatchMax int
	// Linger is how long the first submit of a batch waits for company; 0 = it
	// leaves with whoever is there at once.
	Linger time.Duration
	// Timeout bounds a script call; 0 = 3 s.
	Timeout time.Duration
	// Tickets makes the tickets; nil = with a secret of its own.
	Tickets *Tickets
	Clock   clock.Clock // required
	// OnSoldOut is called, in a goroutine of the Store, each time a submit of this
	// Store takes the last reservation; nil = not.
	OnSoldOut func(at time.Duration)
}

// Submit is one attempt to book.
type Submit struct {
	User  booking.UserID
	Item  int
	Key   string // idempotency key: 1..KeyMax visible ASCII characters
	Other bool   // lottery: takes another type in the same shop
	// Senior registers the person of a lottery entry once for good.
	Senior bool
}

// Result is the answer to a Submit.
type Result struct {
	Outcome booking.Outcome // queued, duplicate, closed, sold-out, busy, invalid or unknown
	Ticket  booking.Ticket  // set when queued
	Replay  bool            // queued before: this is the same answer again
	Held    bool            // and its ticket still holds its user's place
}

// Stats counts what a Store has done. Submits / Calls is the mean batch.
type Stats struct {
	Calls   int64 // script calls
	Submits int64 // submits in them
	Failed  int64 // calls that ended in unknown
}

// Tickets makes tickets that nobody can guess: 96 bits of an HMAC-SHA-256 over user
// and key, and 32 bits of a SipHash over those. It is safe for concurrent use.
type Tickets struct {
	secret []byte
	k0, k1 uint64 // of the mark
}

// NewTickets keys the tickets by a secret of at least 16 bytes; nil makes a
// random one. Two processes that serve one event must share it.
func NewTickets(secret []byte) (*Tickets, error) {
	if secret == nil {
		secret = make([]byte, 32)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("tickets: no randomness: %w", err)
		}
	}
	if len(secret) < 16 {
		return nil, fmt.Errorf("tickets: secret of %d bytes: want at least 16", len(secret))
	}
	h := hmac.New(sha256.New, secret)
	_, _ = h.Write([]byte("mark")) // never fails; no user's text begins with a letter
	keys := h.Sum(nil)
	return &Tickets{append([]byte(nil), secret...), binary.BigEndian.Uint64(keys), binary.BigEndian.Uint64(keys[8:])}, nil
}

// Of is the ticket of a user's submit with an idempotency key.
func (t *Tickets) Of(user booking.UserID, key string) booking.Ticket {
	h := hmac.New(sha256.New, t.secret)
	b := strconv.AppendUint(make([]byte, 0, 96), uint64(user), 10)
	b = append(append(b, '|'), key...) // a decimal number holds no '|', so no two pairs collide
	_, _ = h.Write(b)                  // never fails
	var sum [sha256.Size]byte
	var ticket booking.Ticket
	copy(ticket[:], h.Sum(sum[:0]))
	binary.BigEndian.PutUint32(ticket[markAt:], t.mark(ticket))
	return ticket
}

// markAt is where a ticket's mark begins.
const markAt = 12

// mark is what only who has the secret can write under the first 96 bits.
func (t *Tickets) mark(ticket booking.Ticket) uint32 {
	return uint32(siphash.Hash(t.k0, t.k1, ticket[:markAt]))
}

// Made reports whether a ticket may have been made here: of guesses it lets one
// in four thousand million pass, and no store has to be asked about the others.
func (t *Tickets) Made(ticket booking.Ticket) bool {
	return binary.BigEndian.Uint32(ticket[markAt:]) == t.mark(ticket)
}

// Store takes stock. It is safe for concurrent use.
type Store struct {
	client redis.UniversalClient
	opts   Options
	keys   []string // state, users, keys, stream, results
	// offers is the hash of what gateways offer, rebuild that of who rebuilds,
	// changes that of each person's last edit of a lottery entry.
	offers, rebuild, changes string

	outbox outbox
	beat   atomic.Int64 // the last beat of the sale that this Store saw; 0 = none

	mu     sync.Mutex
	open   *batch // collecting; nil = none
	closed bool
	calls  sync.WaitGroup

	nCalls, nSubmits, nFailed atomic.Int64
	soldOutAt                 atomic.Int64
	soldOut                   atomic.Bool
}

// batch is a set of submits that share a call. Its fields up to stop belong to
// the Store's mutex until it is sent, results and err to whoever saw done closed.
type batch struct {
	submits []booking.Accepted
	keys    []string
	sent    bool
	stop    func() bool // of the linger timer

	results []Result
	err     error
	done    chan struct{}
}

// New makes a Store over a client. It talks to nobody; the client should have
// MaxRetries -1, since a repeated call is for the caller to decide.
func New(client redis.UniversalClient, o Options) (*Store, error) {
	switch {
	case client == nil || o.Clock == nil:
		return nil, errors.New("stock: a client and a clock are required")
	case o.Items < 1 || o.Items > ItemsMax:
		return nil, fmt.Errorf("stock: %d items: want 1 to %d", o.Items, ItemsMax)
	case o.Depth < 0 || o.Linger < 0 || o.Timeout < 0:
		return nil, errors.New("stock: depth, linger and timeout must not be negative")
	case o.Entries && o.Rules.Length <= 0:
		return nil, errors.New("stock: lottery entries need the lottery's rules")
	case o.BatchMax < 0 || o.BatchMax > BatchLimit:
		return nil, fmt.Errorf("stock: batch of %d: want 0 to %d", o.BatchMax, BatchLimit)
	}
	tag, err := tag(o.Event)
	if err != nil {
		return nil, err
	}
	for _, k := range []string{o.Stream, o.Results} {
		if k != "" && !strings.HasPrefix(k, tag) {
			return nil, fmt.Errorf("stock: key %q must begin with %q: a script keeps to one slot", k, tag)
		}
	}
	if o.Tickets == nil {
		if o.Tickets, err = NewTickets(nil); err != nil {
			return nil, err
		}
	}
	o.BatchMax = max(1, o.BatchMax)
	if o.Timeout == 0 {
		o.Timeout = callTimeout
	}
	keys := []string{tag + "state", tag + "users", tag + "keys", o.Stream, o.Results}
	for i := 3; i < 5; i++ {
		if keys[i] == "" {
			keys[i] = tag + "none" // a key the script is told not to touch
		}
	}
	s := &Store{client: client, opts: o, keys: keys, offers: tag + "offers", rebuild: tag + "rebuild", changes: tag + "changes"}
	s.outbox.on, s.outbox.held = o.Stream != "" && o.Results != "", map[booking.Ticket]offer{}
	return s, nil
}

// tag is the prefix of every key of an event.
func tag(event string) (string, error) {
	if len(event) < 1 || len(event) > 64 {
		return "", fmt.Errorf("stock: event %.70q: want 1 to 64 letters, digits, '-', '_' or '.'", event)
	}
	for _, c := range []byte(event) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return "", fmt.Errorf("stock: event %q: want letters, digits, '-', '_' or '.'", event)
		}
	}
	return "{" + event + "}:", nil
}

// Fill sets up a sale with the reservations of each item (in Entries mode the
// numbers are kept and not used). Calling it again with the same items changes
// nothing; with others it fails with ErrRunning.
func (s *Store) Fill(ctx context.Context, items []int) error {
	if len(items) != s.opts.Items {
		return fmt.Errorf("stock: filling %d items, the store was made for %d", len(items), s.opts.Items)
	}
	args := make([]any, 0, len(items)+1)
	args = append(args, "")
	words := make([]string, len(items))
	total := 0
	for i, n := range items {
		if n < 0 || n > 1_000_000_000 { // totals stay below 10^14, where Lua turns to exponents
			return fmt.Errorf("stock: item %d has %d reservations: want 0 to 10^9", i, n)
		}
		total += n
		words[i] = strconv.Itoa(n)
		args = append(args, words[i])
	}
	if total == 0 && !s.opts.Entries {
		return errors.New("stock: no item has any reservation; there is nothing to sell")
	}
	args[0] = strings.Join(words, ",")
	r, err := fillScript.Run(ctx, s.client, s.keys[:1], args...).Text()
	switch {
	case err != nil:
		return fmt.Errorf("stock: setting up the sale: %w", err)
	case r == "running":
		return fmt.Errorf("stock: %w", ErrRunning)
	}
	return nil
}

// Take judges one submit and books it when it may be. The error is non-nil only
// with the outcome unknown: the submit may or may not stand, and the same key
// will tell. When ctx ends first the outcome is unknown for the same reason.
func (s *Store) Take(ctx context.Context, in Submit) (Result, error) {
	if in.Item < 0 || in.Item >= s.opts.Items || !validKey(in.Key) {
		return Result{Outcome: booking.Invalid}, nil
	}
	b, i, err := s.join(s.accepted(in), in.Key)
	if err != nil {
		return Result{Outcome: booking.Unknown}, err
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return Result{Outcome: booking.Unknown}, fmt.Errorf("stock: the submit's state is unknown: %w", ctx.Err())
	}
	r := b.results[i]
	if r.Outcome == booking.Unknown {
		return r, b.err
	}
	return r, nil
}

// TakeBatch judges 1 to BatchLimit submits in one call, in their order, without
// waiting for others to join. Each result is as Take's; the error is non-nil when
// any is unknown.
func (s *Store) TakeBatch(ctx context.Context, ins []Submit) ([]Result, error) {
	if len(ins) < 1 || len(ins) > BatchLimit {
		return nil, fmt.Errorf("stock: a batch of %d submits: want 1 to %d", len(ins), BatchLimit)
	}
	out := make([]Result, len(ins))
	b := &batch{done: make(chan struct{})}
	var at []int
	for i, in := range ins {
		if in.Item < 0 || in.Item >= s.opts.Items || !validKey(in.Key) {
			out[i].Outcome = booking.Invalid
			continue
		}
		at = append(at, i)
		b.keys = append(b.keys, in.Key)
		b.submits = append(b.submits, s.accepted(in))
	}
	if len(at) == 0 {
		return out, nil
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		for _, i := range at {
			out[i].Outcome = booking.Unknown
		}
		return out, fmt.Errorf("stock: %w", ErrClosed)
	}
	s.calls.Add(1)
	b.sent = true
	s.mu.Unlock()
	go s.run(b)
	select {
	case <-b.done:
	case <-ctx.Done():
		for _, i := range at {
			out[i].Outcome = booking.Unknown
		}
		return out, fmt.Errorf("stock: the submits' state is unknown: %w", ctx.Err())
	}
	for j, i := range at {
		out[i] = b.results[j]
	}
	return out, b.err
}

// accepted is a submit as it will travel if it is accepted.
func (s *Store) accepted(in Submit) booking.Accepted {
	return booking.Accepted{Ticket: s.opts.Tickets.Of(in.User, in.Key), User: in.User, Item: in.Item,
		At: s.opts.Clock.Now(), Other: in.Other, Senior: in.Senior}
}

// hold is what stands by a user who holds a ticket: ticket and item, and in Entries
// mode, where it may be all that is left of the entry, its moment and flags too.
func (s *Store) hold(a booking.Accepted) string {
	text := a.Ticket.String() + ":" + strconv.Itoa(a.Item)
	if !s.opts.Entries {
		return text
	}
	flags := 0
	if a.Other {
		flags |= 1
	}
	if a.Senior {
		flags |= 2
	}
	return text + ":" + strconv.FormatInt(int64(a.At), 10) + ":" + strconv.Itoa(flags)
}

func validKey(k string) bool {
	if len(k) < 1 || len(k) > KeyMax {
		return false
	}
	for i := range len(k) {
		if k[i] < '!' || k[i] > '~' {
			return false
		}
	}
	return true
}

// join puts a submit into the collecting batch and sends that when it is full.
func (s *Store) join(a booking.Accepted, key string) (*batch, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, fmt.Errorf("stock: %w", ErrClosed)
	}
	b := s.open
	if b == nil {
		b = &batch{done: make(chan struct{})}
		s.open = b
		s.calls.Add(1)
		if s.opts.BatchMax > 1 {
			b.stop = s.opts.Clock.AfterFunc(s.opts.Linger, func() { s.lingered(b) })
		}
	}
	b.submits = append(b.submits, a)
	b.keys = append(b.keys, key)
	if len(b.submits) >= s.opts.BatchMax {
		s.send(b)
	}
	return b, len(b.submits) - 1, nil
}

func (s *Store) lingered(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(b)
}

// send starts the batch's call unless it was sent before. The mutex is held.
func (s *Store) send(b *batch) {
	if b.sent {
		return
	}
	b.sent = true
	if s.open == b {
		s.open = nil
	}
	if b.stop != nil {
		b.stop()
	}
	go s.run(b)
}

// run makes a batch's call and wakes those who wait for it.
func (s *Store) run(b *batch) {
	defer s.calls.Done()
	closedAt, closed := s.call(b)
	close(b.done)
	if closed && s.opts.OnSoldOut != nil {
		s.opts.OnSoldOut(closedAt)
	}
}

// call runs the script for a batch and fills in its results.
func (s *Store) call(b *batch) (closedAt time.Duration, closed bool) {
	flag := func(on bool) string {
		if on {
			return "1"
		}
		return "0"
	}
	now := s.opts.Clock.Now()
	args := make([]any, 0, fixedArgs+perSubmit*len(b.submits))
	args = append(args, s.opts.Depth, int64(now), flag(s.opts.Entries), flag(s.opts.Stream != ""), flag(s.opts.Results != ""), now.Milliseconds())
	for i := range b.submits {
		a := &b.submits[i]
		if s.opts.Entries {
			a.At = now // the moment that the seal is held against
		}
		args = append(args, strconv.FormatUint(uint64(a.User), 10), b.keys[i], strconv.Itoa(a.Item), s.hold(*a), a.Encode())
	}
	// The batch belongs to many callers, so no single one's context ends it.
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
	defer cancel()
	s.nCalls.Add(1)
	s.nSubmits.Add(int64(len(b.submits)))
	out, err := takeScript.Run(ctx, s.client, s.keys, args...).StringSlice()
	if err == nil && len(out) != len(b.submits)+1 {
		err = fmt.Errorf("the script gave %d answers to %d submits", len(out), len(b.submits))
	}
	b.results = make([]Result, len(b.submits))
	if err != nil {
		s.nFailed.Add(1)
		b.err = fmt.Errorf("stock: the submit's state is unknown: %w", err)
		for i := range b.results {
			b.results[i].Outcome = booking.Unknown
		}
		return 0, false
	}
	for i, a := range b.submits {
		var held booking.Accepted
		var holds bool
		if b.results[i], held, holds = answer(out[i], a); b.results[i].Outcome == booking.Unknown {
			b.err = fmt.Errorf("stock: %w", ErrNotOpen)
			if out[i] == string(codeSealed) {
				b.err = fmt.Errorf("stock: %w", ErrSealed)
			}
		}
		if holds {
			s.outbox.add(offer{held, b.keys[i]})
		}
	}
	if out[len(b.submits)] == "z" {
		s.soldOutAt.Store(int64(now))
		s.soldOut.Store(true)
		return now, true
	}
	return 0, false
}

// answer reads one answer of the script to a submit. held is what the ticket holds;
// holds is false when it holds nothing any more.
func answer(code string, in booking.Accepted) (r Result, held booking.Accepted, holds bool) {
	if code == "" {
		return Result{Outcome: booking.Unknown}, held, false
	}
	switch code[0] {
	case codeQueued:
		return Result{Outcome: booking.Queued, Ticket: in.Ticket}, in, true
	case codeReplay:
		if t, err := booking.ParseTicket(code[1:]); err == nil {
			return Result{Outcome: booking.Queued, Ticket: t, Replay: true}, held, false
		}
		a, err := parseHold(code[1:])
		if err != nil {
			break
		}
		if a.User = in.User; a.At == 0 {
			a.At = in.At // a sale's hold does not tell
		}
		return Result{Outcome: booking.Queued, Ticket: a.Ticket, Replay: true, Held: true}, a, true
	case codeInvalid:
		return Result{Outcome: booking.Invalid}, held, false
	case codeDuplicate:
		return Result{Outcome: booking.Duplicate}, held, false
	case codeClosed:
		return Result{Outcome: booking.Closed}, held, false
	case codeSoldOut:
		return Result{Outcome: booking.SoldOut}, held, false
	case codeBusy:
		return Result{Outcome: booking.Busy}, held, false
	}
	return Result{Outcome: booking.Unknown}, held, false
}

// parseHold is the inverse of hold; a sale's has no moment and no flags.
func parseHold(text string) (a booking.Accepted, err error) {
	bad := fmt.Errorf("stock: hold %.80q: want ticket:item, or ticket:item:moment:flags", text)
	ticket, rest, _ := strings.Cut(text, ":")
	item, rest, long := strings.Cut(rest, ":")
	if a.Ticket, err = booking.ParseTicket(ticket); err != nil {
		return booking.Accepted{}, bad
	}
	if a.Item, err = strconv.Atoi(item); err != nil || strconv.Itoa(a.Item) != item {
		return booking.Accepted{}, bad
	}
	if !long {
		return a, nil
	}
	at, flags, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(at, 10, 64)
	f, err2 := strconv.ParseUint(flags, 10, 2)
	if err != nil || err2 != nil || strconv.FormatInt(n, 10) != at || len(flags) != 1 {
		return booking.Accepted{}, bad
	}
	a.At, a.Other, a.Senior = time.Duration(n), f&1 != 0, f&2 != 0
	return a, nil
}

// Free is what is left of each item. It fails with ErrNotOpen when no sale is
// set up. In Entries mode it stays as filled.
func (s *Store) Free(ctx context.Context) ([]int, error) {
	fields := make([]string, s.opts.Items)
	for i := range fields {
		fields[i] = strconv.Itoa(i)
	}
	vals, err := s.client.HMGet(ctx, s.keys[0], fields...).Result()
	if err != nil {
		return nil, fmt.Errorf("stock: reading what is free: %w", err)
	}
	free := make([]int, len(vals))
	for i, v := range vals {
		text, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("stock: item %d: %w", i, ErrNotOpen)
		}
		if free[i], err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("stock: item %d holds %.40q, not a number", i, text)
		}
	}
	return free, nil
}

// SoldOut reports whether all stock is gone. Refunds make it false again.
func (s *Store) SoldOut(ctx context.Context) (bool, error) {
	gone, err := s.client.HExists(ctx, s.keys[0], "closed").Result()
	if err != nil {
		return false, fmt.Errorf("stock: reading the closed flag: %w", err)
	}
	return gone, nil
}

// SoldOutAt is when a submit of this Store last took the last reservation; ok is
// false as long as none did.
func (s *Store) SoldOutAt() (at time.Duration, ok bool) {
	if !s.soldOut.Load() {
		return 0, false
	}
	return time.Duration(s.soldOutAt.Load()), true
}

// Refund gives back the reservation that a ticket took and lets its user book
// again. It reports false, and does nothing, when the ticket holds none: it was
// never accepted or was refunded before. It fails with ErrNotOpen while no sale is
// open.
func (s *Store) Refund(ctx context.Context, a booking.Accepted) (bool, error) {
	item := strconv.Itoa(a.Item)
	n, err := refundScript.Run(ctx, s.client, s.keys[:2],
		strconv.FormatUint(uint64(a.User), 10), a.Ticket.String()+":"+item, item, s.lots()).Int()
	if err != nil {
		return false, fmt.Errorf("stock: refunding ticket %s: %w", a.Ticket, err)
	}
	if n < 0 {
		return false, fmt.Errorf("stock: refunding ticket %s: %w", a.Ticket, ErrNotOpen)
	}
	return n == 1, nil
}

// Holders calls f for everybody who holds a ticket, with user, ticket and item
// set, and in Entries mode the entry as it was accepted, in no stated order; somebody may come twice while the sale runs. It stops
// at f's first error and returns it.
func (s *Store) Holders(ctx context.Context, f func(booking.Accepted) error) error {
	var cursor uint64
	for {
		kv, next, err := s.client.HScan(ctx, s.keys[1], cursor, "", 500).Result()
		if err != nil {
			return fmt.Errorf("stock: reading the holders: %w", err)
		}
		for i := 0; i+1 < len(kv); i += 2 {
			a, err := holder(kv[i], kv[i+1])
			if err != nil {
				return err
			}
			if err := f(a); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func holder(user, value string) (booking.Accepted, error) {
	u, err := strconv.ParseUint(user, 10, 64)
	if err != nil {
		return booking.Accepted{}, fmt.Errorf("stock: holder %.40q: want a number", user)
	}
	a, err := parseHold(value)
	a.User = booking.UserID(u)
	return a, err
}

// Count is how many users hold a ticket.
func (s *Store) Count(ctx context.Context) (int, error) {
	n, err := s.client.HLen(ctx, s.keys[1]).Result()
	if err != nil {
		return 0, fmt.Errorf("stock: counting the holders: %w", err)
	}
	return int(n), nil
}

// Stats is what the Store has done so far.
func (s *Store) Stats() Stats {
	return Stats{Calls: s.nCalls.Load(), Submits: s.nSubmits.Load(), Failed: s.nFailed.Load()}
}

// Close sends what is collected, waits for every call under way and refuses
// later submits with unknown. It leaves the client open and never fails.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	if s.open != nil {
		s.send(s.open)
	}
	s.mu.Unlock()
	s.calls.Wait()
	return nil
}
