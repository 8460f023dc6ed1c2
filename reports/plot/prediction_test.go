package plot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
)

// Both figures are drawn, well-formed, the same for equal records; what is no pair
// and what is empty is said to be. With FIGS=DIR they are left there.
func TestPredictionFigures(t *testing.T) {
	was := dpi
	if os.Getenv("FIGS") == "" {
		dpi = 24
	}
	defer func() { dpi = was }()
	sim, attack := recordtest.Evening(2), recordtest.Evening(1)
	thin := recordtest.Make(recordtest.Options{Seed: 1, People: 0.002})
	for _, draw := range []func() (Figure, error){
		func() (Figure, error) { return Predicted(sim, attack) },
		func() (Figure, error) { return Scales([]*record.Record{attack, thin}) },
	} {
		f, err := draw()
		if err != nil {
			t.Fatal(err)
		}
		if texts := parse(t, f); len(texts) < 10 || texts[0] != f.Title || f.Caption == "" {
			t.Errorf("%s: %d texts", f.ID, len(texts))
		}
		again, err := draw()
		if err != nil || string(again.SVG) != string(f.SVG) || string(again.PNG) != string(f.PNG) {
			t.Errorf("%s: not the same twice, or %v", f.ID, err)
		}
		if dir := os.Getenv("FIGS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, f.ID+".png"), f.PNG, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Predicted(nil, attack); !errors.Is(err, ErrNoData) {
		t.Errorf("nil: %v", err)
	}
	if _, err := Predicted(nil, nil); !errors.Is(err, ErrNoData) {
		t.Errorf("two nils: %v", err)
	}
	if _, err := Scales([]*record.Record{attack, nil}); !errors.Is(err, ErrNoData) {
		t.Errorf("one scale: %v", err)
	}
}
