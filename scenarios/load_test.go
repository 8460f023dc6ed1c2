package scenarios

import "testing"

func TestShippedScenarios(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			s, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != name {
				t.Errorf("is named %q in its file", s.Name)
			}
			if _, err := Scale(s, 0, 0); err != nil {
				t.Error(err)
			}
			again, err := Parse([]byte(s.Text), "merged")
			if err != nil {
				t.Fatalf("the merged text does not read back: %v\n%s", err, s.Text)
			}
			if again.Text != s.Text {
				t.Errorf("the merged text reads back as another:\n%s\n---\n%s", s.Text, again.Text)
			}
		})
	}
}
