package cli

import (
	"errors"
	"fmt"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/reference"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
)

// writtenWithin is how long a seal waits for what is still on its way into the ledger.
const writtenWithin = time.Minute

// sealLedger closes a day in a backend's stores and seals what its ledger holds.
func (c *lotterySealCmd) sealLedger(a *app, o lottery.SealOptions) (*lottery.Bundle, error) {
	day, err := policy.ParseDay(c.Day)
	if err != nil {
		return nil, err
	}
	r := lotteryRules()
	cfg := reference.Config{Mode: booking.ModeLottery, Lottery: r, Stock: reference.StockConfig{Items: make([]int, len(o.Seal.Lines))}}
	if err := reference.CloseDay(a.ctx, reference.Ready{Redis: c.Redis, Database: c.DB, Event: c.Event}, cfg, day, writtenWithin); err != nil {
		return nil, err
	}
	db, err := ledger.OpenReadOnly(a.ctx, c.DB, ledger.DBOptions{})
	if err != nil {
		return nil, environment(err)
	}
	defer db.Close() // only read
	o.Entries = func(take func(lottery.Entry) error) error {
		return db.DrawEntries(a.ctx, day, r, func(e ledger.DrawEntry) error { return take(sealedEntry(e)) })
	}
	return lottery.MakeSeal(a.ctx, o)
}

// sealedEntry is an entry of the ledger as it is sealed. Moments lose what is below a
// millisecond.
func sealedEntry(e ledger.DrawEntry) lottery.Entry {
	return lottery.Entry{ID: lottery.PublicID(e.Ticket), Line: e.Line, Other: e.Other, Senior: e.Senior, Lost: min(255, e.Lost),
		Entered: e.Entered.Milliseconds(), Edited: e.Edited.Milliseconds()}
}

// inLedger opens a backend's database for writing.
func inLedger(a *app, url string, f func(*ledger.DB) error) error {
	db, err := ledger.Open(a.ctx, url, ledger.DBOptions{})
	if err != nil {
		return environment(err)
	}
	if err := errors.Join(f(db), db.Close()); err != nil {
		return environment(err)
	}
	return nil
}

func recordSeal(a *app, url string, b *lottery.Bundle) error {
	day, err := policy.ParseDay(b.Seal.Day)
	if err != nil {
		return err
	}
	return inLedger(a, url, func(db *ledger.DB) error { return db.RecordSeal(a.ctx, day, b.Seal.Root[:], b.Seal.Entries) })
}

// recordWins records a draw's winners: the ledger knows people by what the list hides.
func recordWins(a *app, url string, b *lottery.Bundle, wins []lottery.Win) error {
	day, err := policy.ParseDay(b.Seal.Day)
	if err != nil {
		return err
	}
	return inLedger(a, url, func(db *ledger.DB) error {
		at := make(map[lottery.ID]int, len(wins))
		for i, w := range wins {
			at[w.Entry.ID] = i
		}
		rows := make([]ledger.Win, len(wins))
		found := 0
		if err := db.DrawEntries(a.ctx, day, lotteryRules(), func(e ledger.DrawEntry) error {
			if i, won := at[lottery.PublicID(e.Ticket)]; won {
				w := wins[i]
				rows[i] = ledger.Win{Person: e.Person, Ticket: e.Ticket, Line: w.Line, Round: w.Round, Rank: w.Rank}
				found++
			}
			return nil
		}); err != nil {
			return err
		}
		if found != len(wins) {
			return fmt.Errorf("the database knows %d of the %d winners: the bundle was sealed from another", found, len(wins))
		}
		return db.RecordDraw(a.ctx, day, rows)
	})
}

type lotteryVoidCmd struct {
	bundleAt
	Reason string `required:"" help:"Why, for everybody to read: the audit log keeps it."`
	Key    string `required:"" env:"SPILLWAY_LOTTERY_KEY" placeholder:"FILE" help:"The operator's Ed25519 key."`
	DB     string `name:"db" env:"SPILLWAY_DB" placeholder:"URL" help:"Record it in this database too, from which the list was sealed."`
	actor
}

func (c *lotteryVoidCmd) Run(a *app) error {
	b, err := c.open()
	if err != nil {
		return err
	}
	defer b.Close() // only read
	key, err := readKey(c.Key)
	if err != nil {
		return err
	}
	day, err := policy.ParseDay(b.Seal.Day)
	if err != nil {
		return badInput(err)
	}
	// Again it only makes up what the database may have missed.
	actions, _, err := b.Actions(false)
	if err != nil {
		return badInput(err)
	}
	if lottery.VoidOf(actions) == nil || c.DB == "" {
		if err := b.Void(key, c.who(), c.Reason, clockOf(b.Seal, b.Seal.Cutoff)); err != nil {
			return badInput(err)
		}
	}
	if c.DB != "" {
		if err := inLedger(a, c.DB, func(db *ledger.DB) error { return db.VoidDraw(a.ctx, day, b.Seal.Root[:]) }); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stdout, "void     the draw of %s will not be made; %s stays as it is\n", b.Seal.Day, c.Bundle)
	return nil
}

type lotteryPublishCmd struct {
	bundleAt
	DB string `name:"db" required:"" env:"SPILLWAY_DB" placeholder:"URL" help:"The backend's database."`
	actor
}

func (c *lotteryPublishCmd) Run(a *app) error {
	b, err := c.open()
	if err != nil {
		return err
	}
	defer b.Close() // only read
	d, err := b.Drawn()
	if err != nil {
		return badInput(err)
	}
	day, err := policy.ParseDay(b.Seal.Day)
	if err != nil {
		return badInput(err)
	}
	if err := inLedger(a, c.DB, func(db *ledger.DB) error { return db.Publish(a.ctx, day) }); err != nil {
		return err
	}
	of, err := b.DrawDigest()
	if err == nil {
		err = b.Audit().Append(clockOf(b.Seal, d.At), c.who(), "publish", of, fmt.Sprintf("%d winners, %d in reserve", d.Won, d.Reserve))
	}
	if err != nil {
		return environment(err)
	}
	fmt.Fprintf(a.stdout, "published %s winners of %s\n", count(d.Won), b.Seal.Day)
	return nil
}
