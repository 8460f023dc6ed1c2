package lottery

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever is held in memory and whatever in files, and however many are equal, the
// list is what sorting all of it gives.
func TestSorter(t *testing.T) {
	es := people(50_000, 3, 7)
	for i := range 20_000 { // ids that share their first bytes, and doubled entries
		es[i].ID = ID{1, 2, byte(i % 7), byte(i >> 9)}
	}
	var want []byte
	order := make([][]byte, len(es))
	for i, e := range es {
		order[i] = e.AppendTo(nil)
	}
	slices.SortFunc(order, bytes.Compare)
	want = bytes.Join(order, nil)
	for _, memory := range []int{0, 300_000, sortMemory} {
		t.Run(fmt.Sprint(memory), func(t *testing.T) {
			dir := t.TempDir()
			f, err := os.Create(filepath.Join(dir, "list"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s := newSorter(dir, memory, limits{lines: 3, cutoff: millisMost})
			for _, e := range es {
				if err := s.add(&e); err != nil {
					t.Fatal(err)
				}
			}
			shown := make([]byte, len(want))
			if err := s.write(context.Background(), f, func(_ int, at int64, entries []byte) { copy(shown[at*EntryBytes:], entries) }); err != nil {
				t.Fatal(err)
			}
			if filed := s.dir != ""; filed != (memory < len(want)) {
				t.Errorf("files were used: %v", filed)
			}
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(f.Name())
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes differ from %d from byte %d on: %v", len(got), len(want), same(got, want), err)
			}
			if !bytes.Equal(shown, want) {
				t.Errorf("what was shown differs from byte %d on", same(shown, want))
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// Where the files cannot be, sealing ends with an error and not with a part of the list.
func TestSorterWithoutItsFolder(t *testing.T) {
	s := newSorter(filepath.Join(t.TempDir(), "none"), 0, limits{lines: 3, cutoff: millisMost})
	for _, e := range people(10_000, 3, 7) {
		if err := s.add(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.write(context.Background(), nil, nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}
