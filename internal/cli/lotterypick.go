package cli

import (
	"fmt"

	"spillway/reference/lottery/beacon"
)

type lotteryPickCmd struct {
	Key   string `arg:"" help:"The key string, as in 9319./2.5.8.10.12./9.18.26.34.41.45./ (RFC 3797, section 4.2)."`
	Pool  int    `required:"" help:"How many stand in the pool, at most 65,535."`
	Picks int    `default:"1" help:"How many to pick."`
	JSON  bool   `help:"Print JSON."`
}

func (c *lotteryPickCmd) Run(a *app) error {
	picks, err := beacon.Pick3797(c.Key, c.Pool, c.Picks)
	if err != nil {
		return badInput(err)
	}
	if c.JSON {
		return writeJSON(a, picks)
	}
	for i, p := range picks {
		fmt.Fprintf(a.stdout, "%d. %d\n", i+1, p)
	}
	return nil
}
