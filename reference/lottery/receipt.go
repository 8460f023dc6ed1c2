package lottery

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
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

// VerifyReceipt reports whether the holder of the private key has signed the receipt.
func VerifyReceipt(pub ed25519.PublicKey, r Receipt) error {
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, []byte(r.Text()), r.Signature) {
		return ErrReceipt
	}
	return nil
}

// ReceiptKey reads an Ed25519 private key as "openssl genpkey -algorithm ed25519"
// writes it: PEM, PKCS #8. No error shows any of it.
func ReceiptKey(text []byte) (ed25519.PrivateKey, error) {
	key, err := pemKey(text, "PRIVATE KEY", x509.ParsePKCS8PrivateKey)
	if k, ok := key.(ed25519.PrivateKey); ok && err == nil {
		return k, nil
	}
	return nil, errors.New("receipt key: want an Ed25519 private key in PEM, as openssl genpkey -algorithm ed25519 writes it")
}

// ReceiptPublicKey reads its public key as "openssl pkey -pubout" writes it.
func ReceiptPublicKey(text []byte) (ed25519.PublicKey, error) {
	key, err := pemKey(text, "PUBLIC KEY", x509.ParsePKIXPublicKey)
	if k, ok := key.(ed25519.PublicKey); ok && err == nil {
		return k, nil
	}
	return nil, errors.New("receipt key: want an Ed25519 public key in PEM, as openssl pkey -pubout writes it")
}

func pemKey(text []byte, kind string, parse func([]byte) (any, error)) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, errors.New("no " + kind)
	}
	return parse(block.Bytes)
}
