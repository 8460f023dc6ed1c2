package cli

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"time"

	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/reference/lottery"
	"spillway/reference/lottery/beacon"
	"spillway/reports/page"
)

type lotteryRehearseCmd struct {
	Day     string `default:"2020-02-19" placeholder:"DATE" help:"The day of the draw."`
	Entries int    `default:"2629006" help:"How many entries; 2,629,006 were valid on 19 February 2020."`
	Winners int64  `default:"100237" help:"The sum of the quotas; 100,237 then."`
	Seed    uint64 `default:"1" help:"Of the people, the keys and the dice."`
	output
}

func (c *lotteryRehearseCmd) Run(a *app) error {
	day, err := policy.ParseDay(c.Day)
	if err != nil {
		return badInput(fmt.Errorf("--day: %w", err))
	}
	if c.Entries < 1 || c.Winners < 1 {
		return badInput(fmt.Errorf("--entries %d, --winners %d: want 1 or more", c.Entries, c.Winners))
	}
	dir, err := newRunDir(c.Out, "lottery-"+day.String())
	if err != nil {
		return err
	}
	show := newStages(a)
	h := rehearsal{seed: draw.Seed(c.Seed), dir: filepath.Join(dir, "bundle"), show: show}
	l, err := h.hold(a, newSample(lotteryRules(), day, c.Entries, c.Winners, h.seed), day)
	show.over()
	if err != nil {
		return err
	}
	defer l.bundle.Close() // only read
	l.commands = []string{
		fmt.Sprintf("spillway lottery rehearse --day %s --entries %d --winners %d --seed %d", day, c.Entries, c.Winners, c.Seed),
		"spillway lottery verify --bundle " + h.dir, "spillway lottery prove --bundle " + h.dir + " --entry ID",
		"spillway lottery export --bundle " + h.dir + " --out lists"}
	if err := writeLotteryPage(dir, l); err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprint(a.stdout, drawnText(l.bundle.Seal, l.drawn))
		fmt.Fprintf(a.stdout, "bundle   %s\n", h.dir)
		for _, f := range l.facts {
			fmt.Fprintf(a.stdout, "%-8s %s\n", f.Name, f.What)
		}
		fmt.Fprintln(a.stdout)
	}
	return showFairness(a, l.report, dir, c.JSON)
}

// rehearsal holds a whole day on made-up people, with keys, secret and dice from the
// seed: nothing about it is secret.
type rehearsal struct {
	seed draw.Seed
	dir  string
	show *stages
}

func (h rehearsal) bytes(what string) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("spillway lottery rehearsal "+what+"\x00"), uint64(h.seed)))
}

func (h rehearsal) key(name string) ed25519.PrivateKey {
	seed := h.bytes("key of " + name)
	return ed25519.NewKeyFromSeed(seed[:])
}

// dice is how many are thrown: 129 bits.
const dice = 50

const drawDice uint8 = 220

func (h rehearsal) hold(a *app, s *sample, day policy.Day) (l lotteryPage, err error) {
	r := lotteryRules()
	seal := sealOf(r, day, "suikang masks")
	seal.Rehearsal, seal.Lines = true, s.lines
	for _, name := range []string{"operator", "pharmacy company", "notary office"} {
		seal.Parties = append(seal.Parties, lottery.Party{Name: name, Key: lottery.KeyOf(h.key(name))})
	}
	seal.Beacon = beacon.Source{Kind: beacon.KindCeremony, Ceremony: &beacon.Ceremony{What: "fifty dice, thrown together into a tray", By: "the notary",
		Where: "the hall of the draw", At: seal.DrawAt, Form: beacon.Form{Count: dice, Min: 1, Max: 6}, Witnesses: 2}}
	began := time.Now()
	took := func(name string) {
		l.facts = append(l.facts, page.Fact{Name: name, What: fmt.Sprintf("%.1f s on %d cores", time.Since(began).Seconds(), lottery.Workers())})
		began = time.Now()
	}
	l.bundle, err = lottery.MakeSeal(a.ctx, lottery.SealOptions{Dir: h.dir, Seal: seal, Rules: lottery.RulesText(r), Secret: h.bytes("secret"), Key: h.key("operator"),
		Entries: func(take func(lottery.Entry) error) error { return s.entries(take, h.show.tell) }, Now: seal.Cutoff, Who: "rehearsal", Progress: h.show.tell})
	if err != nil {
		return l, badInput(err)
	}
	took("sealed in")
	for _, p := range seal.Parties[1:] {
		if err := l.bundle.Sign(p.Name, h.key(p.Name), seal.Cutoff.Add(10*time.Minute)); err != nil {
			return l, err
		}
	}
	began = time.Now()
	v := beacon.Value{Kind: beacon.KindCeremony, Ceremony: &beacon.Reading{Witnesses: []string{"of the public", "of the company"}}}
	for i := range dice {
		v.Ceremony.Values = append(v.Ceremony.Values, 1+int64(6*h.seed.Uniform(drawDice, uint64(i), 0)))
	}
	var out lottery.Outcome
	if l.drawn, out, err = l.bundle.Draw(a.ctx, lottery.DrawOptions{Value: v, Secret: h.bytes("secret"), Key: h.key("operator"),
		Now: seal.DrawAt, Who: "rehearsal", Progress: h.show.tell}); err != nil {
		return l, err
	}
	took("drawn in")
	operator := seal.Parties[0].Key
	if l.verified, err = lottery.Verify(a.ctx, h.dir, lottery.VerifyOptions{Operator: &operator, Progress: h.show.tell}); err != nil {
		return l, err
	}
	took("verified in")
	if l.report, err = judgeDraw(a.ctx, l.bundle, l.drawn, out); err != nil {
		return l, err
	}
	took("judged in")
	l.warnings = []string{"A rehearsal: people, keys, secret and dice come from the seed, and the hours are the day's. It shows the procedure, not a draw."}
	for _, f := range lottery.Files {
		l.files = append(l.files, page.File{Name: "bundle/" + f.Name, What: f.What})
	}
	return l, nil
}
