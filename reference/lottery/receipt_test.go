package lottery

import (
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
	key, err := ParsePrivateKey([]byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ParsePublicKey([]byte(publicPEM))
	if err != nil || pub != KeyOf(key) {
		t.Fatalf("%v, %x", err, pub)
	}
	r := Receipt{ID: ID{0xab, 15: 0x01}, Item: 7, Other: true, EnteredMs: 1582034399999, EditedMs: 0}
	if got, want := r.Text(), "spillway-receipt-v1 ab000000000000000000000000000001 7 1 0 1582034399999 0"; got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	if err := r.Verify(pub); !errors.Is(err, ErrReceipt) {
		t.Fatalf("unsigned: %v", err)
	}
	r.Sign(key)
	if err := r.Verify(pub); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Receipt){
		"id": func(r *Receipt) { r.ID[3]++ }, "item": func(r *Receipt) { r.Item++ }, "other": func(r *Receipt) { r.Other = false },
		"senior": func(r *Receipt) { r.Senior = true }, "entered": func(r *Receipt) { r.EnteredMs-- }, "edited": func(r *Receipt) { r.EditedMs++ },
		"signature": func(r *Receipt) { r.Signature = append([]byte{r.Signature[0] ^ 1}, r.Signature[1:]...) }, "no signature": func(r *Receipt) { r.Signature = nil },
	} {
		x := r
		change(&x)
		if x.Verify(pub) == nil {
			t.Errorf("another %s passes", what)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
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
		if _, err := ParsePrivateKey([]byte(text)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ParsePublicKey([]byte(keyPEM)); err == nil {
		t.Error("a private key was read as a public one")
	}
}

func TestReadReceipt(t *testing.T) {
	entry := `{"id":"ab000000000000000000000000000001","item":7,"other":true,"senior":false,"entered_unix_ms":1582034399999,"edited_unix_ms":0,"state":"live","signature":"AAEC"}`
	want := Receipt{ID: ID{0xab, 15: 0x01}, Item: 7, Other: true, EnteredMs: 1582034399999, Signature: []byte{0, 1, 2}}
	for what, text := range map[string]string{"the entry": entry, "the answer": `{"outcome":"confirmed","entry":` + entry + `}`} {
		if r, err := ReadReceipt([]byte(text)); err != nil || r.Text() != want.Text() || string(r.Signature) != string(want.Signature) {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
	for _, text := range []string{"", "{}", `{"outcome":"pending"}`, `{"entry":{"id":"ab"}}`, `[]`, `{"entry":` + strings.Replace(entry, `"item":7`, `"item":-7`, 1) + `}`} {
		if r, err := ReadReceipt([]byte(text)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
}

// What a list owes to a receipt, at each boundary.
func TestHolds(t *testing.T) {
	s := Seal{Cutoff: at(18, 22, 0), Oldest: at(8, 22, 0)}
	e := Entry{ID: ID{1}, Line: 3, Entered: at(17, 12, 0).UnixMilli(), Edited: at(17, 19, 0).UnixMilli()}
	r := Receipt{ID: e.ID, Item: 3, EnteredMs: e.Entered, EditedMs: e.Edited}
	in, out := Fate{Seal: s, In: true, Entry: e}, Fate{Seal: s}
	for name, c := range map[string]struct {
		f      Fate
		change func(*Receipt)
		keeps  bool
	}{
		"as signed":             {in, func(*Receipt) {}, true},
		"missing":               {out, func(*Receipt) {}, false},
		"missing, of the last":  {out, func(r *Receipt) { r.EnteredMs = at(18, 22, 0).UnixMilli() - 1 }, false},
		"of the seal":           {out, func(r *Receipt) { r.EnteredMs = at(18, 22, 0).UnixMilli() }, true},
		"of the oldest":         {out, func(r *Receipt) { r.EnteredMs = at(8, 22, 0).UnixMilli() }, false},
		"too old":               {out, func(r *Receipt) { r.EnteredMs = at(8, 22, 0).UnixMilli() - 1 }, true},
		"too old, for good":     {out, func(r *Receipt) { r.EnteredMs, r.Senior = at(8, 22, 0).UnixMilli()-1, true }, false},
		"another line":          {in, func(r *Receipt) { r.Item = 4 }, false},
		"another will":          {in, func(r *Receipt) { r.Other = true }, false},
		"another moment":        {in, func(r *Receipt) { r.EnteredMs++ }, false},
		"an edit left out":      {in, func(r *Receipt) { r.EditedMs++ }, false},
		"edited since":          {in, func(r *Receipt) { r.Item, r.EditedMs = 4, 0 }, true},
		"edited after the seal": {in, func(r *Receipt) { r.Item, r.EditedMs = 4, at(18, 22, 0).UnixMilli() }, true},
	} {
		x := r
		c.change(&x)
		if keeps, why := c.f.Holds(x); keeps != c.keeps {
			t.Errorf("%s: %v, %s", name, keeps, why)
		}
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
