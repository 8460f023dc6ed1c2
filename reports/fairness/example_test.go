package fairness_test

import (
	"fmt"

	"spillway/reports/fairness"
)

// Two shops with quotas of their own; in both the district "near" won more often than it
// should have. Nothing is said about how the draw was made, and the report says so.
func ExampleJudge() {
	r, err := fairness.Judge(fairness.Draw{
		Name:  "two shops",
		Pools: []fairness.Pool{{Name: "Tianhe", Entries: 2000, Winners: 100}, {Name: "Yuexiu", Entries: 1000, Winners: 100}},
		Dimensions: []fairness.Dimension{{
			Name: "district", Levels: []string{"near", "far"},
			Entries: [][]int64{{500, 1500}, {300, 700}},
			Winners: [][]int64{{45, 55}, {50, 50}},
		}},
	}, fairness.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	near := r.Dimensions[0].Strata[0]
	fmt.Printf("%s: %d won, %.0f expected, p %.1e (%s)\n", near.Level, near.Winners, near.Expected, near.P, near.Method)
	fmt.Println(r.Verdict + ":")
	fmt.Println(r.Why)
	// Output:
	// near: 95 won, 55 expected, p 5.1e-10 (exact)
	// does not fit a fair draw:
	// 2 of 2 tests reject, the strongest is district: near (p 5.1e-10, corrected 1.0e-09). The process is not shown, and statistics cannot show it.
}
