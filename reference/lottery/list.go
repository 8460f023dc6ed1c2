package lottery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// chunkEntries is how many entries are read, hashed and proved together: 128 KiB of
// them. A power of two, so that a chunk is a subtree.
const chunkEntries = 1 << 12

// List is the sealed list: entries in canonical order (by id), each once. It is safe
// for concurrent use.
type List struct {
	r     io.ReaderAt
	count int64
}

// NewList is the list of count entries that r holds.
func NewList(r io.ReaderAt, count int64) List { return List{r, count} }

// Count is the number of entries.
func (l List) Count() int64 { return l.count }

func (l List) chunks() int { return int((l.count + chunkEntries - 1) / chunkEntries) }

// entries is how many chunk i has.
func (l List) entries(i int) int { return int(min(l.count-int64(i)*chunkEntries, chunkEntries)) }

// largest is the most entries that a chunk of this list has.
func (l List) largest() int { return int(min(l.count, chunkEntries)) }

// chunk reads chunk i into buf, which holds the largest of them, and returns it.
func (l List) chunk(i int, buf []byte) ([]byte, error) {
	n := l.entries(i) * EntryBytes
	if _, err := l.r.ReadAt(buf[:n], int64(i)*chunkEntries*EntryBytes); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the list ends before its %d entries", l.count)
		}
		return nil, fmt.Errorf("lottery: reading entries from %d on: %w", int64(i)*chunkEntries, err)
	}
	return buf[:n], nil
}

// scan calls f with every chunk, on all cores, in no order; worker is 0 to
// workers()-1. It stops at the first error: of those that came about, the one of the
// lowest chunk.
func (l List) scan(ctx context.Context, progress func(done int64), f func(worker, chunk int, entries []byte) error) error {
	return l.scanBut(ctx, nil, progress, f)
}

// scanBut is scan without the chunks that are done.
func (l List) scanBut(ctx context.Context, seen []bool, progress func(done int64), f func(worker, chunk int, entries []byte) error) error {
	var (
		next, done atomic.Int64
		failed     atomic.Bool
		wait       sync.WaitGroup
		errs       = make([]error, workers())
		where      = make([]int, workers())
	)
	for w := range workers() {
		wait.Go(func() {
			buf := make([]byte, l.largest()*EntryBytes)
			for !failed.Load() {
				i := int(next.Add(1) - 1)
				if i >= l.chunks() {
					return
				}
				if seen != nil && seen[i] {
					done.Add(int64(l.entries(i)))
					continue
				}
				err := ctx.Err()
				var entries []byte
				if err == nil {
					entries, err = l.chunk(i, buf)
				}
				if err == nil {
					err = f(w, i, entries)
				}
				if err != nil {
					errs[w], where[w] = err, i
					failed.Store(true)
					return
				}
				if n := done.Add(int64(len(entries) / EntryBytes)); progress != nil {
					progress(n)
				}
			}
		})
	}
	wait.Wait()
	first := -1
	for w, err := range errs {
		if err != nil && (first < 0 || where[w] < where[first]) {
			first = w
		}
	}
	if first >= 0 {
		return errs[first]
	}
	return nil
}

func workers() int { return runtime.GOMAXPROCS(0) }

// Scan calls f with every entry, on all cores, in no order; worker is 0 to
// Workers()-1, and calls of one worker follow one another.
func (l List) Scan(ctx context.Context, f func(worker int, e Entry) error) error {
	return l.scan(ctx, nil, func(worker, _ int, entries []byte) error {
		for ; len(entries) > 0; entries = entries[EntryBytes:] {
			e, err := ParseEntry(entries[:EntryBytes])
			if err == nil {
				err = f(worker, e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Workers is on how many cores lists are scanned.
func Workers() int { return workers() }

// find is the place of an id in the list, or where it would stand.
func (l List) find(id ID) (at int64, found bool, err error) {
	lo, hi := int64(0), l.count
	var b [EntryBytes]byte
	for lo < hi {
		mid := lo + (hi-lo)/2
		if _, err := l.r.ReadAt(b[:], mid*EntryBytes); err != nil {
			return 0, false, fmt.Errorf("lottery: reading entry %d: %w", mid, err)
		}
		switch c := bytes.Compare(b[:IDBytes], id[:]); {
		case c == 0:
			return mid, true, nil
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false, nil
}

// tree is what a pass over a list finds: the roots of its chunks and how many
// entries each line has.
type tree struct {
	chunks []Hash
	bytes  []Hash // digests of the chunks' bytes
	lines  []int64
}

// list is the digest of all bytes: over those of the chunks, which are made on all cores.
func (t tree) list() (h Hash) {
	s := sha256.New()
	for i := range t.bytes {
		s.Write(t.bytes[i][:])
	}
	s.Sum(h[:0])
	return h
}

// digest keeps that of a chunk's bytes: a fifth of the work of its tree.
func (t tree) digest(chunk int, entries []byte) { t.bytes[chunk] = sha256.Sum256(entries) }

func (t tree) root() Hash { return rootOf(append([]Hash(nil), t.chunks...)) }

// limits are what an entry must keep to so as to be in a day's list.
type limits struct {
	lines          int
	oldest, cutoff int64 // Unix milliseconds: oldest <= entered < cutoff
}

func (l limits) check(e Entry) error {
	switch {
	case e.Line >= l.lines:
		return fmt.Errorf("lottery: entry %s is for line %d, the stock list ends at %d", e.ID, e.Line, l.lines-1)
	case e.Entered >= l.cutoff:
		return fmt.Errorf("lottery: entry %s is from the future: entered at %d ms, the list was closed at %d", e.ID, e.Entered, l.cutoff)
	case e.Edited >= l.cutoff:
		return fmt.Errorf("lottery: entry %s was edited at %d ms, after the list was closed at %d", e.ID, e.Edited, l.cutoff)
	case e.Entered < l.oldest && !e.Senior:
		return fmt.Errorf("lottery: entry %s is no longer valid: entered at %d ms, before %d", e.ID, e.Entered, l.oldest)
	}
	return nil
}

// fit reports whether ParseEntry and check find nothing wrong, in a tenth of the time.
func (l limits) fit(b raw) bool {
	return b[18]&^(flagOther|flagSenior) == 0 && l.fits(b.line(), b[18]&flagSenior != 0, b.entered(), b.edited())
}

// fits is fit for an entry's fields.
func (l limits) fits(line int, senior bool, entered, edited int64) bool {
	return line >= 0 && line < l.lines &&
		entered > 0 && entered < l.cutoff && (entered >= l.oldest || senior) &&
		(edited == 0 || edited >= entered && edited < l.cutoff)
}

// hashing is a tree in the making, chunk by chunk, by several workers.
type hashing struct {
	lim         limits
	t           tree
	first, last []ID
	leaves      [][]Hash // by worker
	counts      [][]int64
}

func (l List) newHashing(lim limits) *hashing {
	n := l.chunks()
	h := &hashing{lim: lim, t: tree{chunks: make([]Hash, n), bytes: make([]Hash, n), lines: make([]int64, lim.lines)},
		first: make([]ID, n), last: make([]ID, n), leaves: make([][]Hash, workers()), counts: make([][]int64, workers())}
	for w := range h.leaves {
		h.leaves[w], h.counts[w] = make([]Hash, l.largest()), make([]int64, lim.lines)
	}
	return h
}

// chunk goes over the entries of one chunk, each chunk once: every entry is canonical,
// keeps to the limits and stands in order, once. With an error nothing of it is counted.
func (h *hashing) chunk(w, chunk int, entries []byte) error {
	n := len(entries) / EntryBytes
	for i := range n {
		b := raw(entries[i*EntryBytes:][:EntryBytes])
		if !h.lim.fit(b) {
			e, err := ParseEntry(b)
			if err == nil {
				err = h.lim.check(e)
			}
			if err != nil {
				return err
			}
		}
		if i > 0 {
			if err := follows(ID(entries[(i-1)*EntryBytes:][:IDBytes]), ID(b.id())); err != nil {
				return err
			}
		}
		h.leaves[w][i] = leafHash(b)
	}
	for e := entries; len(e) > 0; e = e[EntryBytes:] {
		h.counts[w][raw(e).line()]++
	}
	h.first[chunk], h.last[chunk] = ID(entries[:IDBytes]), ID(entries[(n-1)*EntryBytes:][:IDBytes])
	h.t.chunks[chunk], h.t.bytes[chunk] = rootOf(h.leaves[w][:n]), sha256.Sum256(entries)
	return nil
}

// tree is the whole, once every chunk is there.
func (h *hashing) tree() (tree, error) {
	for i := 1; i < len(h.first); i++ {
		if err := follows(h.last[i-1], h.first[i]); err != nil {
			return tree{}, err
		}
	}
	for _, c := range h.counts {
		for line, n := range c {
			h.t.lines[line] += n
		}
	}
	return h.t, nil
}

// hash goes over a list once and gives its tree.
func (l List) hash(ctx context.Context, lim limits, progress func(done int64)) (tree, error) {
	h := l.newHashing(lim)
	if err := l.scan(ctx, progress, h.chunk); err != nil {
		return tree{}, err
	}
	return h.tree()
}

// follows says what is wrong when after does not come after before.
func follows(before, after ID) error {
	switch bytes.Compare(before[:], after[:]) {
	case 0:
		return fmt.Errorf("lottery: entry %s is in the list twice", after)
	case 1:
		return fmt.Errorf("lottery: entry %s is out of order: it stands after %s", after, before)
	}
	return nil
}
