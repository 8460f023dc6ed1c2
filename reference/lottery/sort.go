package lottery

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
)

// sorter brings entries into canonical order: spread over 256 buckets by the first
// byte of the id, then each sorted by itself. Ids are hashes, so the buckets are of one
// size. What goes beyond its memory waits in files, a bucket each.
type sorter struct {
	lim   limits
	total int64          // how many were added
	batch []byte         // what was added and not handed on
	full  chan []byte    // to the spreaders; nil = they have ended
	free  chan []byte    // back from them
	wait  sync.WaitGroup // for the spreaders

	// What follows is under mu until the spreaders have ended.
	mu      sync.Mutex
	parent  string // where dir is made
	dir     string // of the files; "" = none yet
	room    int    // bytes that may still be kept in memory
	buckets [256]spread
	err     error // the first of a file
}

// spread is one bucket while entries come in: blocks of whole entries, in no order.
type spread struct {
	blocks [][]byte
	file   *os.File // nil = all is in blocks
	filed  int      // bytes in the file
}

// Batches go from who adds to the spreaders, so that reading shares the cores with them.
const batchEntries = 1 << 13

// sortBlock is the size of a block in bytes: each spreader fills 256 of them at a time.
const sortBlock = 1 << 14

// sortMemory is how many bytes of entries are sorted without files: 33 million
// entries. A choice.
const sortMemory = 1 << 30

// newSorter makes a sorter of entries that keep to lim. It keeps so many bytes in
// memory, and the rest in a new folder inside dir.
func newSorter(dir string, memory int, lim limits) *sorter {
	s := &sorter{lim: lim, parent: dir, room: memory}
	s.full, s.free = make(chan []byte, workers()), make(chan []byte, 2*workers()+1)
	for range cap(s.free) {
		s.free <- make([]byte, 0, batchEntries*EntryBytes)
	}
	s.batch = <-s.free
	for range workers() {
		s.wait.Go(s.spread)
	}
	return s
}

// add takes one entry.
func (s *sorter) add(e *Entry) error {
	if !s.lim.fits(e.Line, e.Senior, e.Entered, e.Edited) || uint(e.Lost) > 255 || e.Line >= LinesMost || e.Entered > millisMost || e.Edited > millisMost {
		if err := cmp.Or(e.Check(), s.lim.check(*e)); err != nil {
			return err
		}
	}
	s.batch = e.AppendTo(s.batch)
	s.total++
	if len(s.batch) < batchEntries*EntryBytes {
		return nil
	}
	s.full <- s.batch
	s.batch = (<-s.free)[:0]
	return nil
}

// spread takes batches apart by bucket. After an error it only takes what comes.
func (s *sorter) spread() {
	var blocks [256][]byte
	for batch := range s.full {
		for e := batch; len(e) > 0; e = e[EntryBytes:] {
			b := &blocks[e[0]]
			if len(*b) == cap(*b) {
				*b = s.keep(e[0], *b)
			}
			n := len(*b)
			*b = (*b)[:n+EntryBytes]
			put((*b)[n:], e)
		}
		s.free <- batch
	}
	for i, b := range blocks {
		s.keep(byte(i), b)
	}
}

// put copies one entry, without a call.
func put(to, from []byte) { *(*[EntryBytes]byte)(to) = [EntryBytes]byte(from) }

// keep adds a block to a bucket, in memory while there is room, and gives an empty one.
func (s *sorter) keep(i byte, block []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.buckets[i]
	switch {
	case len(block) == 0:
	case s.room >= len(block):
		s.room -= len(block)
		b.blocks = append(b.blocks, block)
	default:
		if s.err == nil {
			s.err = s.file(i, block)
		}
		return block[:0]
	}
	return make([]byte, 0, sortBlock)
}

// file appends a block to a bucket's file.
func (s *sorter) file(i byte, block []byte) (err error) {
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp(s.parent, "sorting-"); err != nil {
			return err
		}
	}
	b := &s.buckets[i]
	if b.file == nil {
		if b.file, err = os.Create(filepath.Join(s.dir, fmt.Sprintf("%02x", i))); err != nil {
			return err
		}
	}
	n, err := b.file.Write(block)
	b.filed += n
	return err
}

// write writes all entries in order. Each run of them that it has in hand it shows to
// sorted, with the place of the first; calls of one worker follow one another.
func (s *sorter) write(ctx context.Context, to *os.File, sorted func(worker int, at int64, entries []byte)) error {
	s.full <- s.batch
	if err := s.stop(); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	var offset [257]int64
	for i, b := range s.buckets {
		offset[i+1] = offset[i] + int64(b.filed)
		for _, block := range b.blocks {
			offset[i+1] += int64(len(block))
		}
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, workers())
	for w := range errs {
		wait.Go(func() {
			var b bucket
			for errs[w] == nil {
				i := int(next.Add(1) - 1)
				if i >= len(s.buckets) {
					return
				}
				if errs[w] = ctx.Err(); errs[w] == nil {
					errs[w] = s.writeBucket(&s.buckets[i], &b, to, offset[i], int(offset[i+1]-offset[i]))
				}
				if errs[w] == nil {
					sorted(w, offset[i]/EntryBytes, b.out)
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (s *sorter) writeBucket(from *spread, b *bucket, to *os.File, offset int64, size int) error {
	in := from.blocks
	if from.filed > 0 {
		b.filed = slices.Grow(b.filed[:0], from.filed)[:from.filed]
		if _, err := from.file.ReadAt(b.filed, 0); err != nil {
			return fmt.Errorf("lottery: reading back what is sorted: %w", err)
		}
		in = append(in, b.filed)
	}
	b.out = slices.Grow(b.out[:0], size)[:size]
	b.sort(in)
	from.blocks = nil // is free from here on
	if _, err := to.WriteAt(b.out, offset); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return nil
}

// stop ends the spreaders and gives their error; again does nothing.
func (s *sorter) stop() error {
	if s.full == nil {
		return nil
	}
	close(s.full)
	s.wait.Wait()
	s.full = nil
	return s.err
}

// close removes what the sorter kept on disk.
func (s *sorter) close() error {
	_ = s.stop() // what it wrote goes with the folder
	if s.dir == "" {
		return nil
	}
	for _, b := range s.buckets {
		if b.file != nil {
			_ = b.file.Close() // nothing that is kept: the folder goes with it
		}
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return nil
}

// bucket is room to sort the entries of one bucket in.
type bucket struct {
	filed, out []byte
	slots      [1 << 16]uint32
}

// sort puts the entries of blocks into out, by the id's second and third byte first,
// then what shares both by the rest of it: one or two in a bucket of a hundred thousand.
func (b *bucket) sort(blocks [][]byte) {
	clear(b.slots[:])
	key := func(e []byte) int { return int(binary.BigEndian.Uint16(e[1:3])) }
	for _, e := range blocks {
		for ; len(e) > 0; e = e[EntryBytes:] {
			b.slots[key(e)]++
		}
	}
	sum := uint32(0)
	for k, n := range b.slots {
		b.slots[k], sum = sum, sum+n
	}
	for _, e := range blocks {
		for ; len(e) > 0; e = e[EntryBytes:] {
			k := key(e)
			put(b.out[int(b.slots[k])*EntryBytes:], e)
			b.slots[k]++ // in the end: where the next key's begin
		}
	}
	from := 0
	for _, to := range b.slots {
		if int(to)-from > 1 {
			sortEntries(b.out[from*EntryBytes : int(to)*EntryBytes])
		}
		from = int(to)
	}
}

// sortEntries sorts by all bytes: doubled ids come to stand side by side, in one
// order whatever order they came in.
func sortEntries(b []byte) {
	n := len(b) / EntryBytes
	at := func(i int) []byte { return b[i*EntryBytes : (i+1)*EntryBytes] }
	if n <= 12 { // nearly always
		var t [EntryBytes]byte
		for i := 1; i < n; i++ {
			for j := i; j > 0 && bytes.Compare(at(j-1), at(j)) > 0; j-- {
				copy(t[:], at(j))
				copy(at(j), at(j-1))
				copy(at(j-1), t[:])
			}
		}
		return
	}
	es := make([][EntryBytes]byte, n)
	for i := range es {
		es[i] = [EntryBytes]byte(at(i))
	}
	slices.SortFunc(es, func(a, c [EntryBytes]byte) int { return bytes.Compare(a[:], c[:]) })
	for i := range es {
		copy(at(i), es[i][:])
	}
}
