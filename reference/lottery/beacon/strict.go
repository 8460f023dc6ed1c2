package beacon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of what is decoded.
const (
	bytesMax = 1 << 16 // bytes of text; the largest source takes a tenth of it
	depthMax = 8       // objects and arrays inside one another; the deepest source has 4
)

// strict decodes exactly one JSON object. It refuses what encoding/json lets
// through: unknown fields, repeated ones, ones in other letters, null, bytes that
// are not UTF-8, anything after the object. One text has one meaning.
func strict(text []byte, into any) error {
	switch {
	case len(text) > bytesMax:
		return fmt.Errorf("%d bytes of JSON: want at most %d", len(text), bytesMax)
	case !utf8.Valid(text):
		return errors.New("JSON: want UTF-8")
	case !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")):
		return errors.New("JSON: want one object")
	}
	walk := json.NewDecoder(bytes.NewReader(text))
	walk.UseNumber() // a number is judged by the field that it is for
	if err := plain(walk, 0); err != nil {
		return err
	}
	if _, err := walk.Token(); err != io.EOF {
		return errors.New("JSON: want nothing after the object")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// plain reads one value: no null, and every name once and in small letters, so
// that a decoder which folds case finds no second one.
func plain(d *json.Decoder, depth int) error {
	token, err := d.Token()
	switch {
	case err == io.EOF:
		return errors.New("JSON: ends too early")
	case err != nil:
		return fmt.Errorf("JSON: %w", err)
	case token == nil:
		return errors.New("JSON: null: leave the field out")
	case depth == depthMax:
		return fmt.Errorf("JSON: want at most %d values inside one another", depthMax)
	}
	if token != json.Delim('{') && token != json.Delim('[') {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if token == json.Delim('{') {
			t, err := d.Token()
			if err != nil {
				return fmt.Errorf("JSON: %w", err)
			}
			name, _ := t.(string)
			if seen[name] {
				return fmt.Errorf("JSON: field %.40q comes twice", name)
			}
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
				return fmt.Errorf("JSON: unknown field %.40q", name)
			}
			seen[name] = true
		}
		if err := plain(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil { // the closing bracket
		if err == io.EOF {
			return errors.New("JSON: ends too early")
		}
		return fmt.Errorf("JSON: %w", err)
	}
	return nil
}
