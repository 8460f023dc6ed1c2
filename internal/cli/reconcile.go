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
	JSON       bool   `help:"Print JSON."`
}

func (c *reconcileCmd) Run(a *app) error {
	sc, err := c.scaled()
	if err != nil {
		return err
	}
	in := reference.Reconciling{Drained: c.Drained, DemandLeft: c.DemandLeft}
	if c.Accepted != "" {
		if in.Accepted, err = readTickets(c.Accepted); err != nil {
			return badInput(err)
		}
	}
	found, err := reference.Reconcile(a.ctx, reference.Ready{Redis: c.Redis, Database: c.DB, Event: c.Event}, backendConfig(sc), in)
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
