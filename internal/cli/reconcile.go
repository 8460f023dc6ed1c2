package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"spillway/internal/booking"
	"spillway/reference"
	"spillway/reports/gate"
)

type reconcileCmd struct {
	choice
	Redis      string `env:"SPILLWAY_REDIS" placeholder:"URL" help:"The backend's Redis, as its ready line names it."`
	DB         string `name:"db" required:"" env:"SPILLWAY_DB" placeholder:"URL" help:"The backend's database, as its ready line names it."`
	Event      string `default:"spillway" help:"Hash tag of the keys."`
	Accepted   string `placeholder:"FILE" help:"Tickets that clients were given, one a line."`
	Drained    bool   `help:"The queue was emptied before: nothing may still be waiting."`
	DemandLeft bool   `help:"Somebody still wanted a reservation: none may be unsold."`
	Repair     bool   `help:"Name each discrepancy between the stores with its safe repair; nothing is changed without --apply."`
	Apply      bool   `help:"With --repair: do the repairs, each with a line in the audit trail. A repair never books anything."`
	Who        string `help:"With --apply: who acts; the login name by default."`
	Why        string `help:"With --apply: why, for the audit trail."`
	JSON       bool   `help:"Print JSON."`
}

func (c *reconcileCmd) Run(a *app) error {
	sc, err := c.scaled()
	if err != nil {
		return err
	}
	at := reference.Ready{Redis: c.Redis, Database: c.DB, Event: c.Event}
	if c.Apply && !c.Repair {
		return badInput(errors.New("--apply does the repairs of --repair: give both"))
	}
	if c.Repair {
		return c.repair(a, at, backendConfig(sc))
	}
	in := reference.Reconciling{Drained: c.Drained, DemandLeft: c.DemandLeft}
	if c.Accepted != "" {
		if in.Accepted, err = readTickets(c.Accepted); err != nil {
			return badInput(err)
		}
	}
	found, err := reference.Reconcile(a.ctx, at, backendConfig(sc), in)
	if err != nil {
		if errors.Is(err, reference.ErrEnvironment) {
			return environment(err)
		}
		return badInput(err)
	}
	if c.JSON {
		if err := writeJSON(a, found); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(a.stdout, found)
	}
	if !found.OK() {
		return verdict{gate.ExitInvariantBroken}
	}
	return nil
}

// repair names the discrepancies, and repairs them when told to. What is left
// unrepaired is a broken invariant.
func (c *reconcileCmd) repair(a *app, at reference.Ready, cfg reference.Config) error {
	who := by{Who: c.Who}
	found, err := reference.Repair(a.ctx, at, cfg, reference.Repairing{Apply: c.Apply, Who: who.who(), Why: c.Why})
	switch {
	case errors.Is(err, reference.ErrEnvironment):
		err = environment(err)
	case err != nil:
		err = badInput(err)
	}
	if err != nil && len(found) == 0 {
		return err
	}
	left := 0
	for _, x := range found {
		if !x.Done {
			left++
		}
	}
	if c.JSON {
		if err := writeJSON(a, found); err != nil {
			return err
		}
	} else {
		for _, x := range found {
			word := "would"
			switch {
			case x.Done:
				word = "done"
			case x.Fix == "":
				word = "no safe repair; a person must look"
			case c.Apply:
				word = "not done, it changed meanwhile; run it again"
			}
			fix := ""
			if x.Fix != "" {
				fix = ": " + x.Fix
			}
			fmt.Fprintf(a.stdout, "%-12s %s\n             %s%s\n", x.Kind, x.Detail, word, fix)
		}
		fmt.Fprintf(a.stdout, "%d discrepancies, %d repaired\n", len(found), len(found)-left)
	}
	if err == nil && left > 0 {
		return verdict{gate.ExitInvariantBroken}
	}
	return err
}

func readTickets(file string) ([]reference.AcceptedTicket, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the tickets: %w", err)
	}
	defer f.Close()
	return parseTickets(f, file)
}

func parseTickets(r io.Reader, file string) ([]reference.AcceptedTicket, error) {
	var out []reference.AcceptedTicket
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		t, err := booking.ParseTicket(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		out = append(out, reference.AcceptedTicket{Ticket: t})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: want one ticket a line: %w", file, err)
	}
	return out, nil
}
