package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"spillway/internal/policy"
	"spillway/reference/lottery"
)

type lotteryCmd struct {
	Seal     lotterySealCmd     `cmd:"" help:"Close a day's list: order, tree, commitment, beacon; a signed bundle."`
	Sign     lotterySignCmd     `cmd:"" help:"Add a party's signature to a sealed bundle."`
	Draw     lotteryDrawCmd     `cmd:"" help:"Draw a sealed bundle: winners, reserve lists, second round."`
	Void     lotteryVoidCmd     `cmd:"" help:"Declare that a sealed list will never be drawn, and why, so that it holds up no later day."`
	Publish  lotteryPublishCmd  `cmd:"" help:"Say that a draw's winners are published: from here on the backend tells people."`
	Verify   lotteryVerifyCmd   `cmd:"" help:"Do all of a bundle again from the bundle alone, or check one proof; exit code 5 when something does not fit."`
	Prove    lotteryProveCmd    `cmd:"" help:"One entrant's proof: that the entry was in, its ticket, the cut-off; or that it was not in."`
	Export   lotteryExportCmd   `cmd:"" help:"The winners and reserves of a pharmacy, or of all, as CSV."`
	Audit    lotteryAuditCmd    `cmd:"" help:"Who did what to a bundle; its lines must hold together."`
	Sample   lotterySampleCmd   `cmd:"" help:"Make a day's entries and stock list up, on fixed draws, for rehearsals."`
	Pick     lotteryPickCmd     `cmd:"" name:"rfc3797" help:"Pick from a pool as RFC 3797 does, from a key string of public numbers."`
	Fairness lotteryFairnessCmd `cmd:"" help:"Test a drawn bundle for fairness; one page. Exit code 5 when it does not fit a fair draw."`
	Rehearse lotteryRehearseCmd `cmd:"" help:"A whole day on made-up people: seal, draw, verify, fairness; one page."`
	Versus   lotteryVersusCmd   `cmd:"" help:"The grab evening beside the lottery day on the same people: load, servers, who wins; one report."`
	Console  lotteryConsoleCmd  `cmd:"" help:"Serve the page that the notary and the public watch a draw on; with a token, draw, publish and export there."`
}

// at is the bundle that a command works on.
type bundleAt struct {
	Bundle string `default:"bundle" placeholder:"DIR" help:"The bundle's folder."`
}

// there says when there is nothing to open: that is no bundle that does not fit.
func (b bundleAt) there() error {
	if _, err := os.Stat(b.Bundle); err != nil {
		return badInput(fmt.Errorf("bundle: %w", err))
	}
	return nil
}

func (b bundleAt) open() (*lottery.Bundle, error) {
	bundle, err := lottery.Open(b.Bundle)
	return bundle, badInput(err)
}

// actor is who acts, for the audit log.
type actor struct {
	Who string `help:"Who acts; the login name by default."`
}

func (w actor) who() string { return (&by{Who: w.Who}).who() }

// lotteryRules are the rules by which days, hours and validity are told.
func lotteryRules() policy.LotteryRules { return policy.DefaultLotteryRules() }

// moment is an offset of the rules' time as a wall clock shows it there.
func moment(r policy.LotteryRules, t time.Duration) time.Time {
	zone := time.FixedZone("", int(r.Zone/time.Second))
	return time.UnixMilli(t.Milliseconds()).In(zone)
}

// readKey reads the private key in a file.
func readKey(path string) (ed25519.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, badInput(fmt.Errorf("cannot read the key: %w", err))
	}
	key, err := lottery.ParsePrivateKey(data)
	if err != nil {
		return nil, badInput(fmt.Errorf("%s: %w", path, err))
	}
	return key, nil
}

// publicKey reads a public key: hex digits, or a file.
func publicKey(s string) (k lottery.Key, err error) {
	if k.UnmarshalText([]byte(s)) == nil {
		return k, nil
	}
	data, err := os.ReadFile(s)
	if err != nil {
		return k, fmt.Errorf("neither 64 hex digits nor a file that can be read: %w", err)
	}
	if k, err = lottery.ParsePublicKey(data); err != nil {
		return k, fmt.Errorf("%s: %w", s, err)
	}
	return k, nil
}

// secretFile is where a bundle's secret is kept: beside it, not in it, unless told.
func secretFile(told, bundle string) string {
	if told != "" {
		return told
	}
	return strings.TrimSuffix(bundle, "/") + ".secret"
}

// readSecret reads a secret's file.
func readSecret(path string) (s lottery.Secret, err error) {
	data, err := os.ReadFile(path)
	if err == nil {
		err = s.UnmarshalText(bytes.TrimSuffix(data, []byte("\n")))
	}
	if err != nil {
		return s, badInput(fmt.Errorf("secret %s: %w", path, err))
	}
	return s, nil
}

// newSecret makes a secret by chance and keeps it in a file that must not exist.
func newSecret(path string) (s lottery.Secret, err error) {
	if _, err := rand.Read(s[:]); err != nil {
		return s, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = errors.New("it exists; a secret serves one seal")
		}
		return s, badInput(fmt.Errorf("secret %s: %w", path, err))
	}
	_, err = fmt.Fprintln(f, lottery.Hash(s))
	if err = errors.Join(err, f.Close()); err != nil {
		return s, environment(fmt.Errorf("secret %s: %w", path, err))
	}
	return s, nil
}

// stockHead is the head of a stock list.
var stockHead = []string{"area", "shop", "type", "masks", "stock", "quota"}

// readStock reads a day's stock list.
func readStock(path string) ([]lottery.Line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, badInput(fmt.Errorf("cannot read the stock list: %w", err))
	}
	defer f.Close() // only read
	r := csv.NewReader(f)
	r.FieldsPerRecord = len(stockHead)
	var lines []lottery.Line
	for {
		row, err := r.Read()
		at, _ := r.FieldPos(0)
		switch {
		case errors.Is(err, io.EOF) && lines == nil:
			return nil, badInput(fmt.Errorf("%s: want the head %q, then a line for each shop and type", path, strings.Join(stockHead, ",")))
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil:
			return nil, badInput(fmt.Errorf("%s: %w", path, err))
		case lines == nil:
			if strings.Join(row, ",") != strings.Join(stockHead, ",") {
				return nil, badInput(fmt.Errorf("%s:1: head %q: want %q", path, strings.Join(row, ","), strings.Join(stockHead, ",")))
			}
			lines = []lottery.Line{}
			continue
		}
		l := lottery.Line{Area: row[0], Shop: row[1], Type: row[2]}
		masks, err1 := strconv.Atoi(row[3])
		stock, err2 := strconv.ParseInt(row[4], 10, 64)
		quota, err3 := strconv.ParseInt(row[5], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil || len(lines) == lottery.LinesMost {
			return nil, badInput(fmt.Errorf("%s:%d: want whole numbers of masks, stock and quota, in at most %d lines", path, at, lottery.LinesMost))
		}
		l.Masks, l.Stock, l.Quota = masks, stock, quota
		lines = append(lines, l)
	}
}

// stages shows how far the steps of a command are, with an estimate of what is left.
// It is safe for concurrent use.
type stages struct {
	mu    sync.Mutex
	show  *progress
	what  string
	began time.Time
}

func newStages(a *app) *stages {
	s := &stages{show: newProgress(a.stderr)}
	s.show.last = time.Now() // nothing of what is done at once
	return s
}

// tell is a Progress of the lottery; what comes while another line is written is
// dropped.
func (s *stages) tell(what string, done, of int64) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if what != s.what {
		s.what, s.began = what, time.Now()
	}
	s.show.update(func() string {
		if of == 0 {
			return fmt.Sprintf("      %s: %s entries", what, count(done))
		}
		share := float64(done) / float64(of)
		left := ""
		if share > 0.05 {
			left = fmt.Sprintf(", about %v left", time.Duration(float64(time.Since(s.began))*(1-share)/share).Round(time.Second))
		}
		return fmt.Sprintf("      %s: %s of %s entries %s%s", what, count(done), count(of), bar(share, 12), left)
	})
}

// over ends the live line.
func (s *stages) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show.clear()
}
