package policy

import (
	"fmt"
	"time"

	"spillway/internal/booking"
)

// Luck is the visitor's source of keyed draws; draw.Seed is one.
type Luck interface {
	U64(purpose booking.Purpose, id uint64, attempt uint32) uint64
	Uniform(purpose booking.Purpose, id uint64, attempt uint32) float64
	Between(purpose booking.Purpose, id uint64, attempt uint32, lo, hi time.Duration) time.Duration
	LogNormal(purpose booking.Purpose, id uint64, attempt uint32, mean time.Duration, cv float64) time.Duration
}

// Runtime is the runtime config as one client holds it.
type Runtime struct {
	Version     uint32  // names the config; equal versions are equal configs
	Gate        Gate    //
	Probability float64 // admission probability, 0..1
	Coin        Coin    // used by GateCoin
	Results     bool    // the entry to the result list is switched on
}

// Program is the visitor's behaviour: one value for all visitors of a run, in
// run time. It is never changed after the start, so any goroutine may use it.
type Program struct {
	BookingShare       float64       // share of visits that try to book, 0..1
	Notice, Form       time.Duration // mean think times: opening to notice read, form filled
	ThinkCV            float64       // coefficient of variation of both; 0 = constant
	Lock               time.Duration // button locked after a lost press, "wait" or an error
	HumanMin, HumanMax time.Duration // reaction of the person when the lock ends
	GiveUp             float64       // chance to give up after each lock, 0..1
	Timeout            time.Duration // client timeout of each request
	ConfigLife         time.Duration // life of the config in the client
	PollEvery          time.Duration // period of result polls
	PollJitter         time.Duration // uniform extra on each period
	Jitter             bool          // lock jittered up to half its length (improved client)
	HonoursRetryAfter  bool          // improved client: waits as told, stops when told
	Items              int           // items (shops) to choose from, >= 1
	ExpressShare       float64       // share of demand for item 0; 0 = all alike
	English            float64       // share of users with the English catalogue, 0..1
	BotEvery           time.Duration // period of a bot's posts
}

// User is what one person's client remembers between visits. The zero value is
// a user who has never opened the program.
type User struct {
	Visit         booking.VisitID // the open visit, plus one; 0 = none
	ConfigAt      time.Duration   // when the config copy was fetched
	ConfigVersion uint32
	HasConfig     bool
	Holds         Hold
}

// Hold is what a user's client knows of a reservation of its own.
type Hold uint8

// The holds.
const (
	HoldNone       Hold = iota // nothing
	HoldSubmitting             // a submit is on its way
	HoldTicket                 // queued, result to come
	HoldBooked                 // confirmed, or told "duplicate"
)

// Phase is where in the visit a visitor stands.
type Phase uint8

// The phases: those that end in Req have a request under way, the others wait.
const (
	PhaseNew Phase = iota
	PhaseConfigReq
	PhaseNotice
	PhaseStatusReq
	PhaseCatalogueReq
	PhaseForm
	PhaseCheckReq
	PhaseSubmitReq
	PhaseLocked // then the step that failed, again
	PhasePollWait
	PhasePollReq
	PhaseBotWait
	PhaseDone
)

// Final is how a visit ended.
type Final uint8

// The finals.
const (
	InFlight       Final = iota // the run ended first; the zero value
	Left                        // only looked
	SawClosed                   // was told booking is over
	GaveUpWaiting               // gave up before the opening
	GaveUpAtGate                // gave up after a lost press
	GaveUpRefused               // gave up after a refusal
	GaveUpError                 // gave up after a timeout or a transport error
	Superseded                  // the same user opened the program again
	Resumed                     // an older visit of the user is still under way and goes on
	HasBooking                  // the client remembers a reservation of its own
	GotDuplicate                // the backend says the user already holds one
	GotConfirmed                // holds a confirmed booking
	GotRefused                  // final no to a ticket once accepted
	ToldNotToRetry              // stopped because the answer said so
	finals                      // count
)

var finalNames = [...]string{"in-flight", "left", "saw-closed", "gave-up-waiting", "gave-up-at-gate",
	"gave-up-refused", "gave-up-error", "superseded", "resumed", "has-booking", "duplicate",
	"confirmed", "refused", "told-not-to-retry"}

// String returns the final's name as records write it.
func (f Final) String() string {
	if int(f) >= len(finalNames) {
		return fmt.Sprintf("invalid(%d)", f)
	}
	return finalNames[f]
}

// Finals lists every final.
func Finals() []Final {
	out := make([]Final, finals)
	for i := range out {
		out[i] = Final(i)
	}
	return out
}

// Visitor is the state of one visit: 72 bytes, for a hundred thousand of them
// wait at once.
type Visitor struct {
	Visit      booking.VisitID
	User       booking.UserID
	FirstPress time.Duration  // due moment of the first press; meaningful when Presses > 0
	PressedAt  time.Duration  // due moment of the latest press
	Ticket     booking.Ticket // once queued
	Epoch      int64          // epoch claimed by the latest press, GateCoin only
	Class      int8           // index into the scenario's classes
	Phase      Phase
	Final      Final
	Bot        bool
	Again      booking.Step    // PhaseLocked: what to do when it ends; StepSubmit = press
	Cause      booking.Outcome // what the lock was for; 0 = a lost press
	Item       uint16          // chosen item
	Presses    uint16
	Submits    uint16
	Polls      uint16
	Locks      uint16
	Statuses   uint16
}

// Event is what happened to a visitor.
type Event uint8

// The events.
const (
	Arrive  Event = iota + 1 // the visit begins
	Wake                     // the moment named by the last Wait has come
	Replied                  // the request named by the last Send was answered or given up
)

// Reply is the answer to a request.
type Reply struct {
	Outcome    booking.Outcome
	Ticket     booking.Ticket
	Config     uint32        // StepConfig with OK: the version now held
	RetryAfter time.Duration // 0 = not said
	NoRetry    bool          // the answer says: do not retry
}

// Kind says what a move is.
type Kind uint8

// The kinds of move.
const (
	Wait Kind = iota + 1 // wake me At
	Send                 // send Step now
	End                  // the visit is over; see Visitor.Final
)

// Marks are what a move counts, besides the request itself.
type Marks uint8

// The marks.
const (
	MarkPress      Marks = 1 << iota // a press
	MarkFirstPress                   // the first press of the visit
	MarkCoinLost                     // the coin said no
	MarkCoinPassed                   // the coin said yes
	MarkForm                         // the form opened
	MarkLock                         // the button was locked
)

// Move is what a visitor does next.
type Move struct {
	Kind    Kind
	Step    booking.Step  // Send
	Attempt uint16        // Send: 1 = the first of this step in this visit
	At      time.Duration // Wait: when to wake
	Timeout time.Duration // Send: give up waiting for the answer after this
	Marks   Marks
}

// New is the visitor of one visit, before it arrives.
func (p *Program) New(visit booking.VisitID, user booking.UserID, class int, luck Luck) Visitor {
	return Visitor{Visit: visit, User: user, Class: int8(class), Item: p.item(uint64(visit), 0, luck)}
}

// NewBot is a bot: it skips config, form and gate, and posts every BotEvery.
func (p *Program) NewBot(visit booking.VisitID, user booking.UserID, class int, luck Luck) Visitor {
	v := p.New(visit, user, class, luck)
	v.Bot = true
	return v
}

// Books reports whether a visit tries to book.
func (p *Program) Books(visit booking.VisitID, luck Luck) bool {
	return luck.Uniform(booking.DrawBooks, uint64(visit), 0) < p.BookingShare
}

// InEnglish reports whether the user reads the English catalogue.
func (p *Program) InEnglish(user booking.UserID, luck Luck) bool {
	return luck.Uniform(booking.DrawLanguage, uint64(user), 0) < p.English
}

// Next tells what the visitor does after an event. now is the moment of the
// event: for Wake the moment that was due, for Replied when the answer came.
// user is the visitor's client, shared by that user's visits; config tells the
// copy it holds (looked up by User.ConfigVersion). v and user are updated.
func (p *Program) Next(v *Visitor, user *User, config Runtime, now time.Duration, e Event, r Reply, luck Luck) Move {
	if v.Phase == PhaseDone {
		return Move{Kind: End}
	}
	if v.Bot {
		return p.bot(v, now, e, r, luck)
	}
	if e == Arrive {
		return p.arrive(v, user, config, now, luck)
	}
	// Only a visit of a user who holds nothing can be replaced, see arrive.
	if user.Visit != v.Visit+1 && v.Phase != PhaseConfigReq {
		return v.end(Superseded)
	}
	switch v.Phase {
	case PhaseConfigReq:
		// A client that cannot have the config goes on with the defaults of the
		// program (Version 0), as the original did.
		if r.Outcome == booking.OK {
			user.ConfigAt, user.ConfigVersion, user.HasConfig = now, r.Config, true
		}
		return p.opened(v, user, now, luck)
	case PhaseNotice:
		return p.status(v)
	case PhaseStatusReq:
		switch r.Outcome {
		case booking.Open:
			v.Phase = PhaseCatalogueReq
			return Move{Kind: Send, Step: booking.StepCatalogue, Attempt: 1, Timeout: p.Timeout, Marks: MarkForm}
		case booking.Closed:
			return v.end(SawClosed)
		}
		return p.lock(v, now, booking.StepStatus, r, luck)
	case PhaseCatalogueReq:
		if r.Outcome != booking.OK {
			return p.lock(v, now, booking.StepCatalogue, r, luck)
		}
		v.Phase = PhaseForm
		return Move{Kind: Wait, At: p.FormFilled(v.Visit, now, luck)}
	case PhaseForm:
		return p.press(v, user, config, now, luck)
	case PhaseLocked:
		return p.unlocked(v, user, config, now, luck)
	case PhaseCheckReq:
		switch r.Outcome {
		case booking.Open:
			return p.submit(v, user)
		case booking.Closed:
			return v.end(SawClosed)
		}
		return p.lock(v, now, booking.StepSubmit, r, luck)
	case PhaseSubmitReq:
		return p.submitted(v, user, now, r, luck)
	case PhasePollWait:
		v.Polls++
		if !config.Results {
			return p.pollLater(v, now, Reply{}, luck) // the program shows no way to the list
		}
		v.Phase = PhasePollReq
		return Move{Kind: Send, Step: booking.StepPoll, Attempt: v.Polls, Timeout: p.Timeout}
	case PhasePollReq:
		switch r.Outcome {
		case booking.Confirmed:
			user.Holds = HoldBooked
			return v.end(GotConfirmed)
		case booking.Refused:
			user.Holds = HoldNone
			return v.end(GotRefused)
		}
		return p.pollLater(v, now, r, luck)
	}
	return v.end(v.Final)
}

func (v *Visitor) end(f Final) Move {
	v.Phase, v.Final = PhaseDone, f
	return Move{Kind: End}
}

func (p *Program) arrive(v *Visitor, user *User, config Runtime, now time.Duration, luck Luck) Move {
	user.Open(v.Visit)
	if p.Fetches(user, now) {
		v.Phase = PhaseConfigReq
		return Move{Kind: Send, Step: booking.StepConfig, Attempt: 1, Timeout: p.Timeout}
	}
	return p.opened(v, user, now, luck)
}

// Open notes that the user has opened the program: the new visit takes the place
// of an older one, unless that has come so far that it goes on.
func (u *User) Open(visit booking.VisitID) {
	if u.Holds == HoldNone {
		u.Visit = visit + 1
	}
}

// Fetches reports whether the user's client needs a config before it goes on.
func (p *Program) Fetches(user *User, now time.Duration) bool {
	return !user.HasConfig || now-user.ConfigAt >= p.ConfigLife
}

func (p *Program) opened(v *Visitor, user *User, now time.Duration, luck Luck) Move {
	if f := user.Start(v.Visit, p.Books(v.Visit, luck)); f != InFlight {
		return v.end(f)
	}
	v.Phase = PhaseNotice
	return Move{Kind: Wait, At: p.NoticeRead(v.Visit, now, luck)}
}

// Start is how a visit ends as soon as its program stands open with its config, or
// InFlight when it goes on to the notice, as one that books does.
func (u *User) Start(visit booking.VisitID, books bool) Final {
	switch {
	case u.Holds == HoldBooked:
		return HasBooking
	case u.Holds != HoldNone:
		return Resumed
	case u.Visit != visit+1:
		return Superseded
	case !books:
		return Left
	}
	return InFlight
}

// NoticeRead is when a visit whose program stands open since a moment has got past
// the notice.
func (p *Program) NoticeRead(visit booking.VisitID, opened time.Duration, luck Luck) time.Duration {
	return opened + luck.LogNormal(booking.DrawNotice, uint64(visit), 0, p.Notice, p.ThinkCV)
}

// FormFilled is when a visit presses for the first time whose form stands open since a
// moment.
func (p *Program) FormFilled(visit booking.VisitID, opened time.Duration, luck Luck) time.Duration {
	return opened + luck.LogNormal(booking.DrawForm, uint64(visit), 0, p.Form, p.ThinkCV)
}

func (p *Program) status(v *Visitor) Move {
	v.Phase = PhaseStatusReq
	v.Statuses++
	return Move{Kind: Send, Step: booking.StepStatus, Attempt: v.Statuses, Timeout: p.Timeout}
}

func (p *Program) press(v *Visitor, user *User, config Runtime, now time.Duration, luck Luck) Move {
	marks := MarkPress
	if v.Presses == 0 {
		marks |= MarkFirstPress
		v.FirstPress = now
	}
	v.Presses++
	v.PressedAt = now
	passed, epoch, epochEnds := p.Toss(v.Visit, v.User, v.Presses, &config, now, luck)
	v.Epoch = epoch
	if passed {
		v.Phase = PhaseCheckReq
		return Move{Kind: Send, Step: booking.StepCheck, Attempt: v.Presses, Timeout: p.Timeout, Marks: marks | MarkCoinPassed}
	}
	v.Phase, v.Again, v.Cause = PhaseLocked, booking.StepSubmit, 0
	v.Locks++
	return Move{Kind: Wait, At: p.LostUntil(v.Visit, v.Locks, now, epochEnds, luck), Marks: marks | MarkLock | MarkCoinLost}
}

// Toss is what the gate says to the n-th press of a visit. Of the checkable coin it
// also tells the epoch and its end, when a press may succeed again; 0 for other gates.
func (p *Program) Toss(visit booking.VisitID, user booking.UserID, n uint16, config *Runtime, now time.Duration, luck Luck) (passed bool, epoch int64, ends time.Duration) {
	switch config.Gate {
	case GateOriginal:
		u := luck.Uniform(booking.DrawCoin, uint64(visit), uint32(n))
		return OriginalPasses(int(config.Probability*100+0.5), u), 0, 0
	case GateCoin:
		epoch, ends = config.Coin.Turn(user, now)
		return config.Coin.Passes(user, epoch, config.Probability), epoch, ends
	}
	return true, 0, 0
}

// LostUntil is when a visit presses again whose press was lost at a moment and locked
// its button for the n-th time. epochEnds is Toss's: a press before the epoch turns
// would lose again, and the client knows it.
func (p *Program) LostUntil(visit booking.VisitID, n uint16, now, epochEnds time.Duration, luck Luck) time.Duration {
	d, human := p.lockFor(visit, n, 0, luck)
	return max(now+d, epochEnds) + human
}

// lockFor is how long the button is locked, and what the person takes then.
func (p *Program) lockFor(visit booking.VisitID, n uint16, retryAfter time.Duration, luck Luck) (d, human time.Duration) {
	d = p.Lock
	if p.HonoursRetryAfter {
		d = max(d, retryAfter)
	}
	if p.Jitter {
		d += luck.Between(booking.DrawJitter, uint64(visit), uint32(n), 0, p.Lock/2)
	}
	return d, luck.Between(booking.DrawHuman, uint64(visit), uint32(n), p.HumanMin, p.HumanMax)
}

func (p *Program) submit(v *Visitor, user *User) Move {
	v.Phase = PhaseSubmitReq
	v.Submits++
	user.Holds = HoldSubmitting
	return Move{Kind: Send, Step: booking.StepSubmit, Attempt: v.Submits, Timeout: p.Timeout}
}

func (p *Program) submitted(v *Visitor, user *User, now time.Duration, r Reply, luck Luck) Move {
	user.Holds = HoldNone
	switch r.Outcome {
	case booking.Queued:
		user.Holds = HoldTicket
		v.Ticket = r.Ticket
		return p.pollLater(v, now, r, luck)
	case booking.Confirmed:
		user.Holds = HoldBooked
		v.Ticket = r.Ticket
		return v.end(GotConfirmed)
	case booking.Duplicate:
		user.Holds = HoldBooked
		return v.end(GotDuplicate)
	case booking.Closed:
		return v.end(SawClosed)
	case booking.SoldOut:
		v.Item = p.item(uint64(v.Visit), uint32(v.Submits), luck)
	}
	return p.lock(v, now, booking.StepSubmit, r, luck)
}

func (p *Program) pollLater(v *Visitor, now time.Duration, r Reply, luck Luck) Move {
	v.Phase = PhasePollWait
	return Move{Kind: Wait, At: p.PollsAgain(v.Visit, v.Polls, now, r.RetryAfter, luck)}
}

// PollsAgain is when a visit polls that has polled n times, from a moment on, with a
// server's advice of 0 for none.
func (p *Program) PollsAgain(visit booking.VisitID, n uint16, now, retryAfter time.Duration, luck Luck) time.Duration {
	d := luck.Between(booking.DrawPoll, uint64(visit), uint32(n), p.PollEvery, p.PollEvery+p.PollJitter)
	if p.HonoursRetryAfter {
		d = max(d, retryAfter)
	}
	return now + d
}

// lock locks the button after an answer that was no.
func (p *Program) lock(v *Visitor, now time.Duration, again booking.Step, r Reply, luck Luck) Move {
	if p.HonoursRetryAfter && r.NoRetry {
		return v.end(ToldNotToRetry)
	}
	v.Cause = r.Outcome
	v.Phase, v.Again = PhaseLocked, again
	v.Locks++
	return Move{Kind: Wait, At: p.LockEnds(v.Visit, v.Locks, now, r.RetryAfter, luck), Marks: MarkLock}
}

// LockEnds is when a visit goes on whose button is locked for the n-th time at a
// moment, with a server's advice of 0 for none.
func (p *Program) LockEnds(visit booking.VisitID, n uint16, now, retryAfter time.Duration, luck Luck) time.Duration {
	d, human := p.lockFor(visit, n, retryAfter, luck)
	return now + d + human
}

// GivesUp is how a visit ends at the end of its n-th lock, which had a cause (0 = a
// lost press); InFlight when it goes on.
func (p *Program) GivesUp(visit booking.VisitID, n uint16, cause booking.Outcome, luck Luck) Final {
	if luck.Uniform(booking.DrawGiveUp, uint64(visit), uint32(n)) >= p.GiveUp {
		return InFlight
	}
	return GaveUp(cause)
}

// GaveUp is how a visit ends that gives up at the end of a lock with a cause.
func GaveUp(cause booking.Outcome) Final {
	switch cause {
	case 0:
		return GaveUpAtGate
	case booking.Wait:
		return GaveUpWaiting
	case booking.Timeout, booking.Failed, booking.Unmapped, booking.Unknown:
		return GaveUpError
	}
	return GaveUpRefused
}

func (p *Program) unlocked(v *Visitor, user *User, config Runtime, now time.Duration, luck Luck) Move {
	if f := p.GivesUp(v.Visit, v.Locks, v.Cause, luck); f != InFlight {
		return v.end(f)
	}
	switch v.Again {
	case booking.StepStatus:
		return p.status(v)
	case booking.StepCatalogue:
		v.Phase = PhaseCatalogueReq
		return Move{Kind: Send, Step: booking.StepCatalogue, Attempt: 2, Timeout: p.Timeout}
	}
	return p.press(v, user, config, now, luck)
}

// bot posts at a fixed beat from its arrival on, whatever the answer, until it
// is queued, then polls like anybody.
func (p *Program) bot(v *Visitor, now time.Duration, e Event, r Reply, luck Luck) Move {
	post := func() Move {
		v.Phase = PhaseSubmitReq
		v.Submits++
		v.PressedAt = now
		marks := MarkPress
		if v.Presses == 0 {
			v.FirstPress = now
			marks |= MarkFirstPress
		}
		v.Presses++
		return Move{Kind: Send, Step: booking.StepSubmit, Attempt: v.Submits, Timeout: p.Timeout, Marks: marks}
	}
	switch {
	case e == Arrive, e == Wake && v.Phase == PhaseBotWait:
		return post()
	case e == Wake: // PhasePollWait
		v.Phase = PhasePollReq
		v.Polls++
		return Move{Kind: Send, Step: booking.StepPoll, Attempt: v.Polls, Timeout: p.Timeout}
	}
	switch r.Outcome {
	case booking.Queued:
		v.Ticket = r.Ticket
		return p.pollLater(v, now, r, luck)
	case booking.Confirmed:
		return v.end(GotConfirmed)
	case booking.Refused:
		return v.end(GotRefused)
	case booking.Duplicate:
		return v.end(GotDuplicate)
	case booking.Closed:
		return v.end(SawClosed)
	case booking.SoldOut:
		v.Item = p.item(uint64(v.Visit), uint32(v.Submits), luck)
	}
	if v.Phase == PhasePollReq {
		return p.pollLater(v, now, r, luck)
	}
	v.Phase = PhaseBotWait
	return Move{Kind: Wait, At: max(now, v.PressedAt+p.BotEvery)}
}

// Item is a visit's first choice of an item.
func (p *Program) Item(visit booking.VisitID, luck Luck) uint16 {
	return p.item(uint64(visit), 0, luck)
}

// item is the visitor's n-th choice of an item.
func (p *Program) item(visit uint64, n uint32, luck Luck) uint16 {
	if p.Items <= 1 {
		return 0
	}
	u := luck.Uniform(booking.DrawItem, visit, n)
	if p.ExpressShare <= 0 {
		return uint16(u * float64(p.Items))
	}
	if u < p.ExpressShare {
		return 0
	}
	rest := (u - p.ExpressShare) / (1 - p.ExpressShare)
	return 1 + min(uint16(rest*float64(p.Items-1)), uint16(p.Items-2))
}
