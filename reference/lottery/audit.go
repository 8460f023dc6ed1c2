package lottery

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Action is a line of the audit log: who did what, when. Each holds its own hash and
// that of the line before it, so that none can be changed or left out without all
// that follow it; the last hash, kept elsewhere, holds the whole log.
type Action struct {
	Number int       `json:"number"` // from 1
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	What   string    `json:"what"` // seal, sign, give, draw, void, publish, export, refuse …
	// Of is the digest of what it was done to; zero = nothing.
	Of     Hash   `json:"of"`
	Detail string `json:"detail,omitempty"`
	Before Hash   `json:"before"` // the hash of the line before; the first's is zero
	Hash   Hash   `json:"hash"`   // of this line, with this hash zero
}

// hashed is the action with its hash.
func (a Action) hashed() (Action, error) {
	a.Hash = Hash{}
	line, err := json.Marshal(a)
	a.Hash = digest("spillway lottery audit v1", line)
	return a, err
}

// auditLine is the longest line of an audit log, in bytes.
const auditLine = 1 << 16

// Audit is an audit log: a file that only grows.
type Audit struct{ path string }

// OpenAudit is the log in a file, which need not exist yet.
func OpenAudit(path string) Audit { return Audit{path} }

// Append adds a line, whose number and hash it fills in. It fails when the log so
// far does not hold together.
func (a Audit) Append(at time.Time, who, what string, of Hash, detail string) (err error) {
	f, err := os.OpenFile(a.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("lottery: audit log: %w", err)
	}
	defer func() {
		if e := f.Close(); e != nil && err == nil {
			err = fmt.Errorf("lottery: audit log: %w", e)
		}
	}()
	if err := lock(f); err != nil { // until it is closed
		return fmt.Errorf("lottery: audit log: locking %s: %w", a.path, err)
	}
	actions, head, err := readActions(f)
	if err != nil {
		return err
	}
	act, err := Action{Number: len(actions) + 1, At: at.Round(0), Who: who, What: what, Of: of, Detail: detail, Before: head}.hashed()
	var line []byte
	if err == nil {
		line, err = json.Marshal(act)
	}
	if err != nil {
		return fmt.Errorf("lottery: audit log: %w", err)
	}
	if len(line) >= auditLine {
		return fmt.Errorf("lottery: audit log: a line of %d bytes: want less than %d", len(line), auditLine)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("lottery: audit log: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("lottery: audit log: %w", err)
	}
	return nil
}

// Read is the whole log and the hash of its last line, or what does not fit in it.
// A log that does not exist is empty.
func (a Audit) Read() ([]Action, Hash, error) {
	f, err := os.Open(a.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, Hash{}, nil
	case err != nil:
		return nil, Hash{}, fmt.Errorf("lottery: audit log: %w", err)
	}
	defer f.Close() // only read
	return readActions(f)
}

func readActions(r io.Reader) (actions []Action, head Hash, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, auditLine)
	s.Split(wholeLines)
	for s.Scan() {
		n := len(actions) + 1
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		d.DisallowUnknownFields()
		var act Action
		if err := d.Decode(&act); err != nil {
			return nil, Hash{}, fmt.Errorf("lottery: audit log: line %d: %w", n, err)
		}
		right, err := act.hashed()
		if err != nil {
			return nil, Hash{}, fmt.Errorf("lottery: audit log: line %d: %w", n, err)
		}
		switch again, err := json.Marshal(act); {
		case err != nil:
			return nil, Hash{}, fmt.Errorf("lottery: audit log: line %d: %w", n, err)
		case !bytes.Equal(again, s.Bytes()):
			return nil, Hash{}, fmt.Errorf("lottery: audit log: line %d is not in its canonical form", n)
		case act.Hash != right.Hash:
			return nil, Hash{}, fmt.Errorf("lottery: audit log: line %d was changed: its hash does not fit", n)
		case act.Number != n:
			return nil, Hash{}, fmt.Errorf("lottery: audit log: line %d has number %d", n, act.Number)
		case act.Before != head:
			return nil, Hash{}, fmt.Errorf("lottery: audit log: line %d does not follow the line before it", n)
		}
		head = act.Hash
		actions = append(actions, act)
	}
	if err := s.Err(); err != nil {
		return nil, Hash{}, fmt.Errorf("lottery: audit log: line %d: %w", len(actions)+1, err)
	}
	return actions, head, nil
}

// wholeLines splits at newlines; a last line without one is an error: a write was
// cut off.
func wholeLines(b []byte, end bool) (int, []byte, error) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1, b[:i], nil
	}
	if end && len(b) > 0 {
		return 0, nil, errors.New("it is cut off")
	}
	return 0, nil, nil
}
