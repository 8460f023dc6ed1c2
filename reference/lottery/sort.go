package lottery

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// sorter brings entries into canonical order on disk: spread over files by the first
// byte of the id, then each sorted by itself. Ids are hashes, so the files are of one
// size, and 30 million entries need 4 MB a core, not a gigabyte.
type sorter struct {
	dir   string
	files [256]*os.File
	bufs  [256]*bufio.Writer // of the spreader alone, until write
	count [256]int64         // as above
	total int64              // how many were added
	batch []byte             // what was added and not handed on
	full  chan []byte        // to the spreader
	free  chan []byte        // back from it
	done  chan error         // the spreader's end
}

// Batches go from who adds to the spreader, which writes: so that reading and writing
// share the cores.
const (
	batchEntries = 1 << 13
	batches      = 4
)

// sortBuffer is what is gathered for a file before it is written, in bytes.
const sortBuffer = 1 << 16

// newSorter makes a sorter that works in a new folder inside dir.
func newSorter(dir string) (*sorter, error) {
	tmp, err := os.MkdirTemp(dir, "sorting-")
	if err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	s := &sorter{dir: tmp}
	for i := range s.files {
		if s.files[i], err = os.Create(filepath.Join(tmp, fmt.Sprintf("%02x", i))); err != nil {
			return nil, errors.Join(fmt.Errorf("lottery: %w", err), s.close())
		}
		s.bufs[i] = bufio.NewWriterSize(s.files[i], sortBuffer)
	}
	s.full, s.free, s.done = make(chan []byte, batches), make(chan []byte, batches+1), make(chan error, 1)
	for range batches {
		s.free <- make([]byte, 0, batchEntries*EntryBytes)
	}
	s.batch = <-s.free
	go s.spread(s.full)
	return s, nil
}

// add takes one entry.
func (s *sorter) add(e Entry) error {
	if err := e.Check(); err != nil {
		return err
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

// spread writes batches to the files that their ids belong to. After an error it only
// takes what comes.
func (s *sorter) spread(full <-chan []byte) {
	var err error
	for batch := range full {
		for e := batch; len(e) > 0 && err == nil; e = e[EntryBytes:] {
			s.count[e[0]]++
			_, err = s.bufs[e[0]].Write(e[:EntryBytes])
		}
		s.free <- batch
	}
	for i := range s.bufs {
		if err == nil {
			err = s.bufs[i].Flush()
		}
	}
	s.done <- err
}

// write writes all entries in order.
func (s *sorter) write(ctx context.Context, to *os.File) error {
	s.full <- s.batch
	if err := s.stop(); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	var offset [256]int64
	for i := range offset[1:] {
		offset[i+1] = offset[i] + s.count[i]*EntryBytes
	}
	next := make(chan int, 256)
	for i := range 256 {
		next <- i
	}
	close(next)
	var wait sync.WaitGroup
	errs := make([]error, workers())
	for w := range errs {
		wait.Go(func() {
			var b bucket
			for i := range next {
				if errs[w] = ctx.Err(); errs[w] == nil {
					errs[w] = s.writeBucket(i, &b, to, offset[i])
				}
				if errs[w] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (s *sorter) writeBucket(i int, b *bucket, to *os.File, offset int64) error {
	b.size(int(s.count[i]))
	if _, err := s.files[i].ReadAt(b.in, 0); err != nil {
		return fmt.Errorf("lottery: reading back what is sorted: %w", err)
	}
	b.sort()
	if _, err := to.WriteAt(b.out, offset); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return nil
}

// stop ends the spreader and gives its error; again does nothing.
func (s *sorter) stop() error {
	if s.full == nil {
		return nil
	}
	close(s.full)
	s.full = nil
	return <-s.done
}

// close removes what the sorter kept on disk.
func (s *sorter) close() error {
	_ = s.stop() // what it wrote goes with the folder
	for _, f := range s.files {
		if f != nil {
			_ = f.Close() // nothing that is kept: the folder goes with it
		}
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return nil
}

// bucket is the entries of one file and room to sort them in.
type bucket struct {
	in, out []byte
	slots   [1 << 16]uint32
}

func (b *bucket) size(n int) {
	b.in = slices.Grow(b.in[:0], n*EntryBytes)[:n*EntryBytes]
	b.out = slices.Grow(b.out[:0], n*EntryBytes)[:n*EntryBytes]
}

// sort puts in's entries into out, by the id's second and third byte first, then
// what shares both by the rest of it: one or two in a file of a hundred thousand.
func (b *bucket) sort() {
	clear(b.slots[:])
	key := func(e []byte) int { return int(binary.BigEndian.Uint16(e[1:3])) }
	for e := b.in; len(e) > 0; e = e[EntryBytes:] {
		b.slots[key(e)]++
	}
	sum := uint32(0)
	for k, n := range b.slots {
		b.slots[k], sum = sum, sum+n
	}
	for e := b.in; len(e) > 0; e = e[EntryBytes:] {
		k := key(e)
		copy(b.out[int(b.slots[k])*EntryBytes:], e[:EntryBytes])
		b.slots[k]++ // in the end: where the next key's begin
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
