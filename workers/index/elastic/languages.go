package elastic

import "strings"

// analyzers are Elasticsearch's, by the language (BCP 47) that they know: the
// forms of a word that one analyzer takes for the same find each other. What
// an index does not have is left out of its mapping; its words are found as
// they were said. Chinese, Japanese, Thai and their like need none: package
// tokens cuts them.
var analyzers = map[string]string{
	"ar": "arabic", "hy": "armenian", "eu": "basque", "bn": "bengali", "pt-br": "brazilian", "bg": "bulgarian",
	"ca": "catalan", "cs": "czech", "da": "danish", "nl": "dutch", "en": "english", "et": "estonian", "fi": "finnish",
	"fr": "french", "gl": "galician", "de": "german", "el": "greek", "hi": "hindi", "hu": "hungarian", "id": "indonesian",
	"ga": "irish", "it": "italian", "lv": "latvian", "lt": "lithuanian", "no": "norwegian", "nb": "norwegian",
	"nn": "norwegian", "fa": "persian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "ckb": "sorani",
	"es": "spanish", "sv": "swedish", "tr": "turkish",
}

// analyzer of a language tag; empty: there is none.
func analyzer(tag string) string {
	for _, t := range ancestry(tag) {
		if a := analyzers[t]; a != "" {
			return a
		}
	}
	return ""
}

// ancestry of a language tag: itself in lower case, then what it is a kind of:
// "en-gb", "en".
func ancestry(tag string) (tags []string) {
	for tag = strings.ToLower(tag); tag != ""; {
		tags = append(tags, tag)
		i := strings.LastIndexByte(tag, '-')
		if i < 0 {
			break
		}
		tag = tag[:i]
	}
	return tags
}
