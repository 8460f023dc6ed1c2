package scenarios_test

import (
	"fmt"

	"spillway/scenarios"
)

func ExampleLoad() {
	s, err := scenarios.Load("suikang-2020-01-31")
	if err != nil {
		fmt.Println(err)
		return
	}
	n := s.Notes["queue.depth"]
	fmt.Println(s.Queue.Depth, "entries, between", n.Low, "and", n.High)
	fmt.Println(s.Notes["visitor.timeout"].Value, "from", s.Notes["visitor.timeout"].Source)
	_, err = scenarios.Load("suikang-lossles")
	fmt.Printf("%.61s\n", err)
	// Output:
	// 20000 entries, between 2_000 entries and 200_000 entries
	// 15s from public copies of the client
	// unknown scenario "suikang-lossles": did you mean "suikang-los
}

func ExampleParse() {
	_, err := scenarios.Parse([]byte("extends: suikang-2020-01-31\nname: mine\nqueue:\n  dept: 20000\n"), "mine.yaml")
	fmt.Println(err)
	// Output: mine.yaml:4:3: unknown key "queue.dept": did you mean "depth"?
}

func ExampleScale() {
	s, err := scenarios.Load("suikang-2020-01-31")
	if err != nil {
		fmt.Println(err)
		return
	}
	sc, err := scenarios.Scale(s, 1./500, 5)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sc.Length, sc.Visitor.Lock, sc.Queue.Depth, sc.Items())
	fmt.Println(sc.Rounded[0])
	_, err = scenarios.Scale(s, 1, 1)
	fmt.Println(err)
	// Output:
	// 10s 1s 40 [43 18 18 18 18 18 18]
	// stock.reservations: 151 reservations, the law has 151.2 (-0.13 %)
	// scenario suikang-2020-01-31: at 1:1, k = 1 the peak is 189400 requests/s, over the bound of 4000 for one machine: use at most 1:48
}

func ExampleParseVary() {
	key, values, err := scenarios.ParseVary("queue.depth=2000..32000/5log")
	fmt.Println(key, values, err)
	// Output: queue.depth [2000 4000 8000 16000 32000] <nil>
}
