package lottery

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var china = time.FixedZone("", 8*3600)

func at(day, hour, minute int) time.Time { return time.Date(2020, 2, day, hour, minute, 0, 0, china) }

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

var secret = Secret(sha256.Sum256([]byte("secret")))

func options(dir string, es []Entry, lines []Line) SealOptions {
	return SealOptions{Dir: dir, Rules: "one each\n", Secret: secret, Key: key("operator"), Now: at(18, 22, 5), Who: "ada",
		Seal: Seal{Draw: "masks", Day: "2020-02-19", Cutoff: at(18, 22, 0), Oldest: at(9, 15, 0), DrawAt: at(19, 15, 0), WaitDays: 10,
			Beacon:  testSource(),
			Parties: []Party{{"operator", KeyOf(key("operator"))}, {"company", KeyOf(key("company"))}, {"notary", KeyOf(key("notary"))}},
			Lines:   unsealed(lines)},
		Entries: func(take func(Entry) error) error {
			for _, e := range es {
				if err := take(e); err != nil {
					return err
				}
			}
			return nil
		}}
}

func unsealed(lines []Line) []Line {
	lines = slices.Clone(lines)
	for i := range lines {
		lines[i].Entries = 0
	}
	return lines
}

func drawOptions() DrawOptions {
	return DrawOptions{Value: testValue(1), Secret: secret, Key: key("operator"), Now: at(19, 15, 2), Who: "ada"}
}

// sealed is a bundle of n entries, with its people; drawn when asked.
func sealed(t testing.TB, n, lines int, drawn bool) (*Bundle, []Entry) {
	t.Helper()
	es := people(n, lines, 11)
	b, err := MakeSeal(context.Background(), options(filepath.Join(t.TempDir(), "bundle"), es, stock(es, lines, 0.1, 11)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if drawn {
		if _, _, err := b.Draw(context.Background(), drawOptions()); err != nil {
			t.Fatal(err)
		}
	}
	return b, es
}

func verify(b *Bundle, o VerifyOptions) (Verified, error) {
	return Verify(context.Background(), b.Dir, o)
}

func TestSealDrawVerify(t *testing.T) {
	b, es := sealed(t, 20_000, 12, false)
	v, err := verify(b, VerifyOptions{})
	if err != nil || v.Drawn != nil {
		t.Fatalf("a sealed bundle: %v, drawn %v", err, v.Drawn)
	}
	for _, p := range []string{"company", "notary"} {
		if err := b.Sign(p, key(p), at(18, 22, 30)); err != nil {
			t.Fatal(err)
		}
	}
	d, out, err := b.Draw(context.Background(), drawOptions())
	if err != nil {
		t.Fatal(err)
	}
	wins, _, _ := plainDraw(es, b.Seal.Lines, d.Seed)
	if !slices.Equal(out.Wins, wins) || d.Won != int64(len(wins)) {
		t.Errorf("%d wins, the plain draw has %d, or others", d.Won, len(wins))
	}
	operator, digest := KeyOf(key("operator")), b.Digest()
	v, err = verify(b, VerifyOptions{Operator: &operator, Digest: &digest})
	if err != nil {
		t.Fatal(err)
	}
	if v.Drawn == nil || v.Drawn.Seed != d.Seed || len(v.SignedBy) != 3 {
		t.Errorf("verified %+v", v)
	}
	if list := listOf(es); plainList(t, list) != b.Seal.Root {
		t.Error("the root is not that of the entries in order")
	}
}

func plainList(t *testing.T, l List) Hash {
	t.Helper()
	leaves := make([]Hash, l.count)
	for i := range leaves {
		b := make([]byte, 1+EntryBytes)
		if _, err := l.r.ReadAt(b[1:], int64(i)*EntryBytes); err != nil {
			t.Fatal(err)
		}
		leaves[i] = sha256.Sum256(b)
	}
	return plainRoot(leaves)
}

// stride leaves to the race detector, which is slow, every 16th byte only.
func stride() int {
	if testing.Short() {
		return 16
	}
	return 1
}

// One bit changed in any byte of any file is noticed.
func TestVerifyNoticesEveryByte(t *testing.T) {
	b, _ := sealed(t, 20, 2, true)
	if err := b.Sign("notary", key("notary"), at(18, 22, 30)); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(b, VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(b.Dir)
	if err != nil || len(files) != 10 {
		t.Fatalf("%d files, %v: want 10", len(files), err)
	}
	for _, f := range files {
		path := filepath.Join(b.Dir, f.Name())
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		try := func(what string, data []byte) {
			t.Helper()
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := verify(b, VerifyOptions{}); err == nil {
				t.Errorf("%s: %s: not noticed", f.Name(), what)
			}
		}
		for i := 0; i < len(good); i += stride() {
			bad := slices.Clone(good)
			bad[i] ^= 1 << (i * 5 % 8)
			try(fmt.Sprintf("byte %d (%q)", i, good[i]), bad)
		}
		try("a byte more", append(slices.Clone(good), '\n'))
		try("a byte less", good[:len(good)-1])
		try("nothing left", nil)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := verify(b, VerifyOptions{}); err == nil {
			t.Errorf("%s: gone, and not noticed", f.Name())
		}
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What an operator could do who signs anew what was changed: the list no longer fits.
func TestVerifyNamesWhatDoesNotFit(t *testing.T) {
	swap := func(b []byte, i, j int) {
		var t [EntryBytes]byte
		copy(t[:], b[i*EntryBytes:])
		copy(b[i*EntryBytes:(i+1)*EntryBytes], b[j*EntryBytes:])
		copy(b[j*EntryBytes:], t[:])
	}
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		says   string
	}{
		"a missing entry":     {func(b []byte) []byte { return b[EntryBytes:] }, "1888 bytes: want 1920 for 60 entries"},
		"a doubled entry":     {func(b []byte) []byte { copy(b[EntryBytes:], b[:EntryBytes]); return b }, "is in the list twice"},
		"two entries swapped": {func(b []byte) []byte { swap(b, 3, 4); return b }, "is out of order"},
		"from the future":     {func(b []byte) []byte { b[5*EntryBytes+21]++; return b }, "is from the future"},
		"another line":        {func(b []byte) []byte { b[5*EntryBytes+17] = 3; return b }, "is for line 3, the stock list ends at 2"},
		"another flag":        {func(b []byte) []byte { b[5*EntryBytes+18] ^= flagOther; return b }, "entries 0 to 59 do not fit tree"},
		"an unknown flag":     {func(b []byte) []byte { b[5*EntryBytes+18] |= 8; return b }, "unknown flags"},
	} {
		b, _ := sealed(t, 60, 3, false)
		path := filepath.Join(b.Dir, FileEntries)
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, c.change(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify(b, VerifyOptions{}); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line that says %q", name, err, c.says)
		}
		if _, _, err := b.Draw(context.Background(), drawOptions()); err == nil || name != "a missing entry" && !strings.Contains(err.Error(), "not the bytes that were sealed") {
			t.Errorf("%s: drawn: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(b.Dir, FileDraw)); err == nil {
			t.Errorf("%s: a draw was left behind", name)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	good := people(50, 3, 12)
	lines := stock(good, 3, 0.1, 12)
	for name, c := range map[string]struct {
		change func(*SealOptions, []Entry)
		says   string
	}{
		"an entry from the future": {func(_ *SealOptions, e []Entry) { e[7].Entered = at(18, 22, 0).UnixMilli(); e[7].Edited = 0 }, "is from the future"},
		"edited too late":          {func(_ *SealOptions, e []Entry) { e[7].Edited = at(18, 22, 0).UnixMilli() }, "after the list was closed"},
		"no longer valid": {func(_ *SealOptions, e []Entry) {
			e[7].Entered, e[7].Edited, e[7].Senior = at(9, 14, 59).UnixMilli(), 0, false
		}, "no longer valid"},
		"a doubled entry":         {func(_ *SealOptions, e []Entry) { e[7].ID = e[8].ID }, "is in the list twice"},
		"a line too many":         {func(_ *SealOptions, e []Entry) { e[7].Line = 3 }, "is for line 3"},
		"a quota above the stock": {func(o *SealOptions, _ []Entry) { o.Seal.Lines[1].Quota++ }, "is above the stock"},
		"before its hour":         {func(o *SealOptions, _ []Entry) { o.Now = at(18, 21, 59) }, "stays open until"},
		"the beacon known":        {func(o *SealOptions, _ []Entry) { o.Now = at(19, 15, 0) }, "name a later one"},
		"the beacon too early":    {func(o *SealOptions, _ []Entry) { o.Seal.Cutoff = at(19, 14, 55); o.Now = at(19, 14, 56) }, "10m0s after the cut-off"},
		"another's key":           {func(o *SealOptions, _ []Entry) { o.Key = key("notary") }, "the first party"},
		"a party twice":           {func(o *SealOptions, _ []Entry) { o.Seal.Parties[2].Name = "company" }, "named twice"},
		"no such day":             {func(o *SealOptions, _ []Entry) { o.Seal.Day = "2020-02-30" }, "want YYYY-MM-DD"},
		"a folder that is there":  {func(o *SealOptions, _ []Entry) { o.Dir = filepath.Dir(o.Dir) }, "never written over"},
		"a source that fails": {func(o *SealOptions, _ []Entry) {
			o.Entries = func(func(Entry) error) error { return fmt.Errorf("the database went away") }
		}, "went away"},
	} {
		es, dir := slices.Clone(good), t.TempDir()
		o := options(filepath.Join(dir, "in", "bundle"), es, lines)
		c.change(&o, es)
		if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := MakeSeal(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line that says %q", name, err, c.says)
		}
		if left, err := os.ReadDir(filepath.Join(dir, "in")); err != nil || len(left) > 0 {
			t.Errorf("%s: %v left behind, %v", name, left, err)
		}
	}
}

func TestDrawOfABundleRefuses(t *testing.T) {
	b, _ := sealed(t, 60, 3, false)
	for name, c := range map[string]struct {
		change func(*DrawOptions)
		says   string
	}{
		"before its hour": {func(o *DrawOptions) { o.Now = at(19, 14, 59) }, "the draw is at"},
		"another secret":  {func(o *DrawOptions) { o.Secret[0]++ }, "not the secret of the seal"},
		"another's key":   {func(o *DrawOptions) { o.Key = key("notary") }, "not the operator's key"},
		"a wrong value":   {func(o *DrawOptions) { o.Value = wrongValue() }, "beacon"},
	} {
		o := drawOptions()
		c.change(&o)
		if _, _, err := b.Draw(context.Background(), o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
	}
	if _, _, err := b.Draw(context.Background(), drawOptions()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Draw(context.Background(), drawOptions()); err == nil || !strings.Contains(err.Error(), "no draw is made twice") {
		t.Errorf("drawn twice: %v", err)
	}
}

func TestSign(t *testing.T) {
	b, _ := sealed(t, 10, 2, false)
	if err := b.Sign("notary", key("company"), at(18, 23, 0)); err == nil {
		t.Error("a signature with another's key was taken")
	}
	if err := b.Sign("mallory", key("mallory"), at(18, 23, 0)); err == nil {
		t.Error("a signature of no party was taken")
	}
	if err := b.Sign("operator", key("operator"), at(18, 23, 0)); err == nil {
		t.Error("the operator signed twice")
	}
	if err := b.Sign("notary", key("notary"), at(18, 23, 0)); err != nil {
		t.Error(err)
	}
	if v, err := verify(b, VerifyOptions{}); err != nil || !slices.Equal(v.SignedBy, []string{"operator", "notary"}) {
		t.Errorf("signed by %v, %v", v.SignedBy, err)
	}
}

func TestGive(t *testing.T) {
	b, _ := sealed(t, 60, 3, false)
	dir := filepath.Join(t.TempDir(), "notary")
	if err := b.Give(dir, Secret{}); err == nil {
		t.Error("given with a wrong secret")
	}
	if err := b.Give(dir, secret); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, fileSecret))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's file: %v, %v", info.Mode(), err)
	}
	digest := b.Digest()
	if v, err := Verify(context.Background(), dir, VerifyOptions{Digest: &digest}); err != nil || v.Seal.Root != b.Seal.Root {
		t.Errorf("the copy: %v", err)
	}
	if err := b.Give(dir, secret); err == nil {
		t.Error("given over what is there")
	}
}

// The operator makes the seal anew, without somebody: the digest written down by a
// party, or a receipt, shows it.
func TestASealMadeAnewIsNoticed(t *testing.T) {
	b, es := sealed(t, 60, 3, false)
	was := b.Digest()
	o := options(filepath.Join(t.TempDir(), "again"), es[1:], b.Seal.Lines)
	again, err := MakeSeal(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := verify(again, VerifyOptions{Digest: &was}); err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("%v, want it to say that it was made anew", err)
	}
	p, err := again.Prove(es[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := p.Check(nil); err != nil || f.In {
		t.Errorf("the one left out: in %v, %v", f.In, err)
	}
}

func TestWaiting(t *testing.T) {
	first, es := sealed(t, 400, 3, true)
	d, err := first.Drawn()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := first.winners(d)
	if err != nil || int64(len(ids)) != d.Won || d.Won == 0 {
		t.Fatalf("%d winners of %d, %v", len(ids), d.Won, err)
	}
	next := func(day int, entries []Entry) *Bundle {
		o := options(filepath.Join(t.TempDir(), "next"), entries, first.Seal.Lines)
		o.Seal.Day = fmt.Sprintf("2020-02-%02d", day)
		o.Seal.Cutoff, o.Seal.DrawAt, o.Seal.Beacon, o.Now = at(day-1, 22, 0), at(day, 15, 0), testSourceAt(day), at(day-1, 22, 1)
		b, err := MakeSeal(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	var others []Entry
	for _, e := range es {
		if !slices.Contains(ids, e.ID) {
			others = append(others, e)
		}
	}
	if _, err := verify(next(20, others), VerifyOptions{Earlier: []string{first.Dir}}); err != nil {
		t.Errorf("without the winners: %v", err)
	}
	if _, err := verify(next(29, es), VerifyOptions{Earlier: []string{first.Dir}}); err == nil || !strings.Contains(err.Error(), "waits 10 days") {
		t.Errorf("with the winners, on the tenth day: %v", err)
	}
	if _, err := verify(first, VerifyOptions{Earlier: []string{first.Dir}}); err == nil || !strings.Contains(err.Error(), "not earlier") {
		t.Errorf("held against itself: %v", err)
	}
}

func TestProve(t *testing.T) {
	for _, n := range []int{1, 2, 5_000, 8193} {
		b, es := sealed(t, n, 6, true)
		d, err := b.Drawn()
		if err != nil {
			t.Fatal(err)
		}
		wins, _, _ := plainDraw(es, b.Seal.Lines, d.Seed)
		round := map[ID]int{}
		for _, w := range wins {
			round[w.Entry.ID] = w.Round
		}
		for i := 0; i < n; i += 1 + n/60 {
			e := es[i]
			p, err := b.Prove(e.ID)
			if err != nil {
				t.Fatal(err)
			}
			text, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if p, err = ParseProof(text); err != nil {
				t.Fatal(err)
			}
			operator := KeyOf(key("operator"))
			f, err := p.Check(&operator)
			if err != nil || !f.In || f.Entry != e || f.Won != round[e.ID] {
				t.Fatalf("entry %s: %+v, %v; it won in round %d", e.ID, f, err, round[e.ID])
			}
			absent := e.ID
			absent[15] ^= 1
			if p, err = b.Prove(absent); err != nil {
				t.Fatal(err)
			}
			if f, err := p.Check(nil); err != nil || f.In {
				t.Fatalf("an id that is not in the list: in %v, %v", f.In, err)
			}
		}
	}
}

// One bit changed in any byte of a proof is noticed.
func TestCheckNoticesEveryByteOfAProof(t *testing.T) {
	b, es := sealed(t, 20, 2, true)
	absent := es[4].ID
	absent[0] ^= 0x80
	for _, id := range []ID{es[4].ID, absent} {
		p, err := b.Prove(id)
		if err != nil {
			t.Fatal(err)
		}
		good, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(good); i += stride() {
			bad := slices.Clone(good)
			bad[i] ^= 1 << (i * 3 % 8)
			if p, err := ParseProof(bad); err == nil {
				// Who is not in the list has neighbours; so have others between them.
				if f, err := p.Check(nil); err == nil && (f.In || p.ID == id) {
					t.Errorf("byte %d (%q) of the proof: not noticed", i, good[i])
				}
			}
		}
	}
}

func TestAudit(t *testing.T) {
	a := OpenAudit(filepath.Join(t.TempDir(), "audit.jsonl"))
	if l, head, err := a.Read(); len(l) != 0 || head != (Hash{}) || err != nil {
		t.Errorf("no log: %v, %v, %v", l, head, err)
	}
	for i, what := range []string{"seal", "draw", "export"} {
		if err := a.Append(at(18, 22, i), "ada", what, Hash{byte(i)}, ""); err != nil {
			t.Fatal(err)
		}
	}
	l, _, err := a.Read()
	if err != nil || len(l) != 3 || l[2].What != "export" || l[1].Before != l[0].Hash {
		t.Fatalf("%+v, %v", l, err)
	}
	data, err := os.ReadFile(a.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	for name, bad := range map[string]string{
		"a line left out":   lines[0] + lines[2],
		"two lines swapped": lines[0] + lines[2] + lines[1],
		"the first cut off": lines[1] + lines[2],
		"a line doubled":    lines[0] + lines[0] + lines[1],
		"cut off in a line": string(data[:len(data)-5]),
		"another name":      strings.Replace(string(data), "ada", "bob", 1),
	} {
		if err := os.WriteFile(a.path, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.Read(); err == nil {
			t.Errorf("%s: not noticed", name)
		}
		if err := a.Append(at(19, 0, 0), "ada", "export", Hash{}, ""); err == nil {
			t.Errorf("%s: a line was added all the same", name)
		}
	}
}

func TestDrawnTwiceIsTheSame(t *testing.T) {
	var want []byte
	for range 2 {
		b, _ := sealed(t, 3_000, 6, true)
		var all []byte
		for _, name := range []string{FileSeal, FileDraw, FileWinners, FileReserve, FileAudit} {
			data, err := os.ReadFile(filepath.Join(b.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data...)
		}
		if want != nil && string(all) != string(want) {
			t.Error("the same entries, secret and beacon gave another bundle")
		}
		want = all
	}
}

// Whoever draws at the same time, one draw is made, and it is whole.
func TestDrawnAtOnce(t *testing.T) {
	b, _ := sealed(t, 3_000, 6, false)
	var wait sync.WaitGroup
	var made atomic.Int32
	for n := range 4 {
		wait.Go(func() {
			other, err := Open(b.Dir) // as another program has it
			if err != nil {
				t.Error(err)
				return
			}
			defer other.Close()
			o := drawOptions()
			o.Value = testValue(n)
			switch _, _, err := other.Draw(context.Background(), o); {
			case err == nil:
				made.Add(1)
			case !strings.Contains(err.Error(), "no draw is made twice"):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("%d draws were made", n)
	}
	if _, err := verify(b, VerifyOptions{}); err != nil {
		t.Error(err)
	}
}
