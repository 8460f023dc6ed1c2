package scenarios

import (
	"fmt"
	"slices"
	"testing"

	"spillway/internal/draw"
)

func TestPrintTable(t *testing.T) {
	for _, set := range [][2]string{{"admission.probability", "5 %"}, {"admission.probability", "10 %"}, {"admission.probability", "20 %"}, {"admission.probability", "50 %"}, {"admission.probability", "100 %"},
		{"queue.depth", "2000"}, {"queue.depth", "5000"}, {"queue.depth", "10000"}, {"queue.depth", "40000"}} {
		s, _ := Load("suikang-2020-01-31")
		if err := s.Set(set[0], set[1]); err != nil {
			t.Fatal(err)
		}
		sc, err := Scale(s, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := sc.Prediction
		fmt.Printf("%v fluid sold %v last %v load %.3g@%v http %.4g gw %.4g depth %g sigma %.3g\n", set, p.SoldOutAt, p.LastWritten, p.PeakLoad, p.PeakLoadAt, p.PeakHTTP, p.PeakGateway, p.PeakDepth, p.Sigma)
		for seed := range 2 {
			o := play(sc.WithSeed(draw.Seed(seed + 1)))
			fmt.Printf("     oracle sold %v last %v load %.3g@%d http %v gw %v depth %d conf %d press %d pass %d sub %d stat %d cfg %d cat %d\n", o.soldOut, o.lastWritten, slices.Max(o.load), slices.Index(o.load, slices.Max(o.load))-10, slices.Max(o.http), slices.Max(o.gateway), o.peakDepth, o.confirmed, o.presses, o.passes, o.submits, o.statuses, o.configs, o.catalogues)
		}
	}
}
