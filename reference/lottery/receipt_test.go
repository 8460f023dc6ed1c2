package lottery

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"spillway/internal/booking"
)

// keyPEM and publicPEM are the key of the examples of RFC 8410, sections 10.3 and 10.1, in the
// form that openssl writes.
const (
	keyPEM = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
`
	publicPEM = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`
)

// The id of a ticket is worked out here by another road: sha256sum of the label, a
// zero byte and the bytes.
func TestPublicID(t *testing.T) {
	ticket, err := booking.ParseTicket("000102030405060708090a0b0c0d0e0f")
	if err != nil {
		t.Fatal(err)
	}
	id := PublicID(ticket)
	// printf 'spillway lottery entry v1\0\0\1\2…\17' | sha256sum
	if got, want := id.String(), "3d0153b1ec6c4e4931d045c8858a0bc4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	back, err := ParseID(id.String())
	if err != nil || back != id {
		t.Errorf("%v, %v", back, err)
	}
	for _, s := range []string{"", "0", strings.ToUpper(id.String()), id.String() + "0", strings.Repeat("x", 32)} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}

func TestReceipt(t *testing.T) {
	key, err := ReceiptKey([]byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ReceiptPublicKey([]byte(publicPEM))
	if err != nil || !bytes.Equal(pub, key.Public().(ed25519.PublicKey)) {
		t.Fatalf("%v, %x", err, pub)
	}
	r := Receipt{ID: ID{0xab, 15: 0x01}, Item: 7, Other: true, EnteredMs: 1582034399999, EditedMs: 0}
	if got, want := r.Text(), "spillway-receipt-v1 ab000000000000000000000000000001 7 1 0 1582034399999 0"; got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	if err := VerifyReceipt(pub, r); !errors.Is(err, ErrReceipt) {
		t.Fatalf("unsigned: %v", err)
	}
	r.Sign(key)
	if err := VerifyReceipt(pub, r); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Receipt){
		"id": func(r *Receipt) { r.ID[3]++ }, "item": func(r *Receipt) { r.Item++ }, "other": func(r *Receipt) { r.Other = false },
		"senior": func(r *Receipt) { r.Senior = true }, "entered": func(r *Receipt) { r.EnteredMs-- }, "edited": func(r *Receipt) { r.EditedMs++ },
		"signature": func(r *Receipt) { r.Signature = append([]byte{r.Signature[0] ^ 1}, r.Signature[1:]...) }, "no signature": func(r *Receipt) { r.Signature = nil },
	} {
		x := r
		change(&x)
		if VerifyReceipt(pub, x) == nil {
			t.Errorf("another %s passes", what)
		}
	}
	if VerifyReceipt(pub[:5], r) == nil {
		t.Error("a short key passes")
	}
}

func TestReceiptKeyRefuses(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 1024) // small: it is refused
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"nothing": "", "no PEM": "MC4CAQAwBQYDK2Vw", "a public key": publicPEM, "RSA": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"damaged": strings.Replace(keyPEM, "MC4C", "MC4D", 1),
	} {
		if _, err := ReceiptKey([]byte(text)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ReceiptPublicKey([]byte(keyPEM)); err == nil {
		t.Error("a private key was read as a public one")
	}
}

func TestReceiptRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Receipt{Item: rapid.IntRange(0, booking.ItemMax).Draw(t, "item"), Other: rapid.Bool().Draw(t, "other"), Senior: rapid.Bool().Draw(t, "senior"),
			EnteredMs: rapid.Int64Range(0, math.MaxInt64).Draw(t, "entered"), EditedMs: rapid.Int64().Draw(t, "edited")}
		copy(r.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		got, err := ParseReceipt(r.Text())
		if err != nil || got.Text() != r.Text() || got.ID != r.ID {
			t.Fatalf("%+v, %v; want %+v", got, err, r)
		}
	})
}

func FuzzParseReceipt(f *testing.F) {
	f.Add("spillway-receipt-v1 ab000000000000000000000000000001 7 1 0 1582034399999 0")
	f.Add("spillway-receipt-v1 ab000000000000000000000000000001 7 2 0 1582034399999 0")
	f.Add("spillway-receipt-v1 " + hex.EncodeToString(make([]byte, 16)) + " 65536 1 0 -0 00")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseReceipt(s); err == nil && r.Text() != s {
			t.Fatalf("%q reads as %+v", s, r)
		}
	})
}
