package policy

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/draw"
)

func program() *Program {
	return &Program{BookingShare: 1, Notice: 3 * time.Second, Form: 6 * time.Second, Lock: 5 * time.Second,
		HumanMin: time.Second, HumanMax: time.Second, Timeout: 15 * time.Second, ConfigLife: 10 * time.Minute,
		PollEvery: 5 * time.Second, Items: 7, BotEvery: 2 * time.Second}
}

// script plays a list of replies to one visitor and writes down what it does.
func script(p *Program, config Runtime, replies ...Reply) string {
	var b strings.Builder
	v, user := p.New(1, 1, 0, draw.Seed(1)), User{}
	now := time.Duration(0)
	m := p.Next(&v, &user, config, now, Arrive, Reply{}, draw.Seed(1))
	for {
		switch m.Kind {
		case Send:
			fmt.Fprintf(&b, "%v %v", now, m.Step)
			if m.Attempt > 1 {
				fmt.Fprintf(&b, "#%d", m.Attempt)
			}
			if len(replies) == 0 {
				return b.String()
			}
			fmt.Fprintf(&b, "→%v; ", replies[0].Outcome)
			m = p.Next(&v, &user, config, now, Replied, replies[0], draw.Seed(1))
			replies = replies[1:]
		case Wait:
			now = m.At
			m = p.Next(&v, &user, config, now, Wake, Reply{}, draw.Seed(1))
		case End:
			fmt.Fprintf(&b, "%v", v.Final)
			return b.String()
		}
	}
}

func TestJourneys(t *testing.T) {
	open := Runtime{Gate: GateOff, Results: true}
	r := func(os ...booking.Outcome) (out []Reply) {
		for _, o := range os {
			out = append(out, Reply{Outcome: o})
		}
		return
	}
	impatient := *program()
	impatient.GiveUp = 1
	polite := *program()
	polite.HonoursRetryAfter = true
	looker := *program()
	looker.BookingShare = 0
	for _, c := range []struct {
		name    string
		p       *Program
		replies []Reply
		want    string
	}{
		{"queued and confirmed", program(), r(booking.OK, booking.Open, booking.OK, booking.Open, booking.Queued, booking.Pending, booking.Confirmed),
			"0s config→ok; 3s status→open; 3s catalogue→ok; 9s check→open; 9s submit→queued; 14s poll→pending; 19s poll#2→confirmed; confirmed"},
		{"before the opening", program(), r(booking.OK, booking.Wait, booking.Closed),
			"0s config→ok; 3s status→wait; 9s status#2→closed; saw-closed"},
		{"busy, then a new press", program(), r(booking.OK, booking.Open, booking.OK, booking.Open, booking.Busy, booking.Open, booking.Confirmed),
			"0s config→ok; 3s status→open; 3s catalogue→ok; 9s check→open; 9s submit→busy; 15s check#2→open; 15s submit#2→confirmed; confirmed"},
		{"a timeout and no patience", &impatient, r(booking.OK, booking.Timeout),
			"0s config→ok; 3s status→timeout; gave-up-error"},
		{"refused and no patience", &impatient, r(booking.OK, booking.Open, booking.OK, booking.Shed),
			"0s config→ok; 3s status→open; 3s catalogue→ok; 9s check→shed; gave-up-refused"},
		{"waiting and no patience", &impatient, r(booking.OK, booking.Wait),
			"0s config→ok; 3s status→wait; gave-up-waiting"},
		{"told not to retry", &polite, append(r(booking.OK), Reply{Outcome: booking.Off, NoRetry: true}),
			"0s config→ok; 3s status→off; told-not-to-retry"},
		{"told when to retry", &polite, append(r(booking.OK), Reply{Outcome: booking.Shed, RetryAfter: 20 * time.Second}),
			"0s config→ok; 3s status→shed; 24s status#2"},
		{"only looks", &looker, r(booking.OK), "0s config→ok; left"},
		{"config fails, goes on", program(), r(booking.Failed), "0s config→failed; 3s status"},
		{"duplicate", program(), r(booking.OK, booking.Open, booking.OK, booking.Open, booking.Duplicate),
			"0s config→ok; 3s status→open; 3s catalogue→ok; 9s check→open; 9s submit→duplicate; duplicate"},
	} {
		if got := script(c.p, open, c.replies...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// While the entry to the result list is off, a queued visitor sends no poll.
func TestResultsSwitchedOff(t *testing.T) {
	p, seed, user := program(), draw.Seed(1), User{HasConfig: true, Visit: 2, Holds: HoldTicket}
	v := Visitor{Visit: 1, Phase: PhasePollWait}
	if m := p.Next(&v, &user, Runtime{}, 5*time.Second, Wake, Reply{}, seed); m.Kind != Wait || m.At != 10*time.Second {
		t.Errorf("with the entry off: %+v", m)
	}
	if m := p.Next(&v, &user, Runtime{Results: true}, 10*time.Second, Wake, Reply{}, seed); m.Kind != Send || m.Step != booking.StepPoll {
		t.Errorf("with the entry on: %+v", m)
	}
}

// A lost press sends nothing and locks for exactly 5 s plus the person's
// reaction; the share of presses that pass is the gate's. Binomial, n ≈ 21,000
// presses at 21 %, six standard errors, fixed seed.
func TestGateInTheJourney(t *testing.T) {
	p := program()
	config := Runtime{Gate: GateOriginal, Probability: 0.20}
	presses, passed := 0, 0
	for i := range booking.VisitID(4500) {
		seed := draw.Seed(3)
		v, user := p.New(i, booking.UserID(i), 0, seed), User{HasConfig: true, Visit: i + 1}
		v.Phase = PhaseForm
		now := time.Duration(0)
		for {
			m := p.Next(&v, &user, config, now, Wake, Reply{}, seed)
			presses++
			if m.Kind == Send {
				if m.Step != booking.StepCheck || m.Marks&MarkCoinPassed == 0 {
					t.Fatalf("passed press sends %v with marks %b", m.Step, m.Marks)
				}
				passed++
				break
			}
			if m.At-now != 6*time.Second || m.Marks&(MarkCoinLost|MarkLock) != MarkCoinLost|MarkLock {
				t.Fatalf("lost press waits %v, marks %b", m.At-now, m.Marks)
			}
			now = m.At
		}
	}
	if got := float64(passed) / float64(presses); math.Abs(got-0.21) > 6*math.Sqrt(0.21*0.79/float64(presses)) {
		t.Errorf("%d of %d presses passed: %v", passed, presses, got)
	}
}

// A user who opens the program again replaces the older visit, unless a submit
// of that one is under way.
func TestReopening(t *testing.T) {
	p, seed, config := program(), draw.Seed(1), Runtime{Gate: GateOff, Results: true}
	user := User{HasConfig: true}
	a, b, c := p.New(1, 5, 0, seed), p.New(2, 5, 0, seed), p.New(3, 5, 0, seed)
	p.Next(&a, &user, config, 0, Arrive, Reply{}, seed)
	p.Next(&b, &user, config, time.Second, Arrive, Reply{}, seed)
	if m := p.Next(&a, &user, config, 3*time.Second, Wake, Reply{}, seed); m.Kind != End || a.Final != Superseded {
		t.Fatalf("the older visit goes on: %+v", m)
	}
	b.Phase = PhaseForm
	if m := p.Next(&b, &user, config, 10*time.Second, Wake, Reply{}, seed); m.Step != booking.StepCheck {
		t.Fatalf("%+v", m)
	}
	p.Next(&b, &user, config, 10*time.Second, Replied, Reply{Outcome: booking.Open}, seed)
	if m := p.Next(&c, &user, config, 11*time.Second, Arrive, Reply{}, seed); m.Kind != End || c.Final != Resumed {
		t.Fatalf("a visit on top of a submit under way: %+v, %v", m, c.Final)
	}
	if m := p.Next(&b, &user, config, 12*time.Second, Replied, Reply{Outcome: booking.Queued}, seed); m.Kind != Wait {
		t.Fatalf("%+v", m)
	}
	p.Next(&b, &user, config, 17*time.Second, Wake, Reply{}, seed)
	p.Next(&b, &user, config, 17*time.Second, Replied, Reply{Outcome: booking.Confirmed}, seed)
	d := p.New(4, 5, 0, seed)
	if p.Next(&d, &user, config, 20*time.Second, Arrive, Reply{}, seed); d.Final != HasBooking || b.Final != GotConfirmed {
		t.Fatalf("after the booking: %v, %v", d.Final, b.Final)
	}
}

func TestBotPostsOnABeat(t *testing.T) {
	p, seed := program(), draw.Seed(1)
	v, user := p.NewBot(1, 9, 0, seed), User{}
	m := p.Next(&v, &user, Runtime{Gate: GateOriginal}, 0, Arrive, Reply{}, seed)
	for i := range 5 {
		if m.Kind != Send || m.Step != booking.StepSubmit || int(m.Attempt) != i+1 {
			t.Fatalf("post %d: %+v", i, m)
		}
		late := time.Duration(i) * 2 * time.Second
		m = p.Next(&v, &user, Runtime{}, late+700*time.Millisecond, Replied, Reply{Outcome: booking.Busy}, seed)
		if m.Kind != Wait || m.At != late+2*time.Second {
			t.Fatalf("after post %d: %+v", i, m)
		}
		m = p.Next(&v, &user, Runtime{}, m.At, Wake, Reply{}, seed)
	}
}

// Whatever is answered, a visitor never panics, never waits for the past, sends
// only known steps and, once ended, stays ended.
func TestAnyReplies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := program()
		p.GiveUp = rapid.Float64Range(0, 1).Draw(t, "give up")
		p.HonoursRetryAfter = rapid.Bool().Draw(t, "polite")
		p.Jitter = rapid.Bool().Draw(t, "jitter")
		seed := draw.Seed(rapid.Uint64().Draw(t, "seed"))
		config := Runtime{Gate: Gate(rapid.IntRange(1, 3).Draw(t, "gate")), Probability: rapid.Float64Range(0, 1).Draw(t, "p"),
			Coin: Coin{Period: 5 * time.Second}}
		v, user := p.New(1, 1, 0, seed), User{}
		if rapid.Bool().Draw(t, "bot") {
			v = p.NewBot(1, 1, 0, seed)
		}
		now, m := time.Duration(0), Move{}
		m = p.Next(&v, &user, config, now, Arrive, Reply{}, seed)
		for range 60 {
			switch m.Kind {
			case Wait:
				if m.At < now {
					t.Fatalf("waits for %v at %v", m.At, now)
				}
				now = m.At
				m = p.Next(&v, &user, config, now, Wake, Reply{}, seed)
			case Send:
				if m.Step < booking.StepConfig || m.Step > booking.StepPoll || m.Timeout <= 0 || m.Attempt == 0 {
					t.Fatalf("sends %+v", m)
				}
				now += time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "took"))
				m = p.Next(&v, &user, config, now, Replied, Reply{Outcome: booking.Outcome(rapid.IntRange(1, len(booking.Outcomes())).Draw(t, "outcome"))}, seed)
			case End:
				if v.Phase != PhaseDone || v.Final == InFlight {
					t.Fatalf("ended in phase %d as %v", v.Phase, v.Final)
				}
				if p.Next(&v, &user, config, now, Wake, Reply{}, seed).Kind != End {
					t.Fatal("came back from the end")
				}
				return
			default:
				t.Fatalf("no move: %+v", m)
			}
		}
	})
}

func TestVisitorIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Visitor{}); size > 80 {
		t.Errorf("a visitor takes %d bytes, want at most 80", size)
	}
}

func TestNamesAreComplete(t *testing.T) {
	for _, f := range Finals() {
		if strings.HasPrefix(f.String(), "invalid") {
			t.Errorf("final %d has no name", f)
		}
	}
	for _, g := range []Gate{GateOff, GateOriginal, GateCoin} {
		if back, err := ParseGate(g.String()); back != g || err != nil {
			t.Errorf("gate %v", g)
		}
	}
}

func BenchmarkPress(b *testing.B) {
	p := program()
	config := Runtime{Gate: GateOriginal, Probability: 0.2}
	user := User{HasConfig: true, Visit: 2}
	for i := range b.N {
		v := Visitor{Visit: 1, Phase: PhaseForm, Presses: uint16(i)}
		p.Next(&v, &user, config, 0, Wake, Reply{}, draw.Seed(1))
	}
}
