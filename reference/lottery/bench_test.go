package lottery

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crowd writes n unsorted entries of 193 lines to a file and gives it as a source,
// with a stock list of about 100 entries a win.
func crowd(b *testing.B, n int) (entries func(func(Entry) error) error, lines []Line) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "unsorted")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	lines = make([]Line, 193)
	counts := make([]int64, len(lines))
	var seed, rec [EntryBytes]byte
	for i := range n {
		binary.BigEndian.PutUint64(seed[:], uint64(i))
		h := sha256.Sum256(seed[:])
		line := 10 + int(binary.BigEndian.Uint32(h[16:])%183)
		if binary.BigEndian.Uint16(h[26:]) < 13 { // one in 5,000: ten lines that few want
			line = int(h[28]) % 10
		}
		e := Entry{ID: ID(h[:IDBytes]), Line: line, Other: h[20]&1 == 0, Lost: int(h[21] % 10),
			Entered: 1_581_500_000_000 + int64(binary.BigEndian.Uint32(h[22:]))%500_000_000}
		counts[e.Line]++
		if _, err := w.Write(e.AppendTo(rec[:0])); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		b.Fatal(err)
	}
	for i := range lines {
		lines[i] = Line{Shop: fmt.Sprintf("Shop %d", i%96), Type: string(rune('A' + i/96)), Masks: 10, Quota: counts[i] / 100, Stock: counts[i]}
		if i < 10 {
			lines[i].Quota = counts[i] + 10 // some are left: there is a second round
			lines[i].Stock = lines[i].Quota
		}
	}
	return func(take func(Entry) error) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		buf := make([]byte, 1<<17) // the benchmark's own part is to be small
		for {
			n, err := io.ReadFull(f, buf)
			for rec := buf[:n]; len(rec) > 0; rec = rec[EntryBytes:] {
				e, err := ParseEntry(rec[:EntryBytes])
				if err == nil {
					err = take(e)
				}
				if err != nil {
					return err
				}
			}
			if err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					err = nil
				}
				return err
			}
		}
	}, lines
}

// hashFloor is what the hashes alone of n entries cost on all cores: a leaf, a node
// and a ticket each, at the rate at which this machine hashes.
func hashFloor(n int) time.Duration {
	var h Hash
	var e [EntryBytes]byte
	start := time.Now()
	const rounds = 1 << 20
	for range rounds {
		h = leafHash(e[:])
		h = nodeHash(&h, &h)
		h = Ticket(h, ID(h[:IDBytes]))
		copy(e[:], h[:])
	}
	return time.Since(start) * time.Duration(n) / rounds / time.Duration(workers())
}

// BenchmarkSealAndDraw seals, draws and verifies; the ratios are to hashing alone.
// Goal: 30,000,000 entries sealed and drawn in 12 s and 2 GiB on two cores, verified
// in twice that.
func BenchmarkSealAndDraw(b *testing.B) {
	sizes := []int{300_000, 2_629_006, 30_000_000}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			entries, lines := crowd(b, n)
			for b.Loop() {
				floor := hashFloor(n).Seconds()
				o := options(filepath.Join(b.TempDir(), "bundle"), nil, lines)
				o.Entries = entries
				start := time.Now()
				bundle, err := MakeSeal(context.Background(), o)
				if err != nil {
					b.Fatal(err)
				}
				seal := time.Since(start).Seconds()
				d, _, err := bundle.Draw(context.Background(), drawOptions())
				if err != nil {
					b.Fatal(err)
				}
				both := time.Since(start).Seconds()
				peak := peakMiB(b)
				start = time.Now()
				if _, err := verify(bundle, VerifyOptions{}); err != nil {
					b.Fatal(err)
				}
				verified := time.Since(start).Seconds()
				id := d.Seed // any id: its neighbours are proved
				start = time.Now()
				if _, err := bundle.Prove(ID(id[:IDBytes])); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms/proof")
				b.ReportMetric(seal, "s/seal")
				b.ReportMetric(both, "s/seal+draw")
				b.ReportMetric(verified, "s/verify")
				b.ReportMetric(both/floor, "×hashing")
				b.ReportMetric(peak, "MiB")
				b.ReportMetric(float64(d.Won), "winners")
				_ = bundle.Close()
				_ = os.RemoveAll(bundle.Dir)
			}
		})
	}
}

// peakMiB is the most memory this process ever had resident, from Linux; 0 elsewhere.
func peakMiB(b *testing.B) float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kib float64
	for line := range strings.SplitSeq(string(data), "\n") {
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
