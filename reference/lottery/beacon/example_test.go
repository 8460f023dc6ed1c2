package beacon_test

import (
	"fmt"
	"time"

	"spillway/reference/lottery/beacon"
)

// A draw on a fixed evening: the seal names the first round of quicknet from then
// on, and the value that was served then checks against it.
func Example() {
	evening := time.Date(2023, 8, 23, 15, 59, 23, 0, time.UTC)
	round, err := beacon.RoundAt("quicknet", evening)
	if err != nil {
		fmt.Println(err)
		return
	}
	source, err := beacon.ParseSource(fmt.Sprintf("drand:quicknet:%d", round))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(source, source.Available())

	value, err := beacon.ParseValue([]byte(`{"round":1000,` +
		`"randomness":"fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",` +
		`"signature":"b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	randomness, err := source.Check(value)
	fmt.Printf("%x %v\n", randomness, err)
	// Output:
	// drand:quicknet:1000 2023-08-23 15:59:24 +0000 UTC
	// fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd <nil>
}

func ExamplePick3797() {
	key := beacon.Key3797([][]int64{{9319}, {2, 5, 12, 8, 10}, {9, 18, 26, 34, 41, 45}})
	picks, err := beacon.Pick3797(key, 25, 5)
	fmt.Println(key, picks, err)
	// Output: 9319./2.5.8.10.12./9.18.26.34.41.45./ [17 7 2 16 25] <nil>
}
