// Package beacon is the public randomness of a draw: what the seal says of it
// before anybody can know it, and the check of what became public afterwards.
// Checking takes the seal and the recorded value and nothing else: no network, no
// clock, no trust in the operator.
//
// # What each kind promises, and to whom
//
// drand: a round of the League of Entropy's chains "default" (every 30 s) and
// "quicknet" (every 3 s). Promise to everybody, also years later: the value is the
// only one that this round can have (a BLS signature has one valid form), and no
// group below the threshold, a majority of the members, could know it before its
// time or choose it. Assumed: fewer members than that work together. Enough of them
// can know every round to come, which to an operator among them is grinding as
// below, though not bend one; they can also stop the chain.
//
// rfc3797: numbers that others publish, such as state lotteries, put together as
// RFC 3797 does. Promise to everybody who looks the numbers up: the seal fixed
// which numbers count, and they were combined by rule. Nothing here can see that a
// number is what was published; the names are there so that people can.
//
// ceremony: values read out before witnesses, such as 50 dice. Promise to those
// present and to those who trust a witness. Nothing here can see that they were
// fair. Witnesses' names do not enter the randomness: a spelling could be chosen.
//
// # Who can bias a draw, and by how much
//
// Whoever can choose among g values after seeing what each would bring has g
// tries: a favoured entry that wins with probability p wins with 1 − (1 − p)^g.
// With p = 3.8 % (100,237 of 2,629,006):
//
//	g       1     2     6    10    16   100
//	wins  3.8   7.5  20.8  32.2  46.3  97.9  %
//
// Where tries can come from, and what is done about it:
//
//   - Grinding: an operator who knows the value adds entries, or leaves some out,
//     until the result suits: as many tries as a computer has time for. It takes a
//     value that is known when the list closes. So the seal is refused unless
//     Available lies ahead, by more than clocks differ and publishing the seal
//     takes; it counts from the earliest moment at which any part can be known.
//   - Enumeration: with few possible values nobody need know which one comes. Six
//     digits are 20 bits, a million draws to try. So Validate wants 128 bits, of a
//     ceremony and of public numbers alike. The figure is a bound from the form:
//     prices that move by a few cents have far fewer bits than their range.
//   - Withholding: who alone holds a part of the value can refuse to show it. An
//     operator's secret, committed and later revealed, gives g = 2 if a draw that
//     fails is drawn again: keep the result, or let it fail. A beacon that comes
//     without the operator takes nothing from that choice unless the seal also
//     says what a missing secret means. A drand round that does not come must not
//     be replaced by one that the operator picks, for the same reason.
//   - The last actor: in a ceremony, who makes the last value and can pick a face
//     has g = 6 with a die. Throw all at once, or by a machine nobody touches.
//   - Moved sources: the last digit of a thinly traded price is for sale: g = 10
//     for who can set it after all other numbers are known, nothing for who must
//     set it earlier. Let the number that nobody can move be the last to appear.
//
// # From values to randomness
//
// A drand round's is drand's own, SHA-256(signature). The others are the SHA-256
// of a tag, which tells the kinds apart, and of a key string: RFC 3797's (numbers
// sorted within each source), and the values of a ceremony as they were read.
//
//	printf 'spillway/beacon/rfc3797/v1\n9319./2.5.8.10.12./9.18.26.34.41.45./' | sha256sum
//	printf 'spillway/beacon/ceremony/v1\n3.1.6.' | sha256sum
//
// # Decisions
//
//   - BLS by github.com/cloudflare/circl (v1.6.5 of August 2026; regular releases,
//     security fixes among them): one module more in go.mod, its BLS package has both
//     arrangements of the groups and RFC 9380's hash with drand's domain strings, and
//     it refuses points off the subgroup and encodings that are not canonical.
//     consensys/gnark-crypto is as well kept, yet larger, brings no ready-made BLS
//     check and raises the Go version; kilic/bls12-381 rests since 2021; drand's own
//     client would bring a network with it.
//   - Two chains, by table: a chain in the seal that nobody knows would be a key of
//     the operator's own. The hash is over key, period and start, so the seal fixes
//     them too.
//   - A value may leave the chain out, since drand serves rounds without it; the
//     signature says which chain it was.
//   - A randomness that is not the signature's hash is refused although the
//     signature alone decides: a record that contradicts itself is no evidence.
//   - RFC 3797's selection itself serves as a check on us and for small draws. It ends
//     at 65,535 people, and finding one's own place takes the whole list.
//   - Numbers are whole: RFC 3797 has decimals too, which two people write in two
//     ways. The seal names the unit ("closing price in fen").
package beacon
