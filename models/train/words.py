"""How every text of the training is written down: lower case, letters and inner apostrophes."""
import re

NOT_WRITTEN = re.compile(r"[^a-z' ]")
OUTER_APOSTROPHE = re.compile(r"(^|\s)'+|'+(\s|$)")


def normalise(text):
    """The words of a text as the recogniser would write them, joined by single spaces."""
    text = text.lower().replace("`", "'").replace("’", "'")
    text = NOT_WRITTEN.sub(" ", text)
    return " ".join(OUTER_APOSTROPHE.sub(" ", OUTER_APOSTROPHE.sub(" ", text)).split())


def grams(words, n=5):
    """The set of word n-grams of a list of words; a text shorter than n has none."""
    return {tuple(words[i:i + n]) for i in range(len(words) - n + 1)}
