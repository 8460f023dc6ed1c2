package cli

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"spillway/reference"
)

type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"The letters, oldest first."`
	Show    dlqShowCmd    `cmd:"" help:"One letter, with its entry as it was."`
	Replay  dlqReplayCmd  `cmd:"" help:"Put a letter back into the queue."`
	Discard dlqDiscardCmd `cmd:"" help:"Close a letter: its user is refused, its reservation is free again."`
	Audit   dlqAuditCmd   `cmd:"" help:"Who did what to which letter."`
}

// storesAt names the stores of a running backend.
type storesAt struct {
	Redis string `required:"" env:"SPILLWAY_REDIS" placeholder:"URL" help:"The backend's Redis, as its ready line names it."`
	DB    string `name:"db" env:"SPILLWAY_DB" placeholder:"URL" help:"The backend's database; a discard needs it."`
	Event string `default:"spillway" help:"Hash tag of the keys."`
	Items int    `default:"7" help:"Number of items on sale."`
}

// itemsMost is the most shops that a scenario may have.
const itemsMost = 60_000

func (s *storesAt) with(a *app, f func(*reference.Letters) error) error {
	if s.Items < 1 || s.Items > itemsMost {
		return badInput(fmt.Errorf("--items %d: want 1 to %d, as the backend's scenario has shops", s.Items, itemsMost))
	}
	cfg := reference.Config{Stock: reference.StockConfig{Items: make([]int, s.Items)}}
	l, err := reference.OpenLetters(a.ctx, reference.Ready{Redis: s.Redis, Database: s.DB, Event: s.Event}, cfg)
	if err != nil {
		return environment(err)
	}
	return errors.Join(f(l), l.Close())
}

// by says who acts, and why: both go into the audit trail.
type by struct {
	ID  string `arg:"" help:"The letter's id, as list prints it."`
	Who string `help:"Who acts; the login name by default."`
	Why string `required:"" help:"Why, for the audit trail."`
}

func (b *by) who() string {
	if b.Who == "" {
		if u, err := user.Current(); err == nil {
			return u.Username
		}
	}
	return b.Who
}

type dlqListCmd struct {
	storesAt
	After string `help:"Start after this id."`
	Most  int    `default:"100" help:"List at most so many."`
	JSON  bool   `help:"Print JSON."`
}

func (c *dlqListCmd) Run(a *app) error {
	return c.with(a, func(l *reference.Letters) error {
		letters, err := l.List(a.ctx, c.After, c.Most)
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(a, letters)
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "id\tsince\tattempts\tticket\treason")
		for _, x := range letters {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", x.ID, momentOf(x.ID), x.Attempts, x.Accepted.Ticket, strconv.Quote(x.Reason))
		}
		return w.Flush()
	})
}

type dlqShowCmd struct {
	storesAt
	ID string `arg:"" help:"The letter's id, as list prints it."`
}

func (c *dlqShowCmd) Run(a *app) error {
	return c.with(a, func(l *reference.Letters) error {
		x, err := l.Show(a.ctx, c.ID)
		if err != nil {
			return badInput(err)
		}
		return writeJSON(a, x)
	})
}

type dlqReplayCmd struct {
	storesAt
	by
}

func (c *dlqReplayCmd) Run(a *app) error {
	return c.with(a, func(l *reference.Letters) error { return badInput(l.Replay(a.ctx, c.ID, c.who(), c.Why)) })
}

type dlqDiscardCmd struct {
	storesAt
	by
}

func (c *dlqDiscardCmd) Run(a *app) error {
	return c.with(a, func(l *reference.Letters) error { return badInput(l.Discard(a.ctx, c.ID, c.who(), c.Why)) })
}

type dlqAuditCmd struct {
	storesAt
	Most int `default:"100" help:"Print the last so many lines."`
}

func (c *dlqAuditCmd) Run(a *app) error {
	return c.with(a, func(l *reference.Letters) error {
		acts, err := l.Audit(a.ctx, c.Most)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "when\twho\twhat\tletter\tticket\twhy")
		for _, x := range acts {
			fmt.Fprintf(w, "%s\t%q\t%s\t%s\t%s\t%q\n", momentOf(x.ID), x.Who, x.What, x.Letter, x.Ticket, x.Why)
		}
		return w.Flush()
	})
}

// momentOf is the moment in a stream id: its part before the dash is Unix time in
// milliseconds.
func momentOf(id string) string {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return "?"
	}
	return time.UnixMilli(n).UTC().Format(time.DateTime)
}
