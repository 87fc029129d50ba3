"""Checks that what the audio classifiers are measured on was never in their training: no held-out voice is a training
voice, and no held-out sentence shares five words in a row (Chinese, Japanese: ten characters) with a training sentence.

usage: python disjoint.py
"""
import catalogues
import voices


def main():
    for train, held in ((voices.VARIANTS_TRAIN, voices.VARIANTS_HELD_OUT), (voices.FLITE_TRAIN, voices.FLITE_HELD_OUT),
                        (voices.FESTIVAL_TRAIN, [*voices.FESTIVAL_HELD_OUT, *voices.FESTIVAL_ABROAD]), (voices.OTHERS, voices.OTHERS_HELD_OUT)):
        if both := set(train) & set(held):
            raise SystemExit(f"disjoint: {sorted(both)} are in training and held out")
    train, held = voices.Texts(False), voices.Texts(True)
    bad = 0
    for language in voices.LANGUAGES:
        unspaced = language in catalogues.UNSPACED
        known = set().union(*(catalogues.grams(s, unspaced) for s in [*train.phrases[language][0], *train.catalogue(language)]))
        texts = [*held.phrases[language][1], *held.catalogue(language)]
        shared = [s for s in texts if catalogues.grams(s, unspaced) & known]
        bad += len(shared)
        print(language, len(texts), "held-out sentences", f"{len(shared)} share words with training: {shared[:3]}" if shared else "")
    if bad:
        raise SystemExit(f"disjoint: {bad} held-out sentences share five words in a row with training")


if __name__ == "__main__":
    main()
