"""Where words start from before a model has learnt them: SVD of WordNet's synsets x words (tf-idf), Deerwester 1990."""
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from hashed import row, tokens


def gloss_vectors(net, rows, width):
    """A table [rows, width] of hashed words, placed by the company they keep in the glosses of net, a WordNet."""
    seen = {}
    r, c = [], []
    for i, (k, s) in enumerate(sorted(net.synsets.items())):
        text = s.lemmas * 2 + [s.definition] + s.examples
        for p, target in s.pointers:
            if p in ("@", ";c", "+", "&"):
                text += net.synsets[target].lemmas
        for w in tokens(" ".join(text)):
            r.append(i)
            c.append(seen.setdefault(w, len(seen)))
    n = len(net.synsets)
    m = csr_matrix((np.ones(len(r)), (r, c)), shape=(n, len(seen)))
    df = np.asarray((m > 0).sum(0)).ravel()
    m.data = np.log1p(m.data)
    m = m.multiply(np.log(n / df)[None, :]).tocsr()
    rng = np.random.default_rng(1)
    u, sv, vt = svds(m, k=width, v0=rng.standard_normal(min(m.shape)))
    v = vt.T
    v /= np.linalg.norm(v, axis=1, keepdims=True) + 1e-3
    table = np.zeros((rows, width), np.float32)
    for w, j in seen.items():
        if df[j] >= 3:
            table[row(w, rows)] += v[j] * 0.5
    return table
