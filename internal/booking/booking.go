package booking

import (
	"fmt"
	"time"
)

// UserID names one person. Bots have ids from the population's size upwards.
// The zero value is the first user.
type UserID uint64

// VisitID names one opening of the program, in order of arrival, from 0.
type VisitID uint64

// Mode is the shape of the service, as it grew through the spring of 2020.
type Mode uint8

// The modes. Enums start at 1 so that a forgotten value is never a valid one.
const (
	// ModeLossless reads and writes the database in real time, synchronously.
	ModeLossless Mode = iota + 1
	// ModeTimedWriter accepts in the store; a timer flushes to the database.
	ModeTimedWriter
	// ModeQueued is the full degradation path with a message queue.
	ModeQueued
	// ModeLottery takes entries around the clock; winners are drawn later.
	ModeLottery
)

var modes = names{"", "lossless", "timed-writer", "queued", "lottery"}

// String returns the mode's name as scenario files write it.
func (m Mode) String() string { return modes.of(int(m)) }

// ParseMode is the inverse of String. It fails on any other word.
func ParseMode(s string) (Mode, error) {
	i, err := modes.parse("mode", s)
	return Mode(i), err
}

// Modes lists every mode name.
func Modes() []string { return modes[1:] }

// Step is one kind of request a visitor makes.
type Step uint8

// The steps, in the order of a visit.
const (
	// StepConfig fetches the runtime config from the edge.
	StepConfig Step = iota + 1
	// StepStatus asks, before the form, whether booking is open.
	StepStatus
	// StepCatalogue fetches the catalogue when the form opens.
	StepCatalogue
	// StepCheck is the closed check after the gate, before the submit.
	StepCheck
	// StepSubmit posts the booking.
	StepSubmit
	// StepPoll asks for the result of a queued booking.
	StepPoll
)

var steps = names{"", "config", "status", "catalogue", "check", "submit", "poll"}

// String returns the step's name as records and objectives write it.
func (s Step) String() string { return steps.of(int(s)) }

// ParseStep is the inverse of String.
func ParseStep(s string) (Step, error) {
	i, err := steps.parse("step", s)
	return Step(i), err
}

// Steps lists every step name in the order of a visit.
func Steps() []string { return steps[1:] }

// Outcome is what became of one request. It is carried in a header by whoever
// knows it and never inferred from a status code.
type Outcome uint8

// The outcomes.
const (
	// OK is a static object served.
	OK Outcome = iota + 1
	// Wait says booking is not open yet.
	Wait
	// Open says booking is open.
	Open
	// Closed says booking is over: time is up or all stock is gone.
	Closed
	// Queued is a submit accepted; its result comes later.
	Queued
	// Confirmed is a reservation that stands in the ledger.
	Confirmed
	// Pending is a poll whose result is not there yet.
	Pending
	// Refused is a final no from the ledger to a ticket once accepted.
	Refused
	// Duplicate refuses a submit because its user already holds a ticket.
	Duplicate
	// SoldOut refuses a submit because that item is gone; others may remain.
	SoldOut
	// Busy refuses a submit because the queue is at its bound.
	Busy
	// Shed refuses a request because the waiting room is full.
	Shed
	// Limited refuses a request at the in-flight limit.
	Limited
	// Expired is a request dropped at dequeue: its client is gone or it waited too long.
	Expired
	// Degraded refuses a request because of its class on the present rung.
	Degraded
	// BadCoin refuses a submit whose admission draw does not check.
	BadCoin
	// OverBudget refuses a retry because the retry budget is spent.
	OverBudget
	// Off refuses a request by a kill switch in the config.
	Off
	// Invalid refuses a malformed request.
	Invalid
	// Unknown says the state cannot be told now (store trouble, no such ticket); never "failed".
	Unknown
	// Timeout is the client's own deadline passing with no reply.
	Timeout
	// Failed is a transport error: refused, reset, no route.
	Failed
	// Unsent is a request that was due and that the generator never sent.
	Unsent
	// Unmapped is a reply that carries no outcome this program knows.
	Unmapped
)

var outcomes = names{"", "ok", "wait", "open", "closed", "queued", "confirmed", "pending", "refused",
	"duplicate", "sold-out", "busy", "shed", "limited", "expired", "degraded", "bad-coin", "over-budget",
	"off", "invalid", "unknown", "timeout", "failed", "unsent", "unmapped"}

// String returns the outcome's name as headers, records and objectives write it.
func (o Outcome) String() string { return outcomes.of(int(o)) }

// ParseOutcome is the inverse of String.
func ParseOutcome(s string) (Outcome, error) {
	i, err := outcomes.parse("outcome", s)
	return Outcome(i), err
}

// Outcomes lists every outcome name.
func Outcomes() []string { return outcomes[1:] }

// Refusal reports whether the backend answered and said no: the outcomes a
// figure of refusals by cause counts. Timeouts and transport errors are not
// refusals, for nobody said anything.
func (o Outcome) Refusal() bool { return o >= Duplicate && o <= Invalid || o == Refused }

// Trouble reports whether the visitor saw an error: it locks the button and may
// press again.
func (o Outcome) Trouble() bool {
	switch o {
	case Busy, Shed, Limited, Expired, Degraded, OverBudget, Off, Unknown, Timeout, Failed, Unmapped, Invalid, BadCoin:
		return true
	}
	return false
}

// State is the cached answer of the closed check.
type State uint8

// The states, in the words of the original service.
const (
	StateWait     State = iota + 1 // not open yet
	StatePreorder                  // open
	StateFinish                    // over
)

var states = names{"", "wait", "preorder", "finish"}

// String returns the state's word on the wire.
func (s State) String() string { return states.of(int(s)) }

// Outcome is the state as the outcome of a status call.
func (s State) Outcome() Outcome {
	switch s {
	case StateWait:
		return Wait
	case StatePreorder:
		return Open
	case StateFinish:
		return Closed
	}
	return Unknown
}

// Rung is a step of the degradation ladder; a higher rung serves less.
type Rung uint8

// The rungs.
const (
	// RungFull serves everything.
	RungFull Rung = iota + 1
	// RungNoResults hides the result list: polls are answered "later".
	RungNoResults
	// RungNoLow also refuses the lowest class.
	RungNoLow
	// RungTopOnly serves the highest class alone.
	RungTopOnly
)

var rungs = names{"", "full", "no-results", "no-low-class", "top-class-only"}

// String returns the rung's name.
func (r Rung) String() string { return rungs.of(int(r)) }

// Purpose says what a keyed draw is for, so that two draws of one visitor never
// share luck. It is an alias: package draw knows no booking words.
type Purpose = uint8

// The purposes. Values are part of every seed's meaning: append only.
const (
	DrawArrival Purpose = iota + 1
	DrawUser
	DrawBooks
	DrawNotice
	DrawForm
	DrawHuman
	DrawCoin
	DrawGiveUp
	DrawItem
	DrawLanguage
	DrawPoll
	DrawHistory
	DrawClass
	DrawBot
	DrawService
	DrawTicket
	DrawPhase
	DrawJitter
	DrawFault
)

// Ticket is the unguessable name of an accepted submit: 128 bits,
// written as 32 hex digits. The zero value is "none".
type Ticket [16]byte

// String returns the 32 hex digits.
func (t Ticket) String() string { return fmt.Sprintf("%x", t[:]) }

// append adds them to a text.
func (t Ticket) append(b []byte) []byte {
	for _, c := range t {
		b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return b
}

// IsZero reports whether there is no ticket.
func (t Ticket) IsZero() bool { return t == Ticket{} }

// ParseTicket reads 32 hex digits. It fails on anything else.
func ParseTicket(s string) (Ticket, error) {
	var t Ticket
	if len(s) != 2*len(t) {
		return Ticket{}, fmt.Errorf("ticket %.40q: want 32 hex digits", s)
	}
	for i := range t {
		hi, lo := unhex(s[2*i]), unhex(s[2*i+1])
		if hi > 15 || lo > 15 {
			return Ticket{}, fmt.Errorf("ticket %.40q: want 32 lower-case hex digits", s)
		}
		t[i] = hi<<4 | lo
	}
	return t, nil
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// Class is one group of users that is served alike, after DAGOR (SoCC'18):
// province and grade of the account, at some times of the day.
type Class struct {
	Name     string  `json:"name"`
	Province string  `json:"province"`
	Grade    string  `json:"grade"`
	Share    float64 `json:"share"`    // of the population, 0..1
	Priority int     `json:"priority"` // 1 is served first
	// From and Until bound the hours in which Priority holds, as offsets from
	// the opening; both zero means always. Outside them the lowest priority holds.
	From  time.Duration `json:"from,omitempty"`
	Until time.Duration `json:"until,omitempty"`
}

type names []string

func (n names) of(i int) string {
	if i <= 0 || i >= len(n) {
		return fmt.Sprintf("invalid(%d)", i)
	}
	return n[i]
}

func (n names) parse(what, s string) (int, error) {
	for i := 1; i < len(n); i++ {
		if n[i] == s {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %.40q: one of %v", what, s, []string(n[1:]))
}
