package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"spillway/internal/policy"
	"spillway/reference/lottery"
	"spillway/reference/lottery/beacon"
)

type lotterySealCmd struct {
	Day       string   `required:"" placeholder:"DATE" help:"The day of the draw, as in 2020-02-19. Its list closed at 22:00 on the evening before."`
	Out       string   `default:"bundle" placeholder:"DIR" help:"The bundle's folder; it must not exist."`
	From      string   `placeholder:"FILE" help:"The day's entries: CSV, or canonical entries (.entries), in any order. Instead of --db."`
	DB        string   `name:"db" env:"SPILLWAY_DB" placeholder:"URL" help:"The database of a backend in mode lottery."`
	Redis     string   `env:"SPILLWAY_REDIS" placeholder:"URL" help:"Its Redis, so that nothing of the day is still on its way; without it the backend must have stopped."`
	Event     string   `default:"spillway" help:"Hash tag of its keys."`
	Stock     string   `required:"" placeholder:"FILE" help:"The stock list, CSV: area,shop,type,masks,stock,quota."`
	Rules     string   `placeholder:"FILE" help:"The text of the rules; by default the built-in ones in words."`
	Beacon    string   `placeholder:"SOURCE" help:"Where the randomness will come from: drand:quicknet:ROUND, drand:default:ROUND, or a file with a source as JSON (rfc3797, ceremony). Default: quicknet's first round at the hour of the draw."`
	Key       string   `required:"" env:"SPILLWAY_LOTTERY_KEY" placeholder:"FILE" help:"The operator's Ed25519 key, as \"openssl genpkey -algorithm ed25519\" writes it."`
	Secret    string   `placeholder:"FILE" help:"Where the operator's secret is kept until the draw; made now. Default: DIR.secret."`
	Party     []string `placeholder:"NAME=KEY" help:"Another who holds the seal, and his public key (hex or a file); repeatable."`
	Give      []string `placeholder:"DIR" help:"Copy the bundle and the secret there for a party; repeatable."`
	Name      string   `default:"suikang masks" help:"The name of the draw."`
	Rehearsal bool     `help:"Take the day's own hours for the clock's: for days that are past. The seal says so."`
	actor
}

func (c *lotterySealCmd) Run(a *app) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	file := secretFile(c.Secret, c.Out)
	if o.Secret, err = newSecret(file); err != nil {
		return err
	}
	show := newStages(a)
	o.Progress = show.tell
	b, err := c.seal(a, o)
	show.over()
	if err != nil {
		return errors.Join(badInput(err), os.Remove(file)) // it has served nothing
	}
	defer b.Close() // only read
	if c.From == "" {
		if err := recordSeal(a, c.DB, b); err != nil {
			return err
		}
	}
	for _, dir := range c.Give {
		if err := b.Give(dir, o.Secret); err != nil {
			return badInput(err)
		}
		if err := b.Audit().Append(o.Now, o.Who, "give", b.Digest(), dir); err != nil {
			return environment(err)
		}
	}
	s := b.Seal
	fmt.Fprintf(a.stdout, "sealed   %s entries of %s in %s lines; closed at %s\n", count(s.Entries), s.Day, count(len(s.Lines)), s.Cutoff.Format(time.DateTime))
	fmt.Fprintf(a.stdout, "root     %s\n", s.Root)
	fmt.Fprintf(a.stdout, "digest   %s   write it down: it stands for all of the seal\n", b.Digest())
	fmt.Fprintf(a.stdout, "beacon   %s, known at %s at the earliest\n", s.Beacon, s.Beacon.Available().In(s.DrawAt.Location()).Format(time.DateTime))
	fmt.Fprintf(a.stdout, "secret   in %s until the draw; committed to as %s\n", file, s.Commitment)
	fmt.Fprintf(a.stdout, "bundle   %s; copies with the secret: %d\n", c.Out, len(c.Give))
	return nil
}

// options are what the flags come to.
func (c *lotterySealCmd) options() (o lottery.SealOptions, err error) {
	day, err := policy.ParseDay(c.Day)
	if err != nil {
		return o, badInput(fmt.Errorf("--day: %w", err))
	}
	r := lotteryRules()
	o = lottery.SealOptions{Dir: c.Out, Now: time.Now().In(moment(r, 0).Location()), Who: c.who()}
	o.Seal = sealOf(r, day, c.Name)
	if c.Rehearsal {
		o.Seal.Rehearsal, o.Now = true, o.Seal.Cutoff
	}
	if o.Key, err = readKey(c.Key); err != nil {
		return o, err
	}
	o.Seal.Parties = []lottery.Party{{Name: "operator", Key: lottery.KeyOf(o.Key)}}
	for _, p := range c.Party {
		name, text, _ := strings.Cut(p, "=")
		key, err := publicKey(text)
		if err != nil {
			return o, badInput(fmt.Errorf("--party %s: %w", p, err))
		}
		o.Seal.Parties = append(o.Seal.Parties, lottery.Party{Name: name, Key: key})
	}
	if o.Seal.Lines, err = readStock(c.Stock); err != nil {
		return o, err
	}
	if o.Seal.Beacon, err = beaconSource(c.Beacon, o.Seal.DrawAt); err != nil {
		return o, badInput(err)
	}
	o.Rules = lottery.RulesText(r)
	if c.Rules != "" {
		text, err := os.ReadFile(c.Rules)
		if err != nil {
			return o, badInput(fmt.Errorf("cannot read the rules: %w", err))
		}
		o.Rules = string(text)
	}
	return o, nil
}

// sealOf is a seal with the hours of a day by the rules.
func sealOf(r policy.LotteryRules, day policy.Day, name string) lottery.Seal {
	// An entry is in Valid draws, its first on the day after it came, or after the
	// next when it came after a seal: the oldest of this day came after the seal of
	// Valid days before.
	return lottery.Seal{Draw: name, Day: day.String(), Cutoff: moment(r, r.SealsAt(day)), Oldest: moment(r, r.SealsAt(day-policy.Day(r.Valid))),
		DrawAt: moment(r, r.DrawsAt(day)), WaitDays: r.Wait}
}

// beaconSource is the source that a flag names; by default quicknet's first round at
// the hour of the draw.
func beaconSource(text string, drawAt time.Time) (beacon.Source, error) {
	if text == "" {
		round, err := beacon.RoundAt("quicknet", drawAt)
		if err != nil {
			return beacon.Source{}, fmt.Errorf("--beacon: %w; name another source", err)
		}
		if at, err := beacon.TimeOf("quicknet", round); err != nil || at.Sub(drawAt) > time.Minute {
			return beacon.Source{}, fmt.Errorf("--beacon: quicknet has no round at %s; name another source", drawAt.Format(time.RFC3339))
		}
		text = fmt.Sprintf("drand:quicknet:%d", round)
	}
	if !strings.HasPrefix(text, "drand:") && !strings.HasPrefix(text, "{") {
		data, err := os.ReadFile(text)
		if err != nil {
			return beacon.Source{}, fmt.Errorf("--beacon %s: neither drand:CHAIN:ROUND nor a file that can be read: %w", text, err)
		}
		text = string(data)
	}
	s, err := beacon.ParseSource(text)
	if err != nil {
		return s, fmt.Errorf("--beacon: %w", err)
	}
	return s, nil
}

// seal seals from whatever the entries come from.
func (c *lotterySealCmd) seal(a *app, o lottery.SealOptions) (*lottery.Bundle, error) {
	switch {
	case c.From != "":
		o.Entries = func(take func(lottery.Entry) error) error { return readEntries(c.From, take) }
		return lottery.MakeSeal(a.ctx, o)
	case c.DB != "":
		return c.sealLedger(a, o)
	}
	return nil, errors.New("no entries: name a file with --from, or a backend's database with --db")
}
