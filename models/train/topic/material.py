"""What the topic model learns from: for each topic words, phrases, sentences and passages; talk without a topic."""
import re
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from overlap import held_grams, shares  # noqa: E402
from wordnet import WordNet  # noqa: E402
from words import normalise  # noqa: E402

# No training sentence shares five words in a row with these.
HELD = [HERE / "dev.txt", HERE / "test.txt", HERE.parents[2] / "sample" / "truth"]

# Carriers put words where speech puts them; {w} is a word or phrase of the topic.
CARRIERS = """so let us talk about {w} and why {w} matters
my guest today knows everything about {w}
i never understood {w} until somebody explained {w} to me
when people hear {w} they think of {w} first
there was a {w} and next to it a {w}
what is the difference between {w} and {w}
she told me about her {w} and i thought of my own {w}
for years the {w} was the only {w} they had
you need a {w} before you can even start with the {w}
the {w} was bigger than anything we had seen
he spent all his time on {w} and forgot about {w}
a listener asks whether {w} is worth it
that was the week of the {w} and everybody was there
they told us that the {w} had to go
without {w} there is no {w} it is that simple
the trouble with {w} is that it takes a long time
remember the {w} from last week well now there is another {w}
{w} {w} and {w} in that order
every morning we saw the {w} and nobody said a word
this is a story about a {w} a {w} and a {w}
if you ask me the {w} is what changed everything
it began with {w} and it ended with {w}
our main subject is {w} with a little {w} at the end
in this episode {w} and the future of {w}""".split("\n")


class Topic:
    def __init__(self, id, name):
        self.id, self.name = id, name
        self.words, self.lemmas, self.glosses, self.sentences, self.passages = [], [], [], [], []


def read_sections(path):
    """The lines of a file by their [id] heading; comment lines left out."""
    found, at = defaultdict(list), None
    for line in Path(path).read_text().splitlines():
        m = re.match(r"\[(.*?)\]", line)
        if m:
            at = m.group(1)
        elif line.strip() and not line.startswith("#"):
            found[at].append(line.strip())
    return found


def load():
    """The topics in the lexicon's order, the lines without a topic, and WordNet."""
    net = WordNet()
    topics = []
    for line in (HERE / "lexicon.txt").read_text().splitlines():
        if m := re.match(r"\[(.*?)\] (.*)", line):
            topics.append(Topic(*m.groups()))
            synsets = {}
        elif line.startswith("trees:"):
            for name in line.split()[1:]:
                for s, depth in net.below(net.sense(name)).items():
                    synsets.setdefault(s, depth)
        elif line.startswith("domains:"):
            for name in line.split()[1:]:
                synsets.update(net.of_domain(name))
            topics[-1].synsets = synsets
        elif line.startswith("words:"):
            topics[-1].words = [w.replace("_", " ") for w in line.split()[1:]]
    owners = defaultdict(set)
    for t in topics:
        for s in t.synsets:
            owners[s].add(t.id)
    sections, prose = read_sections(HERE / "sentences.txt"), read_sections(HERE / "passages.txt")
    for t in topics:
        for k in t.synsets:
            if len(owners[k]) > 2:
                continue
            s = net.synsets[k]
            t.lemmas += [w for w in s.lemmas if not re.search(r"[0-9]", w) and len(w) > 2]
            t.glosses.append(s.lemmas[0] + " " + s.definition)
            t.glosses += s.examples
        t.sentences, t.passages = sections[t.id], prose[t.id]
    held = held_grams([p for p in HELD if p.exists()])
    clean = lambda lines: [x for x in lines if not shares(normalise(x), held)]  # noqa: E731
    for t in topics:
        t.glosses, t.sentences, t.passages = clean(t.glosses), clean(t.sentences), clean(t.passages)
    neutral = [e for k, s in net.synsets.items() if k not in owners for e in s.examples]
    return topics, clean(sections["-"] + prose["-"]), clean(neutral), net
