package lottery

import (
	"bufio"
	"context"
	"crypto/ed25519"
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
	"strings"
	"sync/atomic"
	"time"

	"spillway/reference/lottery/beacon"
)

// The files of a bundle.
const (
	FileSeal           = "seal.json"
	FileSealSignatures = "seal.sig"
	FileRules          = "rules.txt"
	FileEntries        = "entries"
	FileTree           = "tree"
	FileDraw           = "draw.json"
	FileDrawSignatures = "draw.sig"
	FileWinners        = "winners.csv"
	FileReserve        = "reserve.csv"
	FileAudit          = "audit.jsonl"

	fileSecret = "secret" // in a party's copy only
)

// Files are all files of a drawn bundle, and what each is.
var Files = []struct{ Name, What string }{
	{FileSeal, "the seal: hours, quotas, root, commitment, beacon, parties"},
	{FileSealSignatures, "its signatures"},
	{FileRules, "the rules, as sealed"},
	{FileEntries, "the sealed list, 32 bytes an entry"},
	{FileTree, "the roots of its chunks, for proofs; follows from the list"},
	{FileDraw, "the draw: beacon's value, secret, seed, cut-offs"},
	{FileDrawSignatures, "its signature"},
	{FileWinners, "all winners"},
	{FileReserve, "all reserves"},
	{FileAudit, "the audit log"},
}

// Bundle is a sealed draw on disk: all that a stranger needs to do it again.
type Bundle struct {
	Dir  string
	Seal Seal

	seal    []byte // its canonical form
	entries *os.File
	tree    []Hash
}

// SealOptions are what a seal is made of.
type SealOptions struct {
	// Dir is the bundle's folder; it must not exist.
	Dir string
	// Seal says day, times, beacon, parties and lines; the rest is filled in.
	Seal   Seal
	Rules  string // the text of the rules
	Secret Secret
	Key    ed25519.PrivateKey // the operator's: its public half is the first party's
	// Entries calls take with every entry of the day, in any order.
	Entries func(take func(Entry) error) error
	// Now is the present moment: the cut-off is past, the beacon's value unknown.
	Now time.Time
	Who string // who seals, for the audit log
	// Progress is told what is done of what; nil = nobody.
	Progress func(what string, done, of int64)
}

// MakeSeal seals a day: puts the entries into canonical order, builds their tree,
// signs the seal. On an error nothing is left behind.
func MakeSeal(ctx context.Context, o SealOptions) (_ *Bundle, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Dir = filepath.Clean(o.Dir)
	if _, err := os.Lstat(o.Dir); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = errors.New("it exists already; a seal is never written over")
		}
		return nil, fmt.Errorf("lottery: bundle %s: %w", o.Dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(o.Dir), 0o755); err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(o.Dir), filepath.Base(o.Dir)+".partial-")
	if err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	if err := o.writeSeal(ctx, tmp); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, o.Dir); err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	return Open(o.Dir)
}

func (o SealOptions) check() error {
	s := o.Seal
	switch {
	case len(s.Parties) == 0 || s.Parties[0].Key != KeyOf(o.Key):
		return errors.New("lottery: the first party of the seal must be the operator, with the key that signs")
	case o.Now.Before(s.Cutoff):
		return fmt.Errorf("lottery: it is %s: the list stays open until %s", stamp(o.Now), stamp(s.Cutoff))
	case !o.Now.Before(s.Beacon.Available()):
		return fmt.Errorf("lottery: it is %s: the beacon's value may be known since %s; name a later one", stamp(o.Now), stamp(s.Beacon.Available()))
	}
	return checkLines(s.Lines) // before millions of entries are read
}

// writeSeal writes all files of a seal into a folder.
func (o SealOptions) writeSeal(ctx context.Context, dir string) (err error) {
	s := o.Seal
	lim := s.limits()
	order := newSorter(dir, sortMemory, lim)
	defer func() { err = errors.Join(err, order.close()) }()
	if err := o.Entries(func(e Entry) error {
		if n := order.total; n&0xffff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			o.tell("reading", n, 0)
		}
		return order.add(&e)
	}); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, FileEntries))
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	defer func() {
		if e := f.Close(); e != nil && err == nil {
			err = fmt.Errorf("lottery: %w", e)
		}
	}()
	s.Entries = order.total
	// Whole chunks are hashed while they are in hand, the others and those that do not
	// fit are read back.
	list := NewList(f, s.Entries)
	h, seen, done := list.newHashing(lim), make([]bool, list.chunks()), atomic.Int64{}
	if err := order.write(ctx, f, func(w int, at int64, entries []byte) {
		from := (at + chunkEntries - 1) / chunkEntries
		for i := from; (i+1)*chunkEntries*EntryBytes <= at*EntryBytes+int64(len(entries)); i++ {
			seen[i] = h.chunk(w, int(i), entries[(i*chunkEntries-at)*EntryBytes:][:chunkEntries*EntryBytes]) == nil
		}
		o.tell("sorting", done.Add(int64(len(entries)/EntryBytes)), s.Entries)
	}); err != nil {
		return err
	}
	if err := list.scanBut(ctx, seen, func(done int64) { o.tell("hashing", done, s.Entries) }, h.chunk); err != nil {
		return err
	}
	t, err := h.tree()
	if err != nil {
		return err
	}
	s.Lines = slices.Clone(s.Lines)
	for i, n := range t.lines {
		s.Lines[i].Entries = n
	}
	s.Version, s.Root, s.List, s.Commitment, s.Rules = SealVersion, t.root(), t.list(), o.Secret.Commitment(), sha256.Sum256([]byte(o.Rules))
	if err := s.Check(); err != nil {
		return err
	}
	seal, err := s.Encode()
	if err != nil {
		return err
	}
	sigs, err := encode([]Signature{sign("seal", seal, s.Parties[0].Name, o.Key)})
	if err != nil {
		return err
	}
	var roots []byte
	for _, h := range t.chunks {
		roots = append(roots, h[:]...)
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{FileRules, []byte(o.Rules)}, {FileTree, roots}, {FileSeal, seal}, {FileSealSignatures, sigs}} {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.data, 0o644); err != nil {
			return fmt.Errorf("lottery: %w", err)
		}
	}
	return OpenAudit(filepath.Join(dir, FileAudit)).Append(o.Now, o.Who, "seal", sha256.Sum256(seal),
		fmt.Sprintf("%d entries, root %s", s.Entries, s.Root))
}

func (o SealOptions) tell(what string, done, of int64) {
	if o.Progress != nil {
		o.Progress(what, done, of)
	}
}

// Open opens a bundle: its seal is well formed, signed by the operator, and fits the
// sizes of its files. Verify does the rest.
func Open(dir string) (_ *Bundle, err error) {
	b := &Bundle{Dir: dir}
	if b.seal, err = b.read(FileSeal); err != nil {
		return nil, err
	}
	if b.Seal, err = ParseSeal(b.seal); err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	if _, err := b.SignedBy(); err != nil {
		return nil, err
	}
	tree, err := b.read(FileTree)
	if err != nil {
		return nil, err
	}
	for ; len(tree) >= len(Hash{}); tree = tree[len(Hash{}):] {
		b.tree = append(b.tree, Hash(tree[:len(Hash{})]))
	}
	if len(tree) != 0 || len(b.tree) != NewList(nil, b.Seal.Entries).chunks() {
		return nil, fmt.Errorf("lottery: %s: not the length of a tree over %d entries", FileTree, b.Seal.Entries)
	}
	f, err := os.Open(filepath.Join(dir, FileEntries))
	if err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != b.Seal.Entries*EntryBytes {
		err = fmt.Errorf("%s: %d bytes: want %d for %d entries", FileEntries, info.Size(), b.Seal.Entries*EntryBytes, b.Seal.Entries)
	}
	if err != nil {
		_ = f.Close() // the first error is the one that tells
		return nil, fmt.Errorf("lottery: %w", err)
	}
	b.entries = f
	return b, nil
}

// Close closes the bundle's files.
func (b *Bundle) Close() error {
	if err := b.entries.Close(); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return nil
}

// fileMost is the most that is read of a file that is not streamed, in bytes: a
// stock list of 65,536 lines takes 20 MB.
const fileMost = 256 << 20

func (b *Bundle) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(b.Dir, name))
	if err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	defer f.Close() // only read
	data, err := io.ReadAll(io.LimitReader(f, fileMost+1))
	if err == nil && len(data) > fileMost {
		err = fmt.Errorf("more than %d bytes", int64(fileMost))
	}
	if err != nil {
		return nil, fmt.Errorf("lottery: %s: %w", name, err)
	}
	return data, nil
}

// List is the sealed list.
func (b *Bundle) List() List { return NewList(b.entries, b.Seal.Entries) }

// Digest is the SHA-256 of the seal: the one number that stands for all of it.
func (b *Bundle) Digest() Hash { return sha256.Sum256(b.seal) }

// Audit is the bundle's audit log.
func (b *Bundle) Audit() Audit { return OpenAudit(filepath.Join(b.Dir, FileAudit)) }

// SignedBy is which parties have signed the seal, the operator first.
func (b *Bundle) SignedBy() ([]string, error) {
	sigs, err := b.signatures(FileSealSignatures)
	if err != nil {
		return nil, err
	}
	by, err := checkSignatures("seal", b.seal, b.Seal.Parties, sigs)
	if err != nil {
		return nil, fmt.Errorf("lottery: %s: %w", FileSealSignatures, err)
	}
	return by, nil
}

func (b *Bundle) signatures(name string) ([]Signature, error) {
	data, err := b.read(name)
	if err != nil {
		return nil, err
	}
	sigs, err := decode[[]Signature](name, data)
	if err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	return sigs, nil
}

// Sign adds a party's signature to the seal.
func (b *Bundle) Sign(party string, key ed25519.PrivateKey, now time.Time) error {
	sigs, err := b.signatures(FileSealSignatures)
	if err != nil {
		return err
	}
	for _, s := range sigs {
		if s.Party == party {
			return fmt.Errorf("lottery: %s: %s has signed already", FileSealSignatures, party)
		}
	}
	sigs = append(sigs, sign("seal", b.seal, party, key))
	if _, err := checkSignatures("seal", b.seal, b.Seal.Parties, sigs); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	data, err := encode(sigs)
	if err != nil {
		return err
	}
	if err := b.replace(FileSealSignatures, data); err != nil {
		return err
	}
	return b.Audit().Append(now, party, "sign", b.Digest(), "")
}

// replace writes a file anew: whole, or not at all.
func (b *Bundle) replace(name string, data []byte) error {
	tmp := filepath.Join(b.Dir, name+".partial")
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return fmt.Errorf("lottery: %w", errors.Join(err, os.Remove(tmp)))
	}
	if err := os.Rename(tmp, filepath.Join(b.Dir, name)); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return nil
}

// Give copies the sealed bundle into a party's folder, which must not exist, with
// the secret, which must not be shown before the beacon's value is known.
func (b *Bundle) Give(dir string, secret Secret) (err error) {
	if secret.Commitment() != b.Seal.Commitment {
		return errors.New("lottery: this is not the secret of the seal")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("lottery: a party's folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for _, name := range []string{FileSeal, FileSealSignatures, FileRules, FileEntries, FileTree, FileAudit} {
		if err := copyFile(filepath.Join(b.Dir, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, fileSecret), []byte(Hash(secret).String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return nil
}

func copyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	defer r.Close() // only read
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("lottery: copying %s: %w", from, err)
	}
	return nil
}

// Drawn is what a draw publishes. Its canonical form is as the seal's.
type Drawn struct {
	Version    int          `json:"version"`
	Day        string       `json:"day"`
	Seal       Hash         `json:"seal"` // SHA-256 of the seal
	At         time.Time    `json:"at"`   // when it was drawn
	Beacon     beacon.Value `json:"beacon"`
	Randomness Hash         `json:"randomness"` // what the beacon's value comes to
	Secret     Secret       `json:"secret"`     // revealed
	Seed       Hash         `json:"seed"`
	Won        int64        `json:"won"`
	Reserve    int64        `json:"reserve"`
	Winners    Hash         `json:"winners"`      // SHA-256 of winners.csv
	Reserves   Hash         `json:"reserve_list"` // SHA-256 of reserve.csv
	Pools      []Pool       `json:"pools"`
	Shops      []Shop       `json:"shops"` // the second round
}

// seedFor checks secret and value against the seal and gives the seed.
func (b *Bundle) seedFor(v beacon.Value, secret Secret) (seed Hash, randomness [32]byte, err error) {
	if secret.Commitment() != b.Seal.Commitment {
		return seed, randomness, errors.New("lottery: this is not the secret of the seal")
	}
	if randomness, err = b.Seal.Beacon.Check(v); err != nil {
		return seed, randomness, fmt.Errorf("lottery: beacon: %w", err)
	}
	return Seed(b.seal, b.Seal, secret, randomness), randomness, nil
}

// undrawn is for whoever settles what becomes of a sealed bundle, one at a time,
// whichever program it is, until free is called: it must be neither drawn nor void, and
// the key the operator's.
func (b *Bundle) undrawn(key ed25519.PrivateKey) (free func(), err error) {
	if KeyOf(key) != b.Seal.Parties[0].Key {
		return nil, errors.New("lottery: this is not the operator's key of the seal")
	}
	alone, err := os.Open(filepath.Join(b.Dir, FileSeal))
	if err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	defer func() {
		if err != nil {
			_ = alone.Close() // the error before it is told
		}
	}()
	if err := lock(alone); err != nil {
		return nil, fmt.Errorf("lottery: locking %s: %w", b.Dir, err)
	}
	if _, err := os.Lstat(filepath.Join(b.Dir, FileDraw)); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = errors.New("it is drawn already, and no draw is made twice")
		}
		return nil, fmt.Errorf("lottery: bundle %s: %w", b.Dir, err)
	}
	actions, _, err := b.Actions(false)
	if err != nil {
		return nil, err
	}
	if v := VoidOf(actions); v != nil {
		return nil, fmt.Errorf("lottery: bundle %s: it was declared void at %s: %q", b.Dir, stamp(v.At), v.Detail)
	}
	return func() { _ = alone.Close() }, nil // only read; it ends the lock
}

// actionVoid is what the audit log calls a declaration that a draw is void.
const actionVoid = "void"

// VoidOf is the action by which a draw was declared void; nil = it was not.
func VoidOf(actions []Action) *Action {
	for i, a := range actions {
		if a.What == actionVoid {
			return &actions[i]
		}
	}
	return nil
}

// voidReason bounds a reason, in bytes.
const voidReason = 500

// Void declares that a sealed bundle will never be drawn, and why: its beacon was never
// published, or all who had the secret lost it. It is for the operator's key alone, and
// final; it stands in the audit log, with a word of whether the beacon's value could be
// known by then, since whoever knows the result and calls it off has chosen.
func (b *Bundle) Void(key ed25519.PrivateKey, who, reason string, now time.Time) error {
	reason = strings.Join(strings.Fields(reason), " ")
	if reason == "" || len(reason) > voidReason {
		return fmt.Errorf("lottery: void: want a reason of 1 to %d bytes, got %d", voidReason, len(reason))
	}
	free, err := b.undrawn(key)
	if err != nil {
		return err
	}
	defer free()
	known := "before the beacon's value could be known"
	if !now.Before(b.Seal.Beacon.Available()) {
		known = "AFTER the beacon's value could be known"
	}
	return b.Audit().Append(now, who, actionVoid, b.Digest(), reason+"; "+known)
}

// DrawOptions are what a draw is made of.
type DrawOptions struct {
	Value    beacon.Value
	Secret   Secret
	Key      ed25519.PrivateKey // the operator's
	Now      time.Time
	Who      string
	Progress func(what string, done, of int64)
}

// Draw makes the draw of a sealed bundle and writes it there. The list's bytes are held
// against the seal first; that they are a list was seen when it was sealed, and is seen
// again by Verify. A bundle is drawn once: again gives an error.
func (b *Bundle) Draw(ctx context.Context, o DrawOptions) (Drawn, Outcome, error) {
	none := func(err error) (Drawn, Outcome, error) { return Drawn{}, Outcome{}, err }
	free, err := b.undrawn(o.Key)
	if err != nil {
		return none(err)
	}
	defer free()
	if o.Now.Before(b.Seal.DrawAt) {
		return none(fmt.Errorf("lottery: it is %s: the draw is at %s", stamp(o.Now), stamp(b.Seal.DrawAt)))
	}
	seed, randomness, err := b.seedFor(o.Value, o.Secret)
	if err != nil {
		return none(err)
	}
	tell := func(what string, done int64) {
		if o.Progress != nil {
			o.Progress(what, done, b.Seal.Entries)
		}
	}
	t := tree{bytes: make([]Hash, b.List().chunks())}
	out, err := drawSeen(ctx, b.List(), b.Seal.Lines, seed, func(round int, done int64) { tell("round "+strconv.Itoa(round), done) }, t.digest)
	if err != nil { // over what was changed since, perhaps: then the draw stopped before it had seen all
		t = tree{bytes: make([]Hash, b.List().chunks())}
		again := b.List().scan(ctx, nil, func(_, chunk int, entries []byte) error { t.digest(chunk, entries); return nil })
		if again != nil || t.list() == b.Seal.List {
			return none(err)
		}
	}
	if t.list() != b.Seal.List {
		return none(fmt.Errorf("lottery: %s: not the bytes that were sealed; verify says where", FileEntries))
	}
	d := Drawn{Version: SealVersion, Day: b.Seal.Day, Seal: b.Digest(), At: o.Now, Beacon: o.Value, Randomness: randomness,
		Secret: o.Secret, Seed: seed, Won: int64(len(out.Wins)), Reserve: int64(len(out.Reserve)), Pools: out.Pools, Shops: out.Shops}
	if d.Winners, err = b.writeWins(FileWinners, out.Wins); err != nil {
		return none(err)
	}
	if d.Reserves, err = b.writeWins(FileReserve, out.Reserve); err != nil {
		return none(err)
	}
	doc, err := encode(d)
	if err != nil {
		return none(err)
	}
	sigs, err := encode([]Signature{sign("draw", doc, b.Seal.Parties[0].Name, o.Key)})
	if err != nil {
		return none(err)
	}
	if err := b.replace(FileDrawSignatures, sigs); err != nil {
		return none(err)
	}
	if err := b.replace(FileDraw, doc); err != nil { // the last: with it the draw is made
		return none(err)
	}
	return d, out, b.Audit().Append(o.Now, o.Who, "draw", sha256.Sum256(doc), fmt.Sprintf("%d won, seed %s", d.Won, d.Seed))
}

// checkList holds the list against the seal: order, limits, counts, root.
func (b *Bundle) checkList(ctx context.Context, progress func(int64)) error {
	t, err := b.List().hash(ctx, b.Seal.limits(), progress)
	if err != nil {
		return err
	}
	for i, h := range t.chunks {
		if h != b.tree[i] {
			return fmt.Errorf("lottery: %s: entries %d to %d do not fit %s", FileEntries, i*chunkEntries,
				min(int64(i+1)*chunkEntries, b.Seal.Entries)-1, FileTree)
		}
	}
	if root := t.root(); root != b.Seal.Root {
		return fmt.Errorf("lottery: %s and %s have the root %s, the seal says %s", FileEntries, FileTree, root, b.Seal.Root)
	}
	if list := t.list(); list != b.Seal.List {
		return fmt.Errorf("lottery: %s: the bytes have the digest %s, the seal says %s", FileEntries, list, b.Seal.List)
	}
	for i, n := range t.lines {
		if l := b.Seal.Lines[i]; l.Entries != n {
			return fmt.Errorf("lottery: line %d (%s, %s) has %d entries, the seal says %d", i, l.Shop, l.Type, n, l.Entries)
		}
	}
	return nil
}

// writeWins writes winners or reserves and gives the SHA-256 of the file.
func (b *Bundle) writeWins(name string, wins []Win) (h Hash, err error) {
	tmp := filepath.Join(b.Dir, name+".partial")
	f, err := os.Create(tmp)
	if err != nil {
		return h, fmt.Errorf("lottery: %w", err)
	}
	sum := sha256.New()
	err = WriteWins(io.MultiWriter(f, sum), b.Seal.Lines, wins)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, filepath.Join(b.Dir, name))
	}
	if err != nil {
		return h, fmt.Errorf("lottery: writing %s: %w", name, errors.Join(err, os.Remove(tmp)))
	}
	return Hash(sum.Sum(nil)), nil
}

// WriteWins writes wins or reserves as CSV, a line each: the line of the stock list,
// its shop, type and masks, round (0 = reserve), rank, entry, the line that was
// chosen first, and the ticket.
func WriteWins(w io.Writer, lines []Line, wins []Win) error {
	buf := bufio.NewWriterSize(w, 1<<16)
	c := csv.NewWriter(buf)
	row := []string{"line", "shop", "type", "masks", "round", "rank", "entry", "choice", "ticket"}
	if err := c.Write(row); err != nil {
		return err
	}
	for _, win := range wins {
		l := lines[win.Line]
		row[0], row[1], row[2], row[3] = strconv.Itoa(win.Line), l.Shop, l.Type, strconv.Itoa(l.Masks)
		row[4], row[5] = strconv.Itoa(win.Round), strconv.Itoa(win.Rank)
		row[6], row[7], row[8] = win.Entry.ID.String(), strconv.Itoa(win.Entry.Line), win.Ticket.String()
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return errors.Join(c.Error(), buf.Flush())
}

// Drawn is the bundle's draw, signed by the operator and of this seal. It wraps
// fs.ErrNotExist before the draw.
func (b *Bundle) Drawn() (Drawn, error) {
	data, err := b.read(FileDraw)
	if err != nil {
		return Drawn{}, err
	}
	sigs, err := b.signatures(FileDrawSignatures)
	if err != nil {
		return Drawn{}, err
	}
	return parseDrawn(data, sigs, b.Seal, b.Digest())
}

func parseDrawn(data []byte, sigs []Signature, s Seal, of Hash) (Drawn, error) {
	d, err := decode[Drawn](FileDraw, data)
	if err == nil {
		_, err = checkSignatures("draw", data, s.Parties, sigs)
	}
	switch {
	case err != nil:
	case d.Version != SealVersion:
		err = fmt.Errorf("%s: version %d: this program reads %d", FileDraw, d.Version, SealVersion)
	case d.Seal != of:
		err = fmt.Errorf("%s: drawn from the seal %s, this one is %s", FileDraw, d.Seal, of)
	case d.Day != s.Day:
		err = fmt.Errorf("%s: of day %s, the seal is of %s", FileDraw, d.Day, s.Day)
	case d.At.Before(s.DrawAt):
		err = fmt.Errorf("%s: drawn at %s, before its hour, %s", FileDraw, stamp(d.At), stamp(s.DrawAt))
	}
	if err != nil {
		return Drawn{}, fmt.Errorf("lottery: %w", err)
	}
	return d, nil
}

// DrawDigest is the SHA-256 of the draw, as the audit log names it.
func (b *Bundle) DrawDigest() (Hash, error) {
	data, err := b.read(FileDraw)
	return sha256.Sum256(data), err
}
