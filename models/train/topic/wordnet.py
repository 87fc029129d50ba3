"""WordNet as a source of topic vocabulary: hyponyms of chosen synsets, members of topic domains, glosses."""
import re
from collections import defaultdict
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
POS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}


class Synset:
    def __init__(self, line):
        data, _, gloss = line.partition("|")
        f = data.split()
        self.pos = "a" if f[2] == "s" else f[2]
        n = int(f[3], 16)
        self.lemmas = [re.sub(r"\(.*", "", w).lower().replace("_", " ") for w in f[4:4 + 2 * n:2]]
        i = 4 + 2 * n
        self.pointers = [(f[j], (("a" if f[j + 2] == "s" else f[j + 2]), f[j + 1]))
                         for j in range(i + 1, i + 1 + 4 * int(f[i]), 4)]
        self.gloss = gloss.strip().lower()
        self.definition = re.sub(r'"[^"]*"?', " ", self.gloss)
        self.examples = re.findall(r'"([^"]{12,})"', self.gloss)


class WordNet:
    def __init__(self):
        self.synsets = {}
        self.senses = defaultdict(list)
        for pos, name in POS.items():
            for line in (WORDNET / f"data.{name}").read_text(encoding="latin1").splitlines():
                if line[:1] != " ":
                    self.synsets[pos, line[:8]] = Synset(line)
            for line in (WORDNET / f"index.{name}").read_text(encoding="latin1").splitlines():
                if line[:1] != " ":
                    f = line.split()
                    self.senses[f[0], pos] = [(pos, o) for o in f[-int(f[2]):]]
        self.children = defaultdict(list)
        self.members = defaultdict(list)
        self.derived = defaultdict(list)
        for k, s in self.synsets.items():
            for p, target in s.pointers:
                if p in ("@", "@i"):
                    self.children[target].append(k)
                elif p == ";c":
                    self.members[target].append(k)
                elif p == "+":
                    self.derived[k].append(target)

    def sense(self, name):
        """The synset of a noun, "lemma" or "lemma#sense" (from 1)."""
        lemma, _, n = name.partition("#")
        senses = self.senses[lemma.lower(), "n"]
        if not senses:
            return None
        return senses[min(int(n or 1), len(senses)) - 1]

    def below(self, root):
        found, todo = {root: 0}, [root]
        while todo:
            k = todo.pop(0)
            for c in self.children[k]:
                if c not in found:
                    found[c] = found[k] + 1
                    todo.append(c)
        return found

    def of_domain(self, lemma):
        """Synsets that any sense of the lemma is the topic domain of."""
        name = lemma.partition("#")[0].lower()
        found = {}
        for (word, _), senses in self._by_lemma(name):
            for s in senses:
                for m in self.members[s]:
                    found[m] = 0
        return found

    def _by_lemma(self, name):
        return [((name, p), self.senses[name, p]) for p in POS if (name, p) in self.senses]
