package console

import (
	"bytes"
	_ "embed"
	"encoding"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/reference/lottery"
	"spillway/reference/lottery/beacon"
)

// What one page shows at most, in rows; the rest is a search away.
const (
	linesShown   = 200
	shopsShown   = 200
	winnersShown = 100
	actionsShown = 100
	searchMost   = 100 // bytes
)

//go:embed console.html
var source string

var tmpl = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": count,
	"hex":   groups,
	"clock": clockText,
	"hour":  func(t time.Time) string { return t.Format(time.TimeOnly) },
	"short": func(h lottery.Hash) string { return h.String()[:16] + "…" },
	"share": share,
	"p":     func(p float64) string { return strconv.FormatFloat(p, 'g', 2, 64) },
	"add":   func(a, b int) int { return a + b },
}).Parse(source))

// question is what the page is asked for.
type question struct {
	Lines, Shops string // searches
	Shop         int    // whose list is shown; -1 = none
	From         int    // row of it that is shown first
	Entry        string
}

func ask(r *http.Request) question {
	q := r.URL.Query()
	text := func(name string) string {
		s := strings.TrimSpace(strings.ToValidUTF8(q.Get(name), ""))
		return s[:min(len(s), searchMost)]
	}
	number := func(name string, none int) int {
		if n, err := strconv.Atoi(q.Get(name)); err == nil && n >= 0 {
			return n
		}
		return none
	}
	return question{text("lines"), text("shops"), number("shop", -1), number("from", 0), strings.ToLower(text("entry"))}
}

// finds says whether any of the texts has the words that are searched for.
func finds(search string, texts ...string) bool {
	all := strings.ToLower(strings.Join(texts, " "))
	return !slices.ContainsFunc(strings.Fields(strings.ToLower(search)), func(w string) bool { return !strings.Contains(all, w) })
}

// step is one state among all.
type step struct {
	Name      string
	Now, Past bool
}

type lineRow struct {
	lottery.Line
	Pool *lottery.Pool // nil: not to be shown
}

type shopRow struct {
	Index                  int
	Area, Shop             string
	First, Second, Reserve int
}

type shopPage struct {
	Shop       shopRow
	Rows       []lottery.ShopRow
	From, All  int
	Prev, Next int // -1 = none
}

// Last is the number of the page's last row.
func (s shopPage) Last() int { return s.From + len(s.Rows) }

type entryView struct {
	Asked  string
	Wrong  string // why there is no proof
	ID     lottery.ID
	Fate   lottery.Fate
	Line   lottery.Line
	Entry  time.Time
	Leaves int64 // its number in the list, from 1
	Bytes  int
	Held   bool // the draw is made and not shown
}

type partyRow struct {
	lottery.Party
	Signed bool
}

// data is what the template is filled with.
type data struct {
	Q        question
	V        *view
	Now      time.Time
	State    string
	Name     string // of the draw
	Steps    []step
	Until    string
	Target   time.Time
	Job      *job
	Failed   string
	Can      bool // it was given the operator's key
	Hours    *lottery.Seal
	Revealed bool

	Quota, Masks, Shares int64
	ShopCount            int
	First, Round2        int64
	Parties              []partyRow
	SignedCount          int
	Source               string
	Where                string // the beacon's value is found there
	Known                time.Time
	Example              string
	Lines                []lineRow
	LinesAll             int
	Shops                []shopRow
	ShopsAll             int
	Picked               *shopPage
	ListsFail            string
	Entry                *entryView
	Tests                []Test
	TestState            string
	Actions              []actionRow
	Files                []file
}

type actionRow struct {
	lottery.Action
	Held bool // its detail is not to be shown yet
}

func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	admin, ok := c.reader(w, r)
	if !ok {
		return
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, c.data(ask(r), admin)); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // who asked has gone
}

// data is all that a page shows to who asks.
func (c *Console) data(q question, admin bool) data {
	v := c.look()
	d := data{Q: q, V: v, Now: c.now(), Can: c.o.Keys != nil, Revealed: v.revealed(admin)}
	now := v.state(d.Now)
	d.State = now.String()
	for s := open; s <= void; s++ {
		if s == void != (now == void) && s > sealed {
			continue // whatever is void goes nowhere else
		}
		d.Steps = append(d.Steps, step{s.String(), s == now, s < now})
	}
	d.Until, d.Target = v.next(d.Now, c.o.Due)
	c.mu.Lock()
	d.Job, d.Failed, d.Hours = c.job, c.failed, c.hours()
	fair := c.fair
	c.mu.Unlock()
	d.Name = "A draw"
	if d.Hours != nil && d.Hours.Draw != "" {
		d.Name = d.Hours.Draw
	}
	if v.Bundle == nil {
		return d
	}
	d.seal(v)
	d.lines(v)
	if d.Revealed {
		c.winners(&d)
	}
	d.Entry = entry(v, q.Entry, admin)
	d.tests(c.o.Fairness != nil, fair)
	for i := len(v.Actions) - 1; i >= max(0, len(v.Actions)-actionsShown); i-- {
		a := v.Actions[i]
		d.Actions = append(d.Actions, actionRow{a, a.What == "draw" && v.Drawn != nil && !d.Revealed})
	}
	for _, f := range files {
		if !f.Late || f.Name == lottery.FileAudit && v.Drawn == nil || d.Revealed {
			d.Files = append(d.Files, f)
		}
	}
	return d
}

func (d *data) seal(v *view) {
	for _, p := range v.Seal.Parties {
		d.Parties = append(d.Parties, partyRow{p, v.Signed[p.Name]})
	}
	d.SignedCount = len(v.Signed)
	s := v.Seal.Beacon
	d.Source, d.Known = s.String(), s.Available().In(v.Seal.DrawAt.Location())
	switch s.Kind {
	case beacon.KindDrand:
		d.Where = fmt.Sprintf("https://api.drand.sh/%s/public/%d", s.Drand.Chain, s.Drand.Round)
		d.Example = fmt.Sprintf(`{"round":%d,"randomness":"…","signature":"…"}`, s.Drand.Round)
	case beacon.KindRFC3797:
		d.Example = `{"kind":"rfc3797","rfc3797":[{"name":"…","numbers":[…]}, …]}`
	case beacon.KindCeremony:
		d.Example = fmt.Sprintf(`{"kind":"ceremony","ceremony":{"values":[%d numbers, as read],"witnesses":["…", …]}}`, s.Ceremony.Count)
	}
}

func (d *data) lines(v *view) {
	shops := map[[2]string]bool{}
	for i, l := range v.Seal.Lines {
		d.Quota += l.Quota
		d.Masks += l.Quota * int64(l.Masks)
		shops[[2]string{l.Area, l.Shop}] = true
		row := lineRow{Line: l}
		if d.Revealed {
			p := v.Drawn.Pools[i]
			row.Pool = &p
			d.First += p.Won
			d.Round2 += p.Second
		}
		if !finds(d.Q.Lines, l.Area, l.Shop, l.Type) {
			continue
		}
		if d.LinesAll++; len(d.Lines) < linesShown {
			d.Lines = append(d.Lines, row)
		}
	}
	d.ShopCount = len(shops)
}

// winners fills in the lists of the pharmacies.
func (c *Console) winners(d *data) {
	lists, err := c.listsOf(d.V)
	if err != nil {
		d.ListsFail = strings.TrimPrefix(err.Error(), "lottery: ")
		return
	}
	for i, l := range lists {
		row := shopRow{Index: i, Area: l.Area, Shop: l.Shop}
		for _, r := range l.Rows {
			switch r.Round {
			case 1:
				row.First++
			case 2:
				row.Second++
			default:
				row.Reserve++
			}
		}
		if i == d.Q.Shop {
			from := min(d.Q.From, max(0, len(l.Rows)-1)) / winnersShown * winnersShown
			p := &shopPage{Shop: row, From: from, All: len(l.Rows), Rows: l.Rows[from:min(len(l.Rows), from+winnersShown)], Prev: -1, Next: -1}
			if from > 0 {
				p.Prev = from - winnersShown
			}
			if p.Last() < p.All {
				p.Next = p.Last()
			}
			d.Picked = p
		}
		if !finds(d.Q.Shops, l.Area, l.Shop) {
			continue
		}
		if d.ShopsAll++; len(d.Shops) < shopsShown {
			d.Shops = append(d.Shops, row)
		}
	}
}

// entry is what becomes of the one who asks; nil = nobody asks.
func entry(v *view, text string, admin bool) *entryView {
	if text == "" {
		return nil
	}
	e := &entryView{Asked: text}
	var err error
	if e.ID, err = lottery.ParseID(text); err != nil {
		e.Wrong = "An entry’s id has 32 hexadecimal digits, as the receipt shows it."
		return e
	}
	p, f, err := v.prove(e.ID, admin)
	if err != nil {
		e.Wrong = strings.TrimPrefix(err.Error(), "lottery: ")
		return e
	}
	doc, err := p.Encode()
	if err != nil {
		e.Wrong = err.Error()
		return e
	}
	e.Fate, e.Bytes, e.Leaves = f, len(doc), f.Index+1
	e.Held = v.Drawn != nil && !v.revealed(admin)
	if f.In {
		e.Line, e.Entry = v.Seal.Lines[f.Entry.Line], f.Entry.At().In(v.Seal.Cutoff.Location())
	}
	return e
}

func (d *data) tests(has bool, f fairness) {
	switch {
	case !has:
		d.TestState = "This console was started without tests."
	case !d.Revealed:
		d.TestState = "They come when the draw is published."
	case !f.done || f.of != d.V.Draw:
		d.TestState = "They are being reckoned."
	case f.err != nil:
		d.TestState = "They could not be reckoned: " + f.err.Error()
	default:
		d.Tests = f.rows
	}
}

// count writes a whole number in groups of three.
func count(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// share writes a part of a whole.
func share(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f %%", 100*float64(part)/float64(whole))
}

// groups are the hex digits of a digest, eight at a time.
func groups(h encoding.TextMarshaler) (out []string, err error) {
	text, err := h.MarshalText()
	s := string(text)
	for ; len(s) > 8; s = s[8:] {
		out = append(out, s[:8])
	}
	return append(out, s), err
}

// clockText is a moment as a clock on the wall shows it.
func clockText(t time.Time) string { return t.Format("2006-01-02 15:04:05 -07:00") }
