package lottery

import (
	"fmt"

	"spillway/reference/lottery/beacon"
)

// fifty dice are 129 bits.
func testSourceAt(day int) beacon.Source {
	return beacon.Source{Kind: beacon.KindCeremony, Ceremony: &beacon.Ceremony{What: "fifty dice", By: "the notary", Where: "the hall",
		At: at(day, 15, 0), Form: beacon.Form{Count: 50, Min: 1, Max: 6}, Witnesses: 1}}
}

func testSource() beacon.Source { return testSourceAt(19) }

// testValue is a reading; others for other numbers.
func testValue(n int) beacon.Value {
	v := beacon.Value{Kind: beacon.KindCeremony, Ceremony: &beacon.Reading{Witnesses: []string{"ada"}}}
	for i := range 50 {
		v.Ceremony.Values = append(v.Ceremony.Values, int64(1+(i*7+n)%6))
	}
	return v
}

// wrongValue is a round of drand, served as quicknet's round 1000 was.
func wrongValue() beacon.Value {
	v, err := beacon.ParseValue([]byte(fmt.Sprintf(`{"round":1000,"randomness":%q,"signature":%q}`,
		"fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",
		"b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39")))
	if err != nil {
		panic(err)
	}
	return v
}
