package crashtest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/reference"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
	"spillway/reference/stock"
)

// quick are the rules of a lottery whose day takes two seconds.
var quick = policy.LotteryRules{Length: 2 * time.Second, Valid: 3, Wait: 1, Draw: 300 * time.Millisecond, Publish: 400 * time.Millisecond,
	EditFrom: 500 * time.Millisecond, EditUntil: 1500 * time.Millisecond, Seal: 1700 * time.Millisecond}

// lastDay is the last draw that is held.
const lastDay policy.Day = 5

// closedList is a list as it was when it was closed.
type closedList struct {
	day  policy.Day
	list []ledger.DrawEntry
}

// ofLottery reports whether only a lottery passes a crash point.
func ofLottery(point string) bool {
	return strings.HasPrefix(point, "stock.change") || strings.HasPrefix(point, "stock.seal")
}

// lotteryPlan is a schedule of a lottery: a storm, and gateways that are held up with
// something stamped and not yet sent, some of them over the seal.
func lotteryPlan(seed draw.Seed) plan {
	p := planOf(seed)
	p.lottery = true
	p.rounds += 5
	p.rate *= 2 // a day is short
	for i := range p.storm {
		if f := &p.storm[i]; actions[f.kind] != proceed && seedOf(seed, 22, uint32(i), 3) == 0 {
			f.point = []string{"stock.change", "stock.seal"}[seedOf(seed, 23, uint32(i), 2)]
		}
	}
	for i := range uint32(3) {
		p.storm = append(p.storm, fault{at: seedOf(seed, 20, i, steps-20), kind: "hold", point: []string{"stock.take", "stock.change"}[seedOf(seed, 21, i, 2)], nth: 1, stays: true})
	}
	slices.SortStableFunc(p.storm, func(a, b fault) int { return a.at - b.at })
	return p
}

// entrant enters, edits and withdraws, at any time of some short days, again when there is no answer.
func (w *world) entrant(n, rounds int, clk slot, stop <-chan struct{}) {
	seed := w.plan.seed
	user := booking.UserID(n % w.plan.users)
	var ticket booking.Ticket
	for r := range rounds {
		pick := func(what uint32, below int) int { return seedOf(seed, 2000+uint64(n), 16*uint32(r)+what, below) }
		if !clk.sleep(time.Duration(1+pick(0, 700))*time.Millisecond, stop) {
			return
		}
		item, other, do := pick(1, len(w.plan.items)), pick(2, 2) == 0, pick(3, 8)
		key := fmt.Sprintf("%d-%d", user, r)
		for try := range 4 {
			g := w.gateway(n + r + try)
			var call func(context.Context) (lottery.Answer, error)
			switch {
			case ticket.IsZero() || do == 0:
				call = func(ctx context.Context) (lottery.Answer, error) {
					return g.desk.Enter(ctx, lottery.Request{User: user, Item: item, Key: key, Other: other, Senior: user == 0})
				}
			case do == 1:
				call = func(ctx context.Context) (lottery.Answer, error) { return g.desk.Withdraw(ctx, ticket) }
			default:
				call = func(ctx context.Context) (lottery.Answer, error) { return g.desk.Edit(ctx, ticket, item, other) }
			}
			a := w.ask(g, user, clk, call)
			if a.Outcome == booking.Queued {
				ticket = a.Ticket
			}
			if a.Outcome != booking.Unknown && a.Outcome != booking.Busy && a.Outcome != booking.Pending {
				break
			}
			if !clk.sleep(time.Duration(20+pick(4+uint32(try), 200))*time.Millisecond, stop) {
				return
			}
		}
	}
}

// ask is one request to a gateway's desk.
func (w *world) ask(g *process, user booking.UserID, clk slot, call func(context.Context) (lottery.Answer, error)) lottery.Answer {
	a, err := call(context.Background())
	clk.sleep(0, nil) // those who shared a call of the script wake one after the other
	dead := w.dead(g)
	if dead || err != nil && a.Outcome != booking.Queued {
		a = lottery.Answer{Outcome: booking.Unknown}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.Outcome == booking.Queued {
		t := a.Ticket
		if !a.Change.IsZero() {
			t = a.Change
			w.faults["changes told"]++
		}
		w.oracle.accepted(t, user, g)
	}
	if errors.Is(err, stock.ErrSealed) {
		w.faults["told that it was sealed"]++
	}
	w.note("user %d: %v %s %s", user, a.Outcome, a.Change, a.Why)
	return a
}

// closeDays closes, seals and draws the lists, one day after the other, and does any
// of it again that has failed.
func (w *world) closeDays(clk slot, stop <-chan struct{}) {
	for day := policy.Day(1); day <= lastDay; {
		if !clk.sleep(30*time.Millisecond, stop) {
			return
		}
		if clk.Now() < quick.SealsAt(day) {
			continue
		}
		w.mu.Lock()
		p := w.closer
		w.mu.Unlock()
		if err := w.closeOne(p, clk, day); err != nil {
			w.mu.Lock()
			w.note("%v: %v", day, err)
			w.mu.Unlock()
			continue
		}
		day++
	}
}

func (w *world) closeOne(p *process, clk slot, day policy.Day) error {
	ctx := context.Background()
	if err := reference.CloseDayStores(ctx, p.client, p.db, w.config(), clk, day, 0); err != nil {
		return err
	}
	var list []ledger.DrawEntry
	if err := w.books.DrawEntries(ctx, day, quick, func(e ledger.DrawEntry) error { list = append(list, e); return nil }); err != nil {
		return err
	}
	w.mu.Lock()
	if n := len(w.lists); n == 0 || w.lists[n-1].day != day {
		w.lists = append(w.lists, closedList{day, list})
		w.faults["entries sealed"] += len(list)
	}
	w.mu.Unlock()
	root := sha256.Sum256(fmt.Append(nil, list))
	if err := p.db.RecordSeal(ctx, day, root[:], int64(len(list))); err != nil {
		return err
	}
	var wins []ledger.Win
	for i, e := range list {
		if seedOf(w.plan.seed, 3000+uint64(day), uint32(e.Person), 4) == 0 {
			wins = append(wins, ledger.Win{Person: e.Person, Ticket: e.Ticket, Line: e.Line, Round: 1, Rank: i + 1})
		}
	}
	if err := p.db.RecordDraw(ctx, day, wins); err != nil {
		return err
	}
	return p.db.Publish(ctx, day)
}

// stragglers wait until everything has come to an end, and finish what a person gave up
// half-way.
func (w *world) stragglers(clk slot, stop <-chan struct{}) {
	for clk.sleep(20*time.Millisecond, stop) {
		st, _, _ := w.handles(w.admin)
		if _, err := st.Free(context.Background()); err != nil {
			continue // it is being rebuilt
		}
		done, err := w.books.Draws(context.Background())
		if w.repaired() || !w.empty() || err != nil || len(done) < int(lastDay) || done[lastDay-1].State != ledger.DrawPublished {
			continue
		}
		return
	}
}

// forgets reports whether a schedule makes Redis lose something.
func (p plan) forgets() bool {
	return slices.ContainsFunc(p.storm, func(f fault) bool {
		switch f.kind {
		case "empty", "double", "evict", "stale", "letters":
			return true
		}
		return false
	})
}

// lottery judges the rows of a lottery by what people were told.
func (o *oracle) lottery(say func(kind, format string, args ...any)) {
	owner := map[booking.Ticket]row{}
	for _, table := range []string{"entries", "changes"} {
		for _, r := range o.rows(table) {
			owner[r.ticket] = r
		}
	}
	settled := map[booking.Ticket]bool{}
	for _, r := range o.rows("refused") {
		settled[r.ticket] = true
		if _, both := owner[r.ticket]; both {
			say(contradiction, "ticket %s is confirmed and refused", r.ticket)
		}
	}
	for _, t := range o.order {
		p := o.told[t]
		r, confirmed := owner[t]
		switch {
		case confirmed && r.user != p.user:
			say(contradiction, "ticket %s of user %d is of user %d", t, p.user, r.user)
		case !confirmed && !settled[t] && !p.excused:
			say(lost, "ticket %s of user %d was told accepted and is nowhere", t, p.user)
		}
	}
	// At the stated hour nothing enters, changes or leaves: the lists are still what
	// they were, each has a person once, and nobody won twice within the wait.
	won := map[booking.UserID]policy.Day{}
	for _, c := range o.w.lists {
		var list []ledger.DrawEntry
		err := o.w.books.DrawEntries(context.Background(), c.day, quick, func(e ledger.DrawEntry) error { list = append(list, e); return nil })
		if err != nil || !slices.Equal(list, c.list) {
			say(contradiction, "the list of day %d was %+v and is %+v, %v", c.day, c.list, list, err)
		}
		seen := map[booking.UserID]bool{}
		for _, e := range list {
			if seen[e.Person] {
				say(duplicate, "user %d is in the list of day %d twice", e.Person, c.day)
			}
			seen[e.Person] = true
		}
		if err := o.w.books.Wins(context.Background(), c.day, func(x ledger.Win) error {
			if was, has := won[x.Person]; has && c.day-was <= policy.Day(quick.Wait) {
				say(duplicate, "user %d won on day %d and on day %d", x.Person, was, c.day)
			}
			won[x.Person] = c.day
			return nil
		}); err != nil {
			say(lost, "%v", err)
		}
	}
	if len(o.w.lists) != int(lastDay) {
		say(lost, "%d lists were closed", len(o.w.lists))
	}
	// The database's own word, by queries of their own.
	o.none(say, contradiction, "entries that do not stand as last edited", `SELECT count(*) FROM entries e JOIN changes c ON c.entry = e.ticket AND c.kind = 1
		WHERE c.counts = (SELECT max(x.counts) FROM changes x WHERE x.entry = e.ticket AND x.kind = 1) AND (e.now_item <> c.item OR e.now_other <> c.other OR e.edited <> c.counts)`)
	o.none(say, duplicate, "edits of one person and day", "SELECT count(*) FROM (SELECT person FROM changes WHERE kind = 1 GROUP BY person, day HAVING count(*) > 1)")
	o.none(say, contradiction, "edits outside the window", fmt.Sprintf("SELECT count(*) FROM changes WHERE kind = 1 AND (accepted %% %[1]d < %[2]d OR accepted %% %[1]d >= %[3]d)",
		quick.Length, quick.EditFrom, quick.EditUntil))
	if !o.w.plan.forgets() { // a list is closed only when all of it is written
		o.none(say, lost, "rows that came too late for their draw", "SELECT (SELECT count(*) FROM entries WHERE entered <> accepted) + (SELECT count(*) FROM changes WHERE counts <> accepted)")
	}
}

// none says so when a query counts anything.
func (o *oracle) none(say func(kind, format string, args ...any), kind, what, query string) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(o.w.dir, "ledger.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		o.w.t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow(query).Scan(&n); err != nil {
		o.w.t.Fatal(err)
	}
	if n != 0 {
		say(kind, "%d %s", n, what)
	}
}

// execute runs statements behind the ledger's back.
func (w *world) execute(statements string) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "ledger.db"))
	if err == nil {
		_, err = db.Exec(statements)
		_ = db.Close()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func unsealed(_ *world, c command) bool {
	if c.name == "stock.seal" {
		c.cmd.(*redis.Cmd).SetVal(int64(1))
		return true
	}
	return false
}

var plantedLottery = map[string]*bug{
	"the store is not told of the seal": {kind: lost, before: unsealed},
	"what comes too late is let into the list": {kind: contradiction, before: unsealed, start: func(w *world) {
		w.execute("CREATE TRIGGER late AFTER INSERT ON entries BEGIN UPDATE entries SET entered = accepted WHERE id = NEW.id; END")
	}},
	"one person has two entries": {kind: duplicate, hook: func(w *world, c command) {
		if user, _, ok := c.taken(); ok {
			w.admin.HDel(c.ctx, "{"+event+"}:users", user)
		}
	}, start: func(w *world) {
		w.execute("DROP INDEX entries_person; CREATE INDEX entries_person ON entries (person)")
	}},
	"an edit is written and not applied": {kind: contradiction, start: func(w *world) {
		w.execute("CREATE TRIGGER idle AFTER UPDATE OF now_item ON entries BEGIN UPDATE entries SET now_item = OLD.now_item, now_other = OLD.now_other WHERE id = NEW.id; END")
	}},
	"nobody offers what Redis has lost": planted["nobody offers what Redis has lost"],
	"acknowledged before it is written": planted["acknowledged before it is written"],
}

// TestPlantedLotteryBugs proves that the lottery's checks can fail.
func TestPlantedLotteryBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("in full only: it shows that the checks can fail")
	}
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(plantedLottery)) {
		t.Run(name, func(t *testing.T) {
			caught(t, plantedLottery[name], func(seed draw.Seed) plan {
				p := lotteryPlan(seed)
				if strings.HasPrefix(name, "the store is not told") {
					p.storm = slices.DeleteFunc(p.storm, func(f fault) bool { return plan{storm: []fault{f}}.forgets() })
				}
				return p
			})
		})
	}
}

// TestLotterySchedule: whatever is killed, lost and emptied, what people were told of
// entries, edits and withdrawals stands, and no sealed list changes.
func TestLotterySchedule(t *testing.T) {
	t.Parallel()
	n := max(*schedules/8, 1)
	if testing.Short() {
		n = min(n, 8)
	}
	passed := schedule(t, n, lotteryPlan)
	for _, p := range reference.CrashPoints() {
		if n >= 100 && passed[p] == 0 && ofLottery(p) && *seedFlag == 0 {
			t.Errorf("crash point %s was never reached", p)
		}
	}
}
