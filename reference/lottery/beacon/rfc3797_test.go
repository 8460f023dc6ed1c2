package beacon

import (
	"crypto/md5"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The example of RFC 3797, section 6, and the drawing of the IETF's Nominations
// Committee of 2022 (github.com/richsalz/ietf-rfc3797-code, 2022.results).
var published = []struct {
	sources [][]int64
	key     string
	pool    int
	hashes  []string
	picks   []int
}{
	{
		[][]int64{{9319}, {2, 5, 12, 8, 10}, {9, 18, 26, 34, 41, 45}},
		"9319./2.5.8.10.12./9.18.26.34.41.45./", 25,
		[]string{"990DD0A5692A029A98B5E01AA28F3459", "3691E55CB63FCC37914430B2F70B5EC6"},
		[]int{17, 7, 2, 16, 25, 23, 8, 24, 19, 13, 22, 5, 18, 9, 1, 4},
	},
	{
		[][]int64{{48, 7, 8, 11, 40, 28, 18}, {15, 16, 21, 31, 36, 65}, {8, 12, 13, 17, 21, 26, 35, 42}, {27, 1, 5, 10, 13, 14, 16, 21, 25}},
		"7.8.11.18.28.40.48./15.16.21.31.36.65./8.12.13.17.21.26.35.42./1.5.10.13.14.16.21.25.27./", 267,
		[]string{"D0BD0C1947856D9EC8892BFD7B8F537A", "A9B445CD350943417B4A365D4752F665"},
		[]int{171, 245, 68, 190, 70, 126, 110, 128, 138, 173},
	},
}

func TestPublishedSelections(t *testing.T) {
	for _, p := range published {
		if got := Key3797(p.sources); got != p.key {
			t.Errorf("key %s, want %s", got, p.key)
		}
		for i, want := range p.hashes {
			if got := fmt.Sprintf("%X", hash3797(p.key, uint16(i))); got != want {
				t.Errorf("hash %d: %s, want %s", i, got, want)
			}
		}
		if got, err := Pick3797(p.key, p.pool, len(p.picks)); err != nil || !slices.Equal(got, p.picks) {
			t.Errorf("picks %v, %v; want %v", got, err, p.picks)
		}
	}
}

// oracle3797 does it by hand: it counts along the pool past those who are taken,
// and divides all 128 bits at once.
func oracle3797(key string, pool, picks int) []int {
	taken := make([]bool, pool+1)
	var picked []int
	for i := range picks {
		text := string([]byte{byte(i / 256), byte(i % 256)})
		sum := md5.Sum([]byte(text + key + text))
		k := new(big.Int).Mod(new(big.Int).SetBytes(sum[:]), big.NewInt(int64(pool-i))).Int64()
		for who := 1; ; who++ {
			if taken[who] {
				continue
			}
			if k == 0 {
				taken[who] = true
				picked = append(picked, who)
				break
			}
			k--
		}
	}
	return picked
}

func TestPickAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := rapid.IntRange(1, 700).Draw(t, "pool") // past 255, where the index's second byte begins
		picks := rapid.IntRange(1, pool).Draw(t, "picks")
		key := rapid.String().Draw(t, "key")
		got, err := Pick3797(key, pool, picks)
		if want := oracle3797(key, pool, picks); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
	})
}

// The largest pool is drawn empty: each once. Beyond it the index has no bytes.
func TestPoolLimit(t *testing.T) {
	got, err := Pick3797(published[0].key, PoolMax, PoolMax)
	if err != nil {
		t.Fatal(err)
	}
	if want := oracle3797(published[0].key, PoolMax, 50); !slices.Equal(got[:50], want) {
		t.Errorf("%v, want %v", got[:50], want)
	}
	slices.Sort(got)
	for i, who := range got {
		if who != i+1 {
			t.Fatalf("%d in place %d", who, i+1)
		}
	}
	for _, c := range []struct{ pool, picks int }{{PoolMax + 1, 1}, {0, 1}, {-1, 1}, {5, 6}, {5, 0}, {5, -1}} {
		if got, err := Pick3797("1./", c.pool, c.picks); err == nil || got != nil {
			t.Errorf("%d of %d: %v", c.picks, c.pool, got)
		}
	}
}

// The order within a source does not matter, everything else does: two lists of
// sources have one key only when their sorted numbers are the same.
func TestKeyTellsSourcesApart(t *testing.T) {
	sources := rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(0, 12), 0, 3), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := sources.Draw(t, "a"), sources.Draw(t, "b")
		same := slices.EqualFunc(a, b, func(x, y []int64) bool {
			return slices.Equal(slices.Sorted(slices.Values(x)), slices.Sorted(slices.Values(y)))
		})
		if (Key3797(a) == Key3797(b)) != same {
			t.Fatalf("%v and %v: %q and %q", a, b, Key3797(a), Key3797(b))
		}
		shuffled := make([][]int64, len(a))
		for i := range a {
			shuffled[i] = rapid.Permutation(a[i]).Draw(t, "shuffled")
		}
		if Key3797(shuffled) != Key3797(a) {
			t.Fatalf("%v and %v differ", shuffled, a)
		}
		if strings.Count(Key3797(a), "/") != len(a) {
			t.Fatalf("%q for %d sources", Key3797(a), len(a))
		}
	})
}

func BenchmarkPick3797(b *testing.B) {
	for b.Loop() {
		if _, err := Pick3797(published[0].key, PoolMax, PoolMax); err != nil {
			b.Fatal(err)
		}
	}
}
