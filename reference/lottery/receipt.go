package lottery

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"spillway/internal/booking"
)

// Receipt is what the ledger holds of an entry, as its holder is told. Signed, it
// proves that: who is missing from a sealed list, or stands there with another line,
// has the operator's own word. It proves what stood when it was given: an entry that
// its holder has edited or withdrawn since is of that later word.
type Receipt struct {
	ID        ID     `json:"id"`
	Item      int    `json:"item"`
	Other     bool   `json:"other"`
	Senior    bool   `json:"senior"`
	EnteredMs int64  `json:"entered_unix_ms"` // moment from which it counts
	EditedMs  int64  `json:"edited_unix_ms"`  // moment from which its last edit counts; 0 = it was never edited
	Signature []byte `json:"signature,omitempty"`
}

const receiptLabel = "spillway-receipt-v1"

// Text is what is signed, a line of ASCII without an end of line:
//
//	spillway-receipt-v1 ID ITEM OTHER SENIOR ENTERED_UNIX_MS EDITED_UNIX_MS
//
// with other and senior as 0 or 1, and 0 for an entry that was never edited.
func (r Receipt) Text() string {
	return fmt.Sprintf("%s %s %d %d %d %d %d", receiptLabel, r.ID, r.Item, bit(r.Other), bit(r.Senior), r.EnteredMs, r.EditedMs)
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// ParseReceipt is the inverse of Text. It accepts exactly what Text writes.
func ParseReceipt(text string) (r Receipt, err error) {
	bad := fmt.Errorf("receipt %.120q: want %s ID ITEM OTHER SENIOR ENTERED EDITED", text, receiptLabel)
	f := strings.Split(text, " ")
	if len(f) != 7 || f[0] != receiptLabel {
		return Receipt{}, bad
	}
	if r.ID, err = ParseID(f[1]); err != nil {
		return Receipt{}, bad
	}
	r.Other, r.Senior = f[3] == "1", f[4] == "1"
	var errs [3]error
	r.Item, errs[0] = strconv.Atoi(f[2])
	r.EnteredMs, errs[1] = strconv.ParseInt(f[5], 10, 64)
	r.EditedMs, errs[2] = strconv.ParseInt(f[6], 10, 64)
	if errors.Join(errs[:]...) != nil || r.Item < 0 || r.Item > booking.ItemMax || r.Text() != text {
		return Receipt{}, bad
	}
	return r, nil
}

// Sign signs the receipt.
func (r *Receipt) Sign(key ed25519.PrivateKey) { r.Signature = ed25519.Sign(key, []byte(r.Text())) }

// ErrReceipt is returned for a receipt that the key has not signed.
var ErrReceipt = errors.New("the signature is not of this receipt by this key")

// Verify says whether the holder of the private key has signed the receipt.
func (r Receipt) Verify(public Key) error {
	if !ed25519.Verify(public[:], []byte(r.Text()), r.Signature) {
		return ErrReceipt
	}
	return nil
}

// ReadReceipt reads the answer to a look at an entry, or the entry in it, as JSON.
// What else the answer says does not count: it is not signed.
func ReadReceipt(text []byte) (Receipt, error) {
	var answer struct {
		Entry *Receipt `json:"entry"`
		Receipt
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return Receipt{}, fmt.Errorf("lottery: receipt: %w", err)
	}
	r := answer.Receipt
	if answer.Entry != nil {
		r = *answer.Entry
	}
	if _, err := ParseReceipt(r.Text()); err != nil || r.EnteredMs <= 0 {
		return Receipt{}, errors.New("lottery: receipt: want the answer to GET /v1/entries/TICKET of a written entry")
	}
	return r, nil
}

// Holds says what a list owes to who has a receipt, and whether it keeps it: a signed
// entry of before the cut-off that is missing, or stands there as another, is the
// operator's fault, unless its holder has changed it since.
func (f Fate) Holds(r Receipt) (keeps bool, why string) {
	e, cutoff := f.Entry, f.Seal.Cutoff.UnixMilli()
	switch {
	case r.EnteredMs >= cutoff:
		return true, "the receipt is of after the cut-off: the entry is of a later draw"
	case r.EnteredMs < f.Seal.Oldest.UnixMilli() && !r.Senior:
		return true, "by the receipt the entry was no longer valid on this day"
	case !f.In:
		return false, "the operator signed for the entry, and it is missing from the list; only a withdrawal or a win since would explain that"
	case r.EditedMs >= cutoff:
		return true, "the receipt's edit is of after the cut-off: this list has the entry as it was before"
	case e.Edited > r.EditedMs:
		return true, "the list has a later edit than the receipt"
	case e.Line != r.Item || e.Other != r.Other || e.Senior != r.Senior || e.Entered != r.EnteredMs || e.Edited != r.EditedMs:
		return false, "the operator signed for another entry than stands in the list"
	}
	return true, "the list has the entry as the operator signed for it"
}
