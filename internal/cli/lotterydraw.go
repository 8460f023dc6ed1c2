package cli

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"spillway/reference/lottery"
	"spillway/reference/lottery/beacon"
	"spillway/reports/gate"
)

type lotterySignCmd struct {
	bundleAt
	As  string `required:"" placeholder:"NAME" help:"The party, as the seal names it."`
	Key string `required:"" placeholder:"FILE" help:"The party's Ed25519 key."`
}

func (c *lotterySignCmd) Run(a *app) error {
	b, err := c.open()
	if err != nil {
		return err
	}
	defer b.Close() // only read
	key, err := readKey(c.Key)
	if err != nil {
		return err
	}
	if err := b.Sign(c.As, key, clockOf(b.Seal, b.Seal.Cutoff)); err != nil {
		return badInput(err)
	}
	by, err := b.SignedBy()
	if err != nil {
		return badInput(err)
	}
	fmt.Fprintf(a.stdout, "signed by %s\n", strings.Join(by, ", "))
	return nil
}

// clockOf is the present moment, in the seal's zone; in a rehearsal the hour at which
// the step is due.
func clockOf(s lottery.Seal, due time.Time) time.Time {
	if s.Rehearsal {
		return due
	}
	return time.Now().In(s.DrawAt.Location())
}

type lotteryDrawCmd struct {
	bundleAt
	Beacon string `required:"" placeholder:"FILE" help:"What the beacon published, as JSON: a round as drand serves it, numbers or a reading; - for standard input."`
	Secret string `placeholder:"FILE" help:"The operator's secret. Default: DIR.secret."`
	Key    string `required:"" env:"SPILLWAY_LOTTERY_KEY" placeholder:"FILE" help:"The operator's Ed25519 key."`
	DB     string `name:"db" env:"SPILLWAY_DB" placeholder:"URL" help:"Record the winners in this database too, from which the list was sealed."`
	actor
}

func (c *lotteryDrawCmd) Run(a *app) error {
	b, err := c.open()
	if err != nil {
		return err
	}
	defer b.Close() // only read
	o := lottery.DrawOptions{Who: c.who()}
	if o.Key, err = readKey(c.Key); err != nil {
		return err
	}
	if o.Secret, err = readSecret(secretFile(c.Secret, c.Bundle)); err != nil {
		return err
	}
	text, err := readInput(a, c.Beacon)
	if err == nil {
		o.Value, err = beacon.ParseValue(text)
	}
	if err != nil {
		return badInput(fmt.Errorf("--beacon %s: %w", c.Beacon, err))
	}
	due := b.Seal.DrawAt
	if known := b.Seal.Beacon.Available(); known.After(due) {
		due = known.In(due.Location())
	}
	o.Now = clockOf(b.Seal, due)
	show := newStages(a)
	o.Progress = show.tell
	d, out, err := b.Draw(a.ctx, o)
	show.over()
	if err != nil {
		return badInput(err)
	}
	if c.DB != "" {
		if err := recordWins(a, c.DB, b, out.Wins); err != nil {
			return err
		}
	}
	fmt.Fprint(a.stdout, drawnText(b.Seal, d))
	fmt.Fprintf(a.stdout, "bundle   %s: winners.csv, reserve.csv, draw.json\n", c.Bundle)
	return nil
}

// drawnText is a draw in a few lines.
func drawnText(s lottery.Seal, d lottery.Drawn) string {
	var b strings.Builder
	first, second := d.Won, int64(0)
	for _, shop := range d.Shops {
		second += shop.Won
	}
	first -= second
	var masks int64
	for _, p := range d.Pools {
		masks += (p.Won + p.Second) * int64(s.Lines[p.Line].Masks)
	}
	fmt.Fprintf(&b, "seed     %s\n", d.Seed)
	share := 0.0
	if s.Entries > 0 {
		share = 100 * float64(d.Won) / float64(s.Entries)
	}
	fmt.Fprintf(&b, "won      %s of %s entries (%.2f %%): %s in round 1, %s in round 2; %s masks\n", count(d.Won), count(s.Entries), share, count(first), count(second), count(masks))
	fmt.Fprintf(&b, "reserve  %s, in order\n", count(d.Reserve))
	return b.String()
}

type lotteryVerifyCmd struct {
	bundleAt
	Proof    string   `placeholder:"FILE" help:"Check one entrant's proof instead of a bundle; - for standard input."`
	Receipt  string   `placeholder:"FILE" help:"With --proof: the entrant's receipt, as the backend answered it; does the list keep it?"`
	Signer   string   `placeholder:"KEY" help:"With --receipt: the public key that signs receipts, hex or a file."`
	Operator string   `placeholder:"KEY" help:"The operator's public key as you know it from elsewhere: hex or a file."`
	Digest   string   `placeholder:"HEX" help:"The seal's digest as you wrote it down."`
	Earlier  []string `placeholder:"DIR" help:"The bundle of an earlier day: its winners must still be waiting; repeatable."`
}

func (c *lotteryVerifyCmd) Run(a *app) error {
	o := lottery.VerifyOptions{Earlier: c.Earlier}
	if c.Operator != "" {
		key, err := publicKey(c.Operator)
		if err != nil {
			return badInput(fmt.Errorf("--operator %s: %w", c.Operator, err))
		}
		o.Operator = &key
	}
	if c.Digest != "" {
		o.Digest = new(lottery.Hash)
		if err := o.Digest.UnmarshalText([]byte(c.Digest)); err != nil {
			return badInput(fmt.Errorf("--digest: %w", err))
		}
	}
	switch {
	case c.Proof != "":
		return c.proof(a, o)
	case c.Receipt != "":
		return badInput(errors.New("--receipt: want the entry's proof with it (--proof), as prove or the console gives it"))
	}
	if err := c.there(); err != nil {
		return err
	}
	show := newStages(a)
	o.Progress = show.tell
	v, err := lottery.Verify(a.ctx, c.Bundle, o)
	show.over()
	for _, step := range v.Done {
		fmt.Fprintf(a.stdout, "ok   %-9s %s\n", step.What, step.Holds)
	}
	if err != nil {
		if a.ctx.Err() != nil {
			return err
		}
		return marked(gate.ExitInvariantBroken, err)
	}
	if v.Seal.Rehearsal {
		fmt.Fprintln(a.stdout, "note a rehearsal: its hours are the day's and prove nothing about when it was sealed")
	}
	if o.Operator == nil {
		fmt.Fprintf(a.stdout, "note signed with key %s: compare it with the operator's from elsewhere (--operator)\n", v.Seal.Parties[0].Key)
	}
	state := "VERIFIED. Nothing is drawn yet."
	switch {
	case v.Drawn != nil:
		state = "VERIFIED. All of it follows from the bundle."
	case v.Void != nil:
		state = fmt.Sprintf("VERIFIED. Declared void by %q at %s: %q.", v.Void.Who, v.Void.At.Format(time.DateTime), v.Void.Detail)
	}
	fmt.Fprintln(a.stdout, state)
	return nil
}

func (c *lotteryVerifyCmd) proof(a *app, o lottery.VerifyOptions) error {
	text, err := readInput(a, c.Proof)
	if err != nil {
		return badInput(err)
	}
	p, err := lottery.ParseProof(text)
	if err != nil {
		return badInput(err)
	}
	f, err := p.Check(o.Operator)
	if err != nil {
		return marked(gate.ExitInvariantBroken, err)
	}
	fmt.Fprint(a.stdout, fateText(p, f))
	if c.Receipt == "" {
		return nil
	}
	return c.receipt(a, p, f)
}

// receipt holds what the proof shows against what the operator has signed.
func (c *lotteryVerifyCmd) receipt(a *app, p lottery.Proof, f lottery.Fate) error {
	signer, err := publicKey(c.Signer)
	if err != nil {
		return badInput(fmt.Errorf("--signer %s: %w", c.Signer, err))
	}
	text, err := readInput(a, c.Receipt)
	if err != nil {
		return badInput(fmt.Errorf("--receipt: %w", err))
	}
	r, err := lottery.ReadReceipt(text)
	if err != nil {
		return badInput(fmt.Errorf("--receipt %s: %w", c.Receipt, err))
	}
	switch err := r.Verify(signer); {
	case err != nil:
		return marked(gate.ExitInvariantBroken, fmt.Errorf("--receipt %s: %w", c.Receipt, err))
	case r.ID != p.ID:
		return badInput(fmt.Errorf("the receipt is of entry %s, the proof of %s", r.ID, p.ID))
	}
	keeps, why := f.Holds(r)
	if !keeps {
		return marked(gate.ExitInvariantBroken, errors.New("receipt: "+why))
	}
	fmt.Fprintf(a.stdout, "receipt  %s\n", why)
	return nil
}

// fateText is what a proof comes to, in a few lines.
func fateText(p lottery.Proof, f lottery.Fate) string {
	var b strings.Builder
	s := f.Seal
	fmt.Fprintf(&b, "entry    %s\n", p.ID)
	fmt.Fprintf(&b, "draw     %s of %s: %s entries, root %s\n", s.Draw, s.Day, count(s.Entries), s.Root)
	if !f.In {
		fmt.Fprintf(&b, "in       no: it would stand between two entries that are neighbours in the list\n")
		return b.String()
	}
	l := s.Lines[f.Entry.Line]
	fmt.Fprintf(&b, "in       yes, entry %s of the list: %s at %s, entered %s\n", count(f.Index+1), l.Type, l.Shop, f.Entry.At().In(s.Cutoff.Location()).Format(time.DateTime))
	if f.Drawn == nil {
		fmt.Fprintf(&b, "result   not drawn yet\n")
		return b.String()
	}
	fmt.Fprintf(&b, "ticket   %s\ncut-off  %s\n", f.Ticket, f.Cutoff)
	if f.Again {
		fmt.Fprintf(&b, "second   %s\ncut-off  %s\n", f.SecondTicket, f.SecondCutoff)
	}
	switch f.Won {
	case 1:
		fmt.Fprintf(&b, "result   WON: the ticket is not above the cut-off\n")
	case 2:
		fmt.Fprintf(&b, "result   WON in round 2, another type at %s\n", l.Shop)
	default:
		fmt.Fprintf(&b, "result   not won: the ticket is above the cut-off\n")
	}
	return b.String()
}

type lotteryProveCmd struct {
	bundleAt
	Entry string `required:"" placeholder:"ID" help:"The entry's id, 32 hex digits, as the receipt has it."`
	Out   string `placeholder:"FILE" help:"Write the proof there: it holds by itself, without the bundle."`
	JSON  bool   `help:"Print the proof itself instead of what it comes to."`
}

func (c *lotteryProveCmd) Run(a *app) error {
	id, err := lottery.ParseID(c.Entry)
	if err != nil {
		return badInput(fmt.Errorf("--entry: %w", err))
	}
	b, err := c.open()
	if err != nil {
		return err
	}
	defer b.Close() // only read
	p, err := b.Prove(id)
	if err != nil {
		return marked(gate.ExitInvariantBroken, err)
	}
	f, err := p.Check(nil)
	if err != nil {
		return marked(gate.ExitInvariantBroken, err)
	}
	text, err := p.Encode()
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := os.WriteFile(c.Out, text, 0o644); err != nil {
			return badInput(fmt.Errorf("cannot write the proof: %w", err))
		}
	}
	if c.JSON {
		_, err = a.stdout.Write(text)
		return err
	}
	fmt.Fprint(a.stdout, fateText(p, f))
	if c.Out != "" {
		fmt.Fprintf(a.stdout, "proof    %s (%s bytes); spillway lottery verify --proof %s\n", c.Out, count(len(text)), c.Out)
	}
	return nil
}

type lotteryExportCmd struct {
	bundleAt
	Shop string `placeholder:"NAME" help:"One pharmacy; by default each gets a file of its own."`
	Out  string `placeholder:"DIR" help:"Where the files go, a file a pharmacy. By default one pharmacy's list goes to standard output."`
	actor
}

func (c *lotteryExportCmd) Run(a *app) error {
	b, err := c.open()
	if err != nil {
		return err
	}
	defer b.Close() // only read
	lists, err := b.Lists()
	if err != nil {
		return badInput(err)
	}
	var one []lottery.ShopList
	for _, l := range lists {
		if c.Shop == "" || l.Shop == c.Shop {
			one = append(one, l)
		}
	}
	switch {
	case len(one) == 0:
		return badInput(fmt.Errorf("--shop %s: the stock list has no such shop", c.Shop))
	case c.Out == "" && len(one) > 1:
		return badInput(errors.New("want --shop NAME for one pharmacy's list, or --out DIR for all"))
	case c.Out == "":
		if err := writeList(a.stdout, one[0]); err != nil {
			return environment(err)
		}
	default:
		if err := os.MkdirAll(c.Out, 0o755); err != nil {
			return environment(fmt.Errorf("cannot make the folder of the lists: %w", err))
		}
		rows := 0
		for _, l := range one {
			var text bytes.Buffer
			if err := writeList(&text, l); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(c.Out, fileName(l.Area+"-"+l.Shop)+".csv"), text.Bytes(), 0o644); err != nil {
				return environment(fmt.Errorf("cannot write a list: %w", err))
			}
			rows += len(l.Rows)
		}
		fmt.Fprintf(a.stdout, "exported %s rows of %s pharmacies to %s\n", count(rows), count(len(one)), c.Out)
	}
	d, err := b.Drawn()
	if err != nil {
		return badInput(err)
	}
	return environment(b.Audit().Append(clockOf(b.Seal, d.At), c.who(), "export", d.Winners, c.Shop))
}

// writeList is a pharmacy's list as CSV. A row's first field tells a winner from a
// reserve.
func writeList(w interface{ Write([]byte) (int, error) }, l lottery.ShopList) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"list", "rank", "entry", "type", "masks", "round"}) // Error below tells
	for _, r := range l.Rows {
		list, round := "winner", strconv.Itoa(r.Round)
		if r.Round == 0 {
			list, round = "reserve", ""
		}
		_ = c.Write([]string{list, strconv.Itoa(r.Rank), r.ID.String(), r.Type, strconv.Itoa(r.Masks), round}) // as above
	}
	c.Flush()
	return c.Error()
}

// fileName makes a name of a shop safe as a file's.
func fileName(s string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>| `, r) {
			return '-'
		}
		return r
	}, s), "-.")
}

type lotteryAuditCmd struct {
	bundleAt
	JSON bool `help:"Print JSON."`
}

func (c *lotteryAuditCmd) Run(a *app) error {
	b, err := c.open()
	if err != nil {
		return err
	}
	defer b.Close() // only read
	actions, head, err := b.Audit().Read()
	if err != nil {
		return marked(gate.ExitInvariantBroken, err)
	}
	if c.JSON {
		return writeJSON(a, actions)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "number\twhen\twho\twhat\tof\tdetail")
	for _, x := range actions {
		fmt.Fprintf(w, "%d\t%s\t%q\t%s\t%.16s…\t%q\n", x.Number, x.At.Format(time.DateTime), x.Who, x.What, x.Of, x.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "head %s\n", head)
	return nil
}

// readInput reads a file, or standard input for "-".
func readInput(a *app, path string) ([]byte, error) {
	if path != "-" {
		return os.ReadFile(path)
	}
	var b bytes.Buffer
	_, err := b.ReadFrom(a.stdin)
	return b.Bytes(), err
}
