package crashtest

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/reference/ledger"
	"spillway/reference/stock"
)

// bug is a mistake planted between the backend and its stores. Any part may be nil.
type bug struct {
	kind   string                         // what it breaks, as a verdict calls it
	start  func(*world)                   // when the stores are open
	hook   func(w *world, c command)      // once a call has been made
	before func(w *world, c command) bool // before a call; true = it is not made
	keeper func(ledger.Keeper) ledger.Keeper
	source func(*world, ledger.Source) ledger.Source
}

// command is a call on its way to Redis.
type command struct {
	ctx  context.Context
	name string // of the script, else of the command
	args []string
	cmd  redis.Cmder
}

// bugs is the planted hook of a client.
type bugs struct{ w *world }

func (h bugs) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h bugs) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c := command{ctx: ctx, cmd: cmd}
		for _, a := range cmd.Args() {
			c.args = append(c.args, fmt.Sprint(a))
		}
		switch c.name = c.args[0]; c.name {
		case "evalsha":
			c.name = stock.ScriptNames()[c.args[1]]
		case "eval":
			c.name = stock.ScriptNames()[redis.NewScript(c.args[1]).Hash()]
		}
		b := h.w.plan.bug
		if b.before != nil && b.before(h.w, c) {
			return nil
		}
		err := next(ctx, cmd)
		if err == nil && b.hook != nil {
			b.hook(h.w, c)
		}
		return err
	}
}

func (h bugs) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if b := h.w.plan.bug; err == nil && b.hook != nil {
			b.hook(h.w, command{ctx: ctx, name: "ack"})
		}
		return err
	}
}

const stateKey = "{" + event + "}:state"

// taken is the item and user of the first submit that a call of take accepted.
func (c command) taken() (user, item string, ok bool) {
	if c.name != "stock.take" {
		return "", "", false
	}
	codes, _ := c.cmd.(*redis.Cmd).StringSlice()
	for i, code := range codes {
		if code == "q" { // 3 words, 5 keys, 6 arguments, then 5 of each submit
			a := 3 + 5 + 6 + 5*i
			return c.args[a], c.args[a+2], true
		}
	}
	return "", "", false
}

var planted = map[string]*bug{
	"a reservation is given back although it was sold": {kind: oversell, hook: func(w *world, c command) {
		if _, item, ok := c.taken(); ok && w.first() {
			w.admin.HIncrBy(c.ctx, stateKey, item, 1)
			w.admin.HIncrBy(c.ctx, stateKey, "total", 1)
		}
	}},
	"a repeated press takes stock before the duplicate check": {kind: undersell, hook: func(w *world, c command) {
		if _, item, ok := c.taken(); ok && w.first() {
			w.admin.HIncrBy(c.ctx, stateKey, item, -1)
			w.admin.HIncrBy(c.ctx, stateKey, "total", -1)
		}
	}},
	"acknowledged before it is written": {kind: lost, source: func(w *world, s ledger.Source) ledger.Source { return hasty{s, w} }},
	"nobody offers what Redis has lost": {kind: lost, before: func(w *world, c command) bool {
		return c.name == "hset" && strings.HasSuffix(c.args[1], ":offers")
	}},
	"written says the database, and it is not": {kind: lost, keeper: func(k ledger.Keeper) ledger.Keeper { return &liar{Keeper: k} }},
	"one user books twice": {kind: duplicate,
		start: func(w *world) {
			db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "ledger.db"))
			if err == nil {
				_, err = db.Exec("DROP INDEX bookings_person; CREATE INDEX bookings_person ON bookings (person)")
				_ = db.Close()
			}
			if err != nil {
				w.t.Fatal(err)
			}
		},
		hook: func(w *world, c command) {
			if user, _, ok := c.taken(); ok {
				w.admin.HDel(c.ctx, "{"+event+"}:users", user)
			}
		}},
	"the result cache says no where the ledger says yes": {kind: contradiction, hook: func(w *world, c command) {
		if c.name == "hset" && strings.HasSuffix(c.args[1], ":results") && strings.HasPrefix(c.args[3], "confirmed") && w.first() {
			w.admin.HSet(c.ctx, c.args[1], c.args[2], "refused")
		}
	}},
	"a figure of stock drifts": {kind: balance, hook: func(w *world, c command) {
		if c.name == "ack" && w.first() {
			w.admin.HIncrBy(c.ctx, stateKey, "0", 1) // the item's alone: nobody can buy it once the total is gone
		}
	}},
	"a refund is given twice": {kind: oversell, hook: func(w *world, c command) {
		if n, _ := c.cmd.(*redis.Cmd); c.name == "stock.refund" {
			if got, err := n.Int(); err == nil && got == 1 {
				w.admin.HIncrBy(c.ctx, stateKey, c.args[len(c.args)-2], 1)
				w.admin.HIncrBy(c.ctx, stateKey, "total", 1)
			}
		}
	}},
}

// first reports whether this is the first time that it is asked.
func (w *world) first() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.sprung
	w.sprung = true
	return !was
}

// hasty acknowledges the first entry it reads, and dies with it in hand.
type hasty struct {
	ledger.Source
	w *world
}

func (s hasty) Read(ctx context.Context, n int) ([]booking.Delivery, error) {
	ds, err := s.Source.Read(ctx, n)
	if err != nil || len(ds) == 0 || !s.w.first() {
		return ds, err
	}
	return nil, s.Source.Ack(ctx, ds...)
}

// liar drops the first row of a database and says that it was written.
type liar struct {
	ledger.Keeper
	told bool
}

func (k *liar) WriteBatch(ctx context.Context, rows []ledger.Row) ([]ledger.RowResult, error) {
	if k.told || len(rows) == 0 {
		return k.Keeper.WriteBatch(ctx, rows)
	}
	k.told = true
	rest, err := k.Keeper.WriteBatch(ctx, rows[1:])
	return append([]ledger.RowResult{{Verdict: ledger.Written}}, rest...), err
}

// TestPlantedBugs proves that the checks can fail: each planted bug is caught, as
// what it is, within a few schedules.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("in full only: it shows that the checks can fail")
	}
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(planted)) {
		t.Run(name, func(t *testing.T) { caught(t, planted[name], planOf) })
	}
}

// caught wants a planted bug caught, as what it is, by one of the first schedules.
func caught(t *testing.T, b *bug, planOf func(draw.Seed) plan) {
	const within = 150
	for seed := draw.Seed(1); seed <= within; seed++ {
		p := planOf(seed)
		p.bug = b
		_, bad := run(t, p)
		for _, line := range bad {
			if strings.HasPrefix(line, b.kind+":") {
				t.Logf("caught by seed %d: %s", seed, line)
				return
			}
		}
	}
	t.Errorf("not caught by %d schedules", within)
}
