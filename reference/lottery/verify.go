package lottery

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// VerifyOptions say what a bundle is held against beyond itself.
type VerifyOptions struct {
	// Operator is the operator's key as known from elsewhere; nil = the seal's own,
	// which proves nothing about who made it.
	Operator *Key
	// Digest is the seal's digest as a party wrote it down; nil = not held against.
	Digest *Hash
	// Earlier are bundles of earlier days, drawn: who won there is waiting.
	Earlier []string
	// Progress is told what is done of what; nil = nobody.
	Progress func(what string, done, of int64)
}

// Verified is what was checked, in order.
type Verified struct {
	Seal     Seal
	SignedBy []string
	Drawn    *Drawn  // nil before the draw
	Void     *Action // the one that declared it void; nil = none did
	Outcome  Outcome
	Done     []Step
}

// Step is one thing that was checked, and what was found to hold.
type Step struct{ What, Holds string }

// Verify does all of a bundle again, from its files alone, and stops at the first
// thing that does not fit.
func Verify(ctx context.Context, dir string, o VerifyOptions) (v Verified, err error) {
	b, err := Open(dir)
	if err != nil {
		return v, err
	}
	defer b.Close() // only read
	done := func(what, format string, args ...any) {
		v.Done = append(v.Done, Step{what, fmt.Sprintf(format, args...)})
	}
	v.Seal = b.Seal
	if v.SignedBy, err = b.SignedBy(); err != nil {
		return v, err
	}
	if err := b.anchored(o); err != nil {
		return v, err
	}
	done("seal", "%s of %s, closed at %s, signed by %d of %d parties", b.Digest(), b.Seal.Day, stamp(b.Seal.Cutoff), len(v.SignedBy), len(b.Seal.Parties))
	rules, err := b.read(FileRules)
	if err != nil {
		return v, err
	}
	if sha256.Sum256(rules) != b.Seal.Rules {
		return v, fmt.Errorf("lottery: %s: not the text of the seal", FileRules)
	}
	done("rules", "the text of the seal")
	tell := func(what string, n int64) {
		if o.Progress != nil {
			o.Progress(what, n, b.Seal.Entries)
		}
	}
	if err := b.checkList(ctx, func(n int64) { tell("hashing", n) }); err != nil {
		return v, err
	}
	done("list", "%d entries in order, each once, each in time; root %s", b.Seal.Entries, b.Seal.Root)
	for _, earlier := range o.Earlier {
		n, err := b.checkWaiting(earlier)
		if err != nil {
			return v, err
		}
		done("waiting", "none of the %d winners of %s is in the list", n, earlier)
	}
	if v.Drawn, err = b.verifyDraw(ctx, &v.Outcome, tell); err != nil {
		return v, err
	}
	if v.Drawn != nil {
		done("draw", "the beacon's value is of the source in the seal, the secret the one committed to; seed %s", v.Drawn.Seed)
		done("winners", "%d drawn again, the same; %d in reserve, the same", v.Drawn.Won, v.Drawn.Reserve)
	}
	actions, head, err := b.Actions(v.Drawn != nil)
	if err != nil {
		return v, err
	}
	done("audit log", "%d lines hold together; head %s", len(actions), head)
	v.Void = VoidOf(actions)
	return v, nil
}

// anchored holds the seal against what is known of it from elsewhere.
func (b *Bundle) anchored(o VerifyOptions) error {
	if o.Operator != nil && *o.Operator != b.Seal.Parties[0].Key {
		return fmt.Errorf("lottery: the operator's key in the seal is %s, not %s", b.Seal.Parties[0].Key, *o.Operator)
	}
	if o.Digest != nil && *o.Digest != b.Digest() {
		return fmt.Errorf("lottery: the seal's digest is %s, not %s: it was made anew", b.Digest(), *o.Digest)
	}
	return nil
}

// verifyDraw draws again; nil when nothing is drawn yet.
func (b *Bundle) verifyDraw(ctx context.Context, out *Outcome, tell func(string, int64)) (*Drawn, error) {
	d, err := b.Drawn()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for _, name := range []string{FileDraw, FileDrawSignatures, FileWinners, FileReserve} {
			if _, err := os.Lstat(filepath.Join(b.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("lottery: there is a file %s, but not all of a draw", name)
			}
		}
		return nil, nil
	case err != nil:
		return nil, err
	}
	seed, randomness, err := b.seedFor(d.Beacon, d.Secret)
	switch {
	case err != nil:
		return nil, err
	case d.Randomness != randomness:
		return nil, fmt.Errorf("lottery: %s: randomness %s, the beacon's value comes to %s", FileDraw, d.Randomness, Hash(randomness))
	case d.Seed != seed:
		return nil, fmt.Errorf("lottery: %s: seed %s, root, secret, randomness and day come to %s", FileDraw, d.Seed, seed)
	}
	if *out, err = Draw(ctx, b.List(), b.Seal.Lines, seed, func(round int, n int64) { tell(fmt.Sprintf("round %d", round), n) }); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		wins []Win
		said Hash
	}{{FileWinners, out.Wins, d.Winners}, {FileReserve, out.Reserve, d.Reserves}} {
		if err := b.sameWins(f.name, f.wins, f.said); err != nil {
			return nil, err
		}
	}
	again := d
	again.Won, again.Reserve, again.Pools, again.Shops = int64(len(out.Wins)), int64(len(out.Reserve)), out.Pools, out.Shops
	want, err := encode(again)
	if err != nil {
		return nil, err
	}
	if got, err := b.read(FileDraw); err != nil {
		return nil, err
	} else if !bytes.Equal(got, want) {
		return nil, fmt.Errorf("lottery: %s: its counts or cut-offs are not those of the draw", FileDraw)
	}
	return &d, nil
}

// sameWins holds a list of wins against the draw made again, line by line.
func (b *Bundle) sameWins(name string, wins []Win, said Hash) error {
	got, err := b.read(name)
	if err != nil {
		return err
	}
	var want bytes.Buffer
	if err := WriteWins(&want, b.Seal.Lines, wins); err != nil {
		return err
	}
	if !bytes.Equal(got, want.Bytes()) {
		return fmt.Errorf("lottery: %s: line %d is not the draw's", name, 1+bytes.Count(got[:same(got, want.Bytes())], []byte{'\n'}))
	}
	if sha256.Sum256(got) != said {
		return fmt.Errorf("lottery: %s: the draw says another digest, %s", name, said)
	}
	return nil
}

// same is how many bytes two texts begin with in common.
func same(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// Actions is the audit log, held together and against seal and draw; the actions come
// with an error too, as far as they can be read.
func (b *Bundle) Actions(drawn bool) (actions []Action, head Hash, err error) {
	actions, head, err = b.Audit().Read()
	switch {
	case err != nil:
		return actions, head, err
	case len(actions) == 0 || actions[0].What != "seal" || actions[0].Of != b.Digest():
		return actions, head, errors.New("lottery: audit log: its first line is not this seal's making")
	case !drawn:
		return actions, head, nil
	case VoidOf(actions) != nil:
		return actions, head, errors.New("lottery: audit log: this draw was declared void, and yet was made")
	}
	of, err := b.DrawDigest()
	if err != nil {
		return actions, head, err
	}
	for _, a := range actions {
		if a.What == "draw" && a.Of == of {
			return actions, head, nil
		}
	}
	return actions, head, errors.New("lottery: audit log: no line of it made this draw")
}

// checkWaiting holds the list against the winners of an earlier bundle: none of them
// may be in it while they wait.
func (b *Bundle) checkWaiting(dir string) (winners int, err error) {
	e, err := Open(dir)
	if err != nil {
		return 0, err
	}
	defer e.Close() // only read
	d, err := e.Drawn()
	if err != nil {
		return 0, err
	}
	ours, theirs := b.Seal.day(), e.Seal.day()
	if !theirs.Before(ours) {
		return 0, fmt.Errorf("lottery: bundle %s is of %s, not earlier than %s", dir, e.Seal.Day, b.Seal.Day)
	}
	if ours.Sub(theirs) > time.Duration(b.Seal.WaitDays)*24*time.Hour {
		return 0, nil // their wait is over
	}
	ids, err := e.winners(d)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		switch _, found, err := b.List().find(id); {
		case err != nil:
			return 0, err
		case found:
			return 0, fmt.Errorf("lottery: entry %s is in the list, but won on %s and waits %d days", id, e.Seal.Day, b.Seal.WaitDays)
		}
	}
	return len(ids), nil
}

func (s Seal) day() time.Time {
	t, _ := time.Parse(time.DateOnly, s.Day) // Check has done it
	return t
}

// winners reads the published winners of a bundle, which must be those that its draw
// is signed for.
func (b *Bundle) winners(d Drawn) (ids []ID, err error) {
	rows, err := b.rows(FileWinners, d.Winners)
	for _, r := range rows {
		id, err := ParseID(r[6])
		if err != nil {
			return nil, fmt.Errorf("lottery: %s: %w", FileWinners, err)
		}
		ids = append(ids, id)
	}
	return ids, err
}

// rows are the rows of winners.csv or reserve.csv, without the head.
func (b *Bundle) rows(name string, said Hash) ([][]string, error) {
	data, err := b.read(name)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(data) != said {
		return nil, fmt.Errorf("lottery: %s: not the list that the draw was signed for", name)
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = 9
	var rows [][]string
	for head := true; ; head = false {
		row, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return rows, nil
		case err != nil:
			return nil, fmt.Errorf("lottery: %s: %w", name, err)
		case !head:
			rows = append(rows, row)
		}
	}
}

// ShopList is what a pharmacy gets.
type ShopList struct {
	Area, Shop string
	Rows       []ShopRow // by line, winners before reserves, by rank
}

// ShopRow is a winner or a reserve of a pharmacy.
type ShopRow struct {
	ID          ID
	Line        int
	Type        string
	Masks       int
	Round, Rank int // as in Win
}

// Lists are the lists of all pharmacies in the order of the stock list, from the
// files that the draw is signed for.
func (b *Bundle) Lists() ([]ShopList, error) {
	d, err := b.Drawn()
	if err != nil {
		return nil, err
	}
	shops, of := shopsOf(b.Seal.Lines)
	lists := make([]ShopList, len(shops))
	for i, s := range shops {
		lists[i] = ShopList{Area: b.Seal.Lines[s.lines[0]].Area, Shop: s.name}
	}
	for _, f := range []struct {
		name string
		said Hash
	}{{FileWinners, d.Winners}, {FileReserve, d.Reserves}} {
		rows, err := b.rows(f.name, f.said)
		if err != nil {
			return nil, err
		}
		for i, r := range rows {
			row, err := shopRow(r, b.Seal.Lines)
			if err != nil {
				return nil, fmt.Errorf("lottery: %s:%d: %w", f.name, i+2, err)
			}
			l := &lists[of[row.Line]]
			l.Rows = append(l.Rows, row)
		}
	}
	for _, l := range lists {
		slices.SortStableFunc(l.Rows, func(x, y ShopRow) int {
			return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare((x.Round+2)%3, (y.Round+2)%3)) // 1, 2, 0
		})
	}
	return lists, nil
}

func shopRow(r []string, lines []Line) (row ShopRow, err error) {
	var errs [4]error
	row.Line, errs[0] = strconv.Atoi(r[0])
	row.Round, errs[1] = strconv.Atoi(r[4])
	row.Rank, errs[2] = strconv.Atoi(r[5])
	row.ID, errs[3] = ParseID(r[6])
	if err := errors.Join(errs[:]...); err != nil {
		return row, errors.New("not a row of winners")
	}
	if row.Line < 0 || row.Line >= len(lines) {
		return row, fmt.Errorf("line %d: the stock list has %d", row.Line, len(lines))
	}
	row.Type, row.Masks = lines[row.Line].Type, lines[row.Line].Masks
	return row, nil
}
