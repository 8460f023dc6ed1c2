package lottery

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// Key is an Ed25519 public key; as text, 64 lower-case hex digits.
type Key [ed25519.PublicKeySize]byte

// String is the key as text.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText accepts exactly what MarshalText writes.
func (k *Key) UnmarshalText(b []byte) error { return unhex(k[:], b, "key") }

// KeyOf is the public half of a key.
func KeyOf(private ed25519.PrivateKey) Key { return Key(private.Public().(ed25519.PublicKey)) }

// ParsePrivateKey reads a PKCS #8 key in PEM, as "openssl genpkey -algorithm ed25519"
// writes it.
func ParsePrivateKey(b []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New(`lottery: no private key: want PEM as "openssl genpkey -algorithm ed25519" writes it`)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("lottery: private key: %w", err)
	}
	private, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("lottery: private key of type %T: want Ed25519", k)
	}
	return private, nil
}

// ParsePublicKey reads a public key: 64 hex digits, or PEM as "openssl pkey -pubout"
// writes it.
func ParsePublicKey(b []byte) (k Key, err error) {
	block, _ := pem.Decode(b)
	if block == nil {
		for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
			b = b[:len(b)-1]
		}
		return k, k.UnmarshalText(b)
	}
	p, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return k, fmt.Errorf("lottery: public key: %w", err)
	}
	public, ok := p.(ed25519.PublicKey)
	if !ok {
		return k, fmt.Errorf("lottery: public key of type %T: want Ed25519", p)
	}
	return Key(public), nil
}

// Signature is one party's signature of a document of the bundle.
type Signature struct {
	Party string `json:"party"`
	Key   Key    `json:"key"`
	// Value is the Ed25519 signature, 128 hex digits.
	Value signature `json:"signature"`
}

type signature [ed25519.SignatureSize]byte

// MarshalText implements encoding.TextMarshaler.
func (s signature) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText accepts exactly what MarshalText writes.
func (s *signature) UnmarshalText(b []byte) error { return unhex(s[:], b, "signature") }

// signed is what is signed of a document: its kind first, so that a signature of one
// kind never passes for another's.
func signed(kind string, document []byte) []byte {
	d := digest("spillway lottery "+kind+" signature v1", document)
	return d[:]
}

func sign(kind string, document []byte, party string, key ed25519.PrivateKey) Signature {
	return Signature{Party: party, Key: KeyOf(key), Value: signature(ed25519.Sign(key, signed(kind, document)))}
}

// checkSignatures holds signatures against the parties that the seal names. The
// operator's must be there; the others' may come later, but none may be wrong.
func checkSignatures(kind string, document []byte, parties []Party, sigs []Signature) (by []string, err error) {
	keys := map[string]Key{}
	for _, p := range parties {
		keys[p.Name] = p.Key
	}
	for _, s := range sigs {
		key, ok := keys[s.Party]
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: signed by %q, who is no party of the seal", kind, s.Party)
		case key != s.Key:
			return nil, fmt.Errorf("%s: %s signed with key %s, the seal names %s", kind, s.Party, s.Key, key)
		case !ed25519.Verify(s.Key[:], signed(kind, document), s.Value[:]):
			return nil, fmt.Errorf("%s: the signature of %s does not fit", kind, s.Party)
		}
		delete(keys, s.Party) // one each
		by = append(by, s.Party)
	}
	if len(by) == 0 || by[0] != parties[0].Name {
		return nil, fmt.Errorf("%s: not signed by %s", kind, parties[0].Name)
	}
	return by, nil
}
