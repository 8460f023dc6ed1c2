package cli

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
)

const diceSource = `{"kind":"ceremony","ceremony":{"what":"fifty dice","by":"the notary","where":"the hall",
 "at":"2020-02-19T15:00:00+08:00","count":50,"min":1,"max":6,"witnesses":1}}`

const diceValue = `{"kind":"ceremony","ceremony":{"values":[
 1,6,2,5,3,4,1,1,2,6,3,5,4,4,1,2,3,6,5,5,1,2,2,3,4,6,6,1,5,3,2,4,1,1,3,6,2,5,4,3,6,1,2,5,4,4,3,2,1,6],"witnesses":["ada"]}}`

// lotteryFolder is a folder with keys, a source, a value, and a made-up day of n
// entries.
func lotteryFolder(t *testing.T, n string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range []string{"operator", "notary"} {
		seed := sha256.Sum256([]byte(name))
		key := ed25519.NewKeyFromSeed(seed[:])
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
		write(t, name+".pub", hex.EncodeToString(key.Public().(ed25519.PublicKey))+"\n")
	}
	write(t, "source.json", diceSource)
	write(t, "value.json", diceValue)
	lotteryRun(t, 0, "sample", "--entries", n, "--winners", "400")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lotteryRun runs a command of the lottery and gives what it printed.
func lotteryRun(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	if code := Main(append([]string{"lottery"}, args...), strings.NewReader(diceValue), &out, &errs); code != want {
		t.Fatalf("lottery %s: exit code %d, want %d: %s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	if want != 0 {
		if n := strings.Count(strings.TrimSpace(errs.String()), "\n"); n != 0 {
			t.Errorf("lottery %s: an error of %d lines: %s", strings.Join(args, " "), n+1, errs.String())
		}
		return errs.String()
	}
	return out.String()
}

var sealArgs = []string{"seal", "--day", "2020-02-19", "--from", "sample.entries", "--stock", "stock.csv", "--key", "operator.pem",
	"--party", "notary=notary.pub", "--beacon", "source.json", "--rehearsal", "--who", "ada"}

func TestLotteryDay(t *testing.T) {
	lotteryFolder(t, "20000")
	sealed := lotteryRun(t, 0, append(sealArgs, "--give", "given/notary")...)
	for _, want := range []string{"20,000 entries of 2020-02-19 in 193 lines", "known at 2020-02-19 15:00:00"} {
		if !strings.Contains(sealed, want) {
			t.Errorf("seal says %s, want it to say %q", sealed, want)
		}
	}
	if got := lotteryRun(t, 0, "sign", "--as", "notary", "--key", "notary.pem"); got != "signed by operator, notary\n" {
		t.Errorf("sign says %q", got)
	}
	if got := lotteryRun(t, 0, "verify"); !strings.Contains(got, "Nothing is drawn yet") {
		t.Errorf("verify says %s", got)
	}
	drawn := lotteryRun(t, 0, "draw", "--beacon", "-", "--key", "operator.pem", "--who", "ada")
	if !strings.Contains(drawn, "400 of 20,000 entries (2.00 %)") {
		t.Errorf("draw says %s", drawn)
	}
	key, err := os.ReadFile("operator.pub")
	if err != nil {
		t.Fatal(err)
	}
	if got := lotteryRun(t, 0, "verify", "--operator", strings.TrimSpace(string(key))); !strings.Contains(got, "All of it follows") || strings.Contains(got, "compare it") {
		t.Errorf("verify says %s", got)
	}

	winners, err := os.ReadFile("bundle/winners.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(winners)), "\n")
	if len(rows) != 401 {
		t.Fatalf("%d rows of winners, want a head and 400", len(rows))
	}
	first, last := strings.Split(rows[1], ","), strings.Split(rows[400], ",")
	if first[4] != "1" || last[4] != "2" {
		t.Fatalf("rounds %s and %s: want 1 and 2, or the sample has no second round", first[4], last[4])
	}
	if got := lotteryRun(t, 0, "prove", "--entry", first[6], "--out", "proof.json"); !strings.Contains(got, "result   WON: ") {
		t.Errorf("prove says %s", got)
	}
	if got := lotteryRun(t, 0, "prove", "--entry", last[6]); !strings.Contains(got, "WON in round 2") {
		t.Errorf("prove says %s", got)
	}
	if got := lotteryRun(t, 0, "verify", "--proof", "proof.json"); !strings.Contains(got, "result   WON: ") {
		t.Errorf("verify --proof says %s", got)
	}
	if got := lotteryRun(t, 0, "prove", "--entry", strings.Repeat("0", 32)); !strings.Contains(got, "in       no") {
		t.Errorf("prove says %s", got)
	}

	lotteryRun(t, 0, "export", "--out", "lists")
	lists, err := filepath.Glob("lists/*.csv")
	if err != nil || len(lists) != 166 {
		t.Fatalf("%d lists, %v: want 166", len(lists), err)
	}
	all := 0
	for _, l := range lists {
		text, err := os.ReadFile(l)
		if err != nil {
			t.Fatal(err)
		}
		all += strings.Count(string(text), "winner,")
	}
	if all != 400 {
		t.Errorf("%d winners in the lists, want 400", all)
	}
	if got := lotteryRun(t, 0, "audit"); strings.Count(got, "\n") != 7 {
		t.Errorf("audit says %s, want a head, five lines and the last hash", got)
	}
	lotteryRun(t, 0, "verify")
}

func TestLotteryRefuses(t *testing.T) {
	lotteryFolder(t, "3000")
	with := func(args ...string) []string { return append(append([]string{}, sealArgs...), args...) }
	write(t, "high.csv", "area,shop,type,masks,stock,quota\nA,S,ordinary,10,5,6\n")
	write(t, "head.csv", "shop,type\n")
	write(t, "six.json", strings.NewReplacer(`"count":50`, `"count":6`, `"min":1,"max":6`, `"min":0,"max":9`).Replace(diceSource))
	write(t, "late.csv", "entry,line,other,senior,lost,entered,edited\n"+strings.Repeat("ab", 16)+",0,no,no,0,2020-02-18T22:00:00+08:00,\n")
	write(t, "twice.csv", "entry,line,other,senior,lost,entered,edited\n"+strings.Repeat(strings.Repeat("ab", 16)+",0,no,no,0,2020-02-18T21:00:00+08:00,\n", 2))
	write(t, "row.csv", "entry,line,other,senior,lost,entered,edited\n"+strings.Repeat("ab", 16)+",0,perhaps,no,0,2020-02-18T21:00:00+08:00,\n")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no such day":             {with("--day", "2020-02-30"), "--day"},
		"a quota above the stock": {with("--stock", "high.csv"), "above the stock"},
		"no stock list":           {with("--stock", "head.csv"), "wrong number of fields"},
		"six digits":              {with("--beacon", "six.json"), "bits"},
		"no beacon then":          {with("--beacon", ""), "quicknet has no round"},
		"an entry too late":       {with("--from", "late.csv"), "late.csv:2: lottery: entry abababababababababababababababab is from the future"},
		"an entry twice":          {with("--from", "twice.csv"), "is in the list twice"},
		"a row that is none":      {with("--from", "row.csv"), "row.csv:2: other, senior: \"perhaps\": want yes or no"},
		"a file that is not":      {with("--from", "none.csv"), "none.csv"},
		"no key":                  {with("--key", "value.json"), "openssl genpkey"},
		"another's name":          {with("--party", "operator=notary.pub"), "named twice"},
		"no draw yet":             {[]string{"verify", "--bundle", "none"}, "none"},
		"nothing to judge":        {[]string{"fairness", "--bundle", "none"}, "none"},
		"an id that is none":      {[]string{"prove", "--entry", "xyz"}, "32 lower-case hex digits"},
	} {
		if got := lotteryRun(t, 2, c.args...); !strings.Contains(got, c.says) {
			t.Errorf("%s: %s, want it to say %q", name, got, c.says)
		}
		if left, err := filepath.Glob("bundle*"); err != nil || len(left) > 0 {
			t.Fatalf("%s: %v left behind, %v", name, left, err)
		}
	}
	lotteryRun(t, 0, sealArgs...)
	if got := lotteryRun(t, 2, sealArgs...); !strings.Contains(got, "bundle.secret: it exists") {
		t.Errorf("sealed twice: %s", got)
	}
	if got := lotteryRun(t, 2, "draw", "--beacon", "source.json", "--key", "operator.pem"); !strings.Contains(got, "--beacon source.json") {
		t.Errorf("drawn with a source for a value: %s", got)
	}
	lotteryRun(t, 0, "draw", "--beacon", "value.json", "--key", "operator.pem")
	data, err := os.ReadFile("bundle/winners.csv")
	if err != nil {
		t.Fatal(err)
	}
	data[200] ^= 1
	write(t, "bundle/winners.csv", string(data))
	if got := lotteryRun(t, 5, "verify"); !strings.Contains(got, "is not the draw's") {
		t.Errorf("with a changed winner: %s", got)
	}
	if got := lotteryRun(t, 2, "export", "--shop", "Express"); !strings.Contains(got, "not the list that the draw was signed for") {
		t.Errorf("exported with a changed winner: %s", got)
	}
}

// A day out of a backend's database: sealed, drawn, recorded, published.
func TestLotteryFromTheLedger(t *testing.T) {
	lotteryFolder(t, "10")
	db, err := ledger.Open(t.Context(), "sqlite:ledger.db", ledger.DBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := policy.DefaultLotteryRules()
	day, err := policy.ParseDay("2020-02-19")
	if err != nil {
		t.Fatal(err)
	}
	var rows []ledger.Row
	for i := range 300 {
		at := r.SealsAt(day) - time.Duration(1+i)*time.Hour/2
		rows = append(rows, ledger.Row{Accepted: booking.Accepted{Ticket: booking.Ticket{1, byte(i), byte(i >> 8)}, User: booking.UserID(i), Item: i % 2, At: at}, Written: at})
	}
	late := rows[0]
	late.Ticket, late.User, late.At = booking.Ticket{2}, 1000, r.SealsAt(day)
	if _, err := db.Entries(r).WriteBatch(t.Context(), append(rows, late)); err != nil {
		t.Fatal(err)
	}
	write(t, "two.csv", "area,shop,type,masks,stock,quota\nA,S,ordinary,10,20,20\nA,S,N95,5,9,7\n")
	args := []string{"seal", "--day", "2020-02-19", "--db", "sqlite:ledger.db", "--stock", "two.csv", "--key", "operator.pem", "--beacon", "source.json", "--rehearsal"}
	if got := lotteryRun(t, 0, args...); !strings.Contains(got, "300 entries of 2020-02-19") {
		t.Errorf("seal says %s, want 300 of 301: one came at the seal", got)
	}
	lotteryRun(t, 0, "draw", "--beacon", "value.json", "--key", "operator.pem", "--db", "sqlite:ledger.db")
	lotteryRun(t, 0, "publish", "--db", "sqlite:ledger.db")
	lotteryRun(t, 2, "void", "--reason", "too late", "--key", "operator.pem", "--db", "sqlite:ledger.db")
	draws, err := db.Draws(t.Context())
	if err != nil || len(draws) != 1 || draws[0].Winners != 27 || draws[0].Entries != 300 || draws[0].State != ledger.DrawPublished {
		t.Errorf("the ledger has the draws %+v, %v", draws, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	lotteryRun(t, 0, "verify")

	// Receipts of an entry that is in and of one that was left out, held against proofs.
	seed := sha256.Sum256([]byte("notary"))
	receipt := func(file string, ticket booking.Ticket) lottery.Receipt {
		r := lottery.Receipt{ID: lottery.PublicID(ticket), Item: rows[7].Item, EnteredMs: rows[7].At.Milliseconds()}
		r.Sign(ed25519.NewKeyFromSeed(seed[:]))
		text, err := json.Marshal(map[string]any{"outcome": "confirmed", "entry": r})
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, string(text))
		lotteryRun(t, 0, "prove", "--entry", r.ID.String(), "--out", "proof-"+file)
		return r
	}
	receipt("in.json", rows[7].Ticket)
	receipt("out.json", booking.Ticket{3})
	held := func(file string) []string {
		return []string{"verify", "--proof", "proof-" + file, "--receipt", file, "--signer", "notary.pub"}
	}
	if got := lotteryRun(t, 0, held("in.json")...); !strings.Contains(got, "receipt  the list has the entry as the operator signed for it") {
		t.Errorf("verify says %s", got)
	}
	if got := lotteryRun(t, 5, held("out.json")...); !strings.Contains(got, "it is missing from the list") {
		t.Errorf("verify says %s", got)
	}
	for name, c := range map[string]struct {
		code int
		args []string
	}{
		"another's key":    {5, append(held("in.json"), "--signer", "operator.pub")},
		"another's proof":  {2, append(held("in.json"), "--proof", "proof-out.json")},
		"no signer":        {2, append(held("in.json"), "--signer", "")},
		"no proof with it": {2, []string{"verify", "--receipt", "in.json", "--signer", "notary.pub"}},
		"no receipt":       {2, append(held("in.json"), "--receipt", "two.csv")},
	} {
		t.Log(name, lotteryRun(t, c.code, c.args...))
	}
}

// RFC 3797's published example, section 6.
func TestLotteryPick(t *testing.T) {
	if got := lotteryRun(t, 0, "rfc3797", "9319./2.5.8.10.12./9.18.26.34.41.45./", "--pool", "25", "--picks", "4"); got != "1. 17\n2. 7\n3. 2\n4. 16\n" {
		t.Errorf("picks %q", got)
	}
	lotteryRun(t, 2, "rfc3797", "9319./", "--pool", "70000")
	lotteryRun(t, 2, "rfc3797", "9319./", "--pool", "3", "--picks", "4")
}

// A draw that can never be made is declared void, once and for good, and the next day
// can be sealed.
func TestLotteryVoid(t *testing.T) {
	lotteryFolder(t, "10")
	write(t, "one.csv", "area,shop,type,masks,stock,quota\nA,S,ordinary,10,20,20\n")
	seal := func(code int, day, out string) string {
		return lotteryRun(t, code, "seal", "--day", day, "--db", "sqlite:ledger.db", "--stock", "one.csv", "--key", "operator.pem",
			"--beacon", out+".json", "--rehearsal", "--out", out)
	}
	write(t, "first.json", diceSource)
	write(t, "second.json", strings.ReplaceAll(diceSource, "02-19", "02-20"))
	db, err := ledger.Open(t.Context(), "sqlite:ledger.db", ledger.DBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	seal(0, "2020-02-19", "first")
	seal(2, "2020-02-20", "second")
	void := []string{"void", "--bundle", "first", "--key", "operator.pem", "--db", "sqlite:ledger.db", "--reason"}
	lotteryRun(t, 2, append(void, " \n ")...)
	lotteryRun(t, 2, append(void, "why not", "--key", "notary.pem")...)
	for range 2 {
		if got := lotteryRun(t, 0, append(void, "no dice were thrown")...); !strings.Contains(got, "the draw of 2020-02-19 will not be made") {
			t.Errorf("void says %s", got)
		}
	}
	if got := lotteryRun(t, 0, "verify", "--bundle", "first"); !strings.Contains(got, "no dice were thrown; before the beacon's value could be known") {
		t.Errorf("verify says %s", got)
	}
	lotteryRun(t, 2, "draw", "--bundle", "first", "--beacon", "value.json", "--key", "operator.pem")
	seal(0, "2020-02-20", "second")
}
