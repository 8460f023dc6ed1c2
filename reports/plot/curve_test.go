package plot

import (
	"bytes"
	"errors"
	"testing"
)

func TestCurve(t *testing.T) {
	fig, err := Curve("c", "Title", "sub", "caption", "gateways", "submits/s", []float64{1, 2, 16}, []float64{3016, 2981, 1851})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Title", "gateways", "submits/s", "3,016", "1,851"} {
		if !bytes.Contains(fig.SVG, []byte(text)) {
			t.Errorf("the figure does not say %q", text)
		}
	}
	if _, err := Curve("c", "", "", "", "", "", nil, nil); !errors.Is(err, ErrNoData) {
		t.Errorf("no points: %v", err)
	}
}
