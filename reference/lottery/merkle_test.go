package lottery

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// The leaves and roots of the reference implementation's tests of RFC 6962
// (certificate-transparency, merkle_tree_test).
var (
	publishedLeaves = []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	publishedRoots  = []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
)

// plainRoot is RFC 6962's definition, word by word.
func plainRoot(leaves []Hash) Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		l, r := plainRoot(leaves[:k]), plainRoot(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
	}
}

func leavesOf(n int) []Hash {
	leaves := make([]Hash, n)
	for i := range leaves {
		leaves[i] = sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	}
	return leaves
}

func clone(h []Hash) []Hash { return append([]Hash(nil), h...) }

func TestTreeOfRFC6962(t *testing.T) {
	var leaves []Hash
	for n, want := range publishedRoots {
		if got := rootOf(clone(leaves)); got.String() != want {
			t.Errorf("%d leaves: root %s, want %s", n, got, want)
		}
		if n < len(publishedLeaves) {
			data, err := hex.DecodeString(publishedLeaves[n])
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, sha256.Sum256(append([]byte{0}, data...)))
		}
	}
	for n := range 300 {
		if leaves := leavesOf(n); rootOf(clone(leaves)) != plainRoot(leaves) {
			t.Errorf("%d leaves: not the root of the definition", n)
		}
	}
}

func TestEveryPathLeadsToTheRoot(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 130; n++ {
		leaves := leavesOf(n)
		root := plainRoot(leaves)
		for i := range n {
			path := pathOf(clone(leaves), i)
			if !included(root, leaves[i], int64(i), int64(n), path) {
				t.Fatalf("leaf %d of %d does not lead to the root", i, n)
			}
			if j := r.IntN(n); j != i && included(root, leaves[j], int64(i), int64(n), path) {
				t.Fatalf("leaf %d passes for leaf %d of %d", j, i, n)
			}
			if j := int64(r.IntN(n)); j != int64(i) && included(root, leaves[i], j, int64(n), path) {
				t.Fatalf("leaf %d of %d passes at %d", i, n, j)
			}
			if len(path) > 0 {
				bad := clone(path)
				bad[r.IntN(len(bad))][r.IntN(32)] ^= 1 << r.IntN(8)
				if included(root, leaves[i], int64(i), int64(n), bad) || included(root, leaves[i], int64(i), int64(n), path[1:]) {
					t.Fatalf("leaf %d of %d: a changed path passes", i, n)
				}
			}
			if included(root, leaves[i], int64(i), int64(n), append(clone(path), root)) {
				t.Fatalf("leaf %d of %d: a path too long passes", i, n)
			}
		}
	}
	if included(Hash{}, Hash{}, 0, 0, nil) || included(Hash{}, Hash{}, -1, 1, nil) {
		t.Error("a place outside the tree passes")
	}
}

// A node's two children, taken as a leaf's data, do not pass for that leaf.
func TestANodeIsNoLeaf(t *testing.T) {
	leaves := leavesOf(4)
	root := plainRoot(leaves)
	data := append(append([]byte{}, leaves[0][:]...), leaves[1][:]...)
	fake := Hash(sha256.Sum256(append([]byte{0}, data...)))
	if included(root, fake, 0, 2, []Hash{nodeHash(&leaves[2], &leaves[3])}) {
		t.Error("a node passes for a leaf")
	}
}
