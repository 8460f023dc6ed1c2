package cli

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"spillway/reference/lottery"
)

// entriesHead is the head of entries as CSV.
var entriesHead = []string{"entry", "line", "other", "senior", "lost", "entered", "edited"}

// canonicalExt marks a file of canonical entries, 32 bytes each.
const canonicalExt = ".entries"

// readEntries calls take with every entry of a file.
func readEntries(path string, take func(lottery.Entry) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read the entries: %w", err)
	}
	defer f.Close() // only read
	if strings.HasSuffix(path, canonicalExt) {
		return readCanonical(bufio.NewReaderSize(f, 1<<20), path, take)
	}
	return readEntriesCSV(f, path, take)
}

func readCanonical(r io.Reader, path string, take func(lottery.Entry) error) error {
	var b [lottery.EntryBytes]byte
	for n := 0; ; n++ {
		_, err := io.ReadFull(r, b[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		var e lottery.Entry
		if err == nil {
			e, err = lottery.ParseEntry(b[:])
		}
		if err == nil {
			err = take(e)
		}
		if err != nil {
			return fmt.Errorf("%s: entry %d: %w", path, n+1, err)
		}
	}
}

func readEntriesCSV(r io.Reader, path string, take func(lottery.Entry) error) error {
	c := csv.NewReader(bufio.NewReaderSize(r, 1<<20))
	c.FieldsPerRecord, c.ReuseRecord = len(entriesHead), true
	for n := 1; ; n++ {
		row, err := c.Read()
		switch {
		case errors.Is(err, io.EOF) && n == 1:
			return fmt.Errorf("%s: want the head %q, then a line for each entry", path, strings.Join(entriesHead, ","))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		case n == 1:
			if strings.Join(row, ",") != strings.Join(entriesHead, ",") {
				return fmt.Errorf("%s:1: head %.80q: want %q", path, strings.Join(row, ","), strings.Join(entriesHead, ","))
			}
			continue
		}
		e, err := entryOf(row)
		if err == nil {
			err = take(e)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
}

// entryOf reads a row of CSV: id, line, yes or no, yes or no, draws lost, moments in
// RFC 3339, the last empty when it was never edited.
func entryOf(row []string) (e lottery.Entry, err error) {
	if e.ID, err = lottery.ParseID(row[0]); err != nil {
		return e, err
	}
	line, err1 := strconv.ParseUint(row[1], 10, 16)
	lost, err2 := strconv.ParseUint(row[4], 10, 8)
	if err := errors.Join(err1, err2); err != nil {
		return e, fmt.Errorf("line %.20q, lost %.20q: want whole numbers", row[1], row[4])
	}
	e.Line, e.Lost = int(line), int(lost)
	for _, f := range []struct {
		to   *bool
		text string
	}{{&e.Other, row[2]}, {&e.Senior, row[3]}} {
		if f.text != "yes" && f.text != "no" {
			return e, fmt.Errorf("other, senior: %.20q: want yes or no", f.text)
		}
		*f.to = f.text == "yes"
	}
	for _, f := range []struct {
		to   *int64
		text string
	}{{&e.Entered, row[5]}, {&e.Edited, row[6]}} {
		if f.text == "" && f.to == &e.Edited {
			continue
		}
		t, err := time.Parse(time.RFC3339, f.text)
		if err != nil {
			return e, fmt.Errorf("moment %.40q: want RFC 3339, as in 2020-02-18T21:00:00+08:00", f.text)
		}
		*f.to = t.UnixMilli()
	}
	return e, e.Check()
}

// entryWriter writes entries to a file, by its name as CSV or canonically.
type entryWriter struct {
	f   *os.File
	w   *bufio.Writer
	csv *csv.Writer // nil: canonical
	b   [lottery.EntryBytes]byte
}

func newEntryWriter(path string) (*entryWriter, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, badInput(fmt.Errorf("cannot write the entries: %w", err))
	}
	e := &entryWriter{f: f, w: bufio.NewWriterSize(f, 1<<20)}
	if !strings.HasSuffix(path, canonicalExt) {
		e.csv = csv.NewWriter(e.w)
		return e, e.csv.Write(entriesHead)
	}
	return e, nil
}

func (w *entryWriter) write(e lottery.Entry) error {
	if w.csv == nil {
		_, err := w.w.Write(e.AppendTo(w.b[:0]))
		return err
	}
	yes := map[bool]string{true: "yes", false: "no"}
	ms := func(n int64) string {
		if n == 0 {
			return ""
		}
		return moment(lotteryRules(), time.Duration(n)*time.Millisecond).Format("2006-01-02T15:04:05.000Z07:00")
	}
	return w.csv.Write([]string{e.ID.String(), strconv.Itoa(e.Line), yes[e.Other], yes[e.Senior], strconv.Itoa(e.Lost), ms(e.Entered), ms(e.Edited)})
}

func (w *entryWriter) close() error {
	var err error
	if w.csv != nil {
		w.csv.Flush()
		err = w.csv.Error()
	}
	if err = errors.Join(err, w.w.Flush(), w.f.Close()); err != nil {
		return environment(fmt.Errorf("writing the entries: %w", err))
	}
	return nil
}
