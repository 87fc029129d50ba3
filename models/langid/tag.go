package langid

import (
	"regexp"
	"strings"

	"github.com/earshot-fm/earshot/models"
)

// renamed are the codes that ISO 639-1 has withdrawn and models still use, with
// what took their place (IANA's language subtag registry, Preferred-Value).
var renamed = map[string]string{"in": "id", "iw": "he", "ji": "yi", "jw": "jv", "mo": "ro"}

var tagForm = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)

// tag is a label's language in BCP 47: its id, or what its name has before a
// colon.
func tag(l models.Label) (string, bool) {
	code := l.ID
	if code == "" {
		code, _, _ = strings.Cut(l.Name, ":")
		code = strings.TrimSpace(code)
	}
	if now, ok := renamed[code]; ok {
		code = now
	}
	return code, tagForm.MatchString(code)
}
