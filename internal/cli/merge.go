package cli

import (
	"fmt"

	"spillway/internal/record"
)

type mergeCmd struct {
	Record []string `arg:"" help:"The shards' records."`
	Out    string   `required:"" placeholder:"FILE" help:"Where to write the whole."`
}

func (c *mergeCmd) Run(a *app) error {
	whole, err := readRecord(c.Record[0])
	if err != nil {
		return err
	}
	for _, name := range c.Record[1:] {
		next, err := readRecord(name)
		if err != nil {
			return err
		}
		if whole, err = record.Merge(whole, next); err != nil {
			return badInput(fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := record.WriteFile(c.Out, whole); err != nil {
		return environment(err)
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %d records, digest %.16s\n", c.Out, len(c.Record), whole.Digest())
	return err
}
