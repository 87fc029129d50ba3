package episode

import "testing"

func TestWhatIsShownOfAnEnclosuresAddress(t *testing.T) {
	for _, test := range []struct {
		address string
		private bool
		want    string
	}{
		{"https://cdn.example.org/a.mp3?v=2#t", false, "https://cdn.example.org/a.mp3?v=2#t"},
		{"file:///srv/a.mp3", false, "file:///srv/a.mp3"},
		{"https://user:hunter2@cdn.example.org/a.mp3?token=hunter2", false, "https://cdn.example.org/a.mp3"},
		{"https://cdn.example.org/hunter2/a.mp3?token=hunter2#hunter2", true, "https://cdn.example.org/"},
		{"https://user:hunter2@cdn.example.org/hunter2/a.mp3", true, "https://cdn.example.org/"},
		{"://hunter2", true, "(a malformed URL)"},
	} {
		e := Event{Private: test.private, Enclosure: Enclosure{URL: test.address}}
		if got := e.ShownEnclosure(); got != test.want {
			t.Errorf("%s is shown as %s, want %s", test.address, got, test.want)
		}
	}
	if got := Redact("https://user:hunter2@x.org/a?b=hunter2#hunter2"); got != "https://x.org/a" {
		t.Errorf("%s", got)
	}
}
