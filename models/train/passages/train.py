"""Makes earshot-passages (a passage of text -> its embedding) and earshot-keywords (a word -> how much it tells).

    python train.py PACK        (about two minutes of one core)

A row of the table has two parts. One places a word by the company it keeps in WordNet's entries and in talk
(latent semantic analysis, Deerwester et al. 1990), its length being how rare the word is (inverse document
frequency, Sparck Jones 1972). The other is what the row says to each topic of earshot-topics, which is therefore
to be trained first.
"""
import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "topic"))
import material  # noqa: E402
from hashed import counts, row, tokens, weigh  # noqa: E402
from overlap import shares  # noqa: E402
from words import normalise  # noqa: E402

ROWS, COMPANY = 1 << 15, 64
KEYWORD_ROWS = 1 << 18  # few rare words share a row with a common one


def documents(net, held):
    """WordNet's entries with the lemmas they point to, and pages of talk; nothing that shares five words with held."""
    found = []
    for s in net.synsets.values():
        text = s.lemmas * 2 + [s.definition] + s.examples
        for pointer, target in s.pointers:
            if pointer in ("@", ";c", "+", "&", "#m", "%p", "%s"):
                text += net.synsets[target].lemmas
        found.append(" ".join(text))
    entries = len(found)
    for book in ("fortunes", "literature", "riddles", "science", "people", "food", "work", "wisdom", "sports", "politics"):
        path = Path("/usr/share/games/fortunes") / book
        if path.exists():
            found += re.split(r"\n%\n", path.read_text(errors="ignore"))
    return found[:entries], [t for t in found[entries:] if not shares(normalise(t), held)]


def place(entries, talk):
    """Words by the company they keep: f32[ROWS, COMPANY], a row's length being its weight; and the weights, of the
    words that share a row the commonest's, f32[KEYWORD_ROWS]."""
    bags, seen, where, column = entries + talk, {}, [], []
    for i, text in enumerate(bags):
        for w in tokens(text):
            where.append(i)
            column.append(seen.setdefault(w, len(seen)))
    count = csr_matrix((np.ones(len(where), np.float32), (where, column)), shape=(len(bags), len(seen)))
    df = np.asarray((count > 0).sum(0)).ravel().astype(float)
    # Entries define rare words and hardly use common ones: a word is as common as in the kind of text where it is commonest.
    spoken = np.asarray((count[len(entries):] > 0).sum(0)).ravel()
    idf = np.log(1 / np.maximum(df / len(bags), spoken / max(1, len(talk))))
    count.data = np.log1p(count.data)
    start = np.random.default_rng(1).standard_normal(min(count.shape))
    _, strength, vt = svds(count.multiply(idf[None, :]).tocsr(), k=COMPANY, v0=start)
    meaning = vt.T * np.sqrt(strength)[None, :]
    meaning /= np.linalg.norm(meaning, axis=1, keepdims=True) + 1e-6
    idf = np.maximum(0, idf - np.log(30))  # what every thirtieth page of talk says tells nothing
    # A word that no text has is taken for a rare one.
    table, weight = np.zeros((ROWS, COMPANY)), np.full(KEYWORD_ROWS, idf.max())
    for w, j in sorted(seen.items(), key=lambda pair: df[pair[1]]):
        table[row(w, ROWS)] = meaning[j] * idf[j] if df[j] >= 4 else 0
        weight[row(w, KEYWORD_ROWS)] = idf[j]
    weight[0] = 0
    return table, weight


def sides(pack):
    """What each row says to each topic of earshot-topics: f32[ROWS, topics]."""
    stored = {i.name: numpy_helper.to_array(i) for i in onnx.load(pack / "earshot-topics" / "model.onnx").graph.initializer}
    told = stored["table"].astype(np.float32)
    return told - told.mean(1, keepdims=True)


def model(nodes, outputs, constants, inputs):
    kinds = {"ids": TensorProto.INT64, "weights": TensorProto.FLOAT}
    graph = helper.make_graph(
        nodes, "earshot", [helper.make_tensor_value_info(i, kinds[i], ["batch", "features"]) for i in inputs], outputs,
        [numpy_helper.from_array(v, k) for k, v in constants.items()])
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="earshot")
    m.ir_version = 9
    onnx.checker.check_model(m)
    return m.SerializeToString()


def passages_graph(table):
    node = helper.make_node
    return model(
        [node("Gather", ["table", "ids"], ["rows16"]), node("Cast", ["rows16"], ["rows"], to=TensorProto.FLOAT),
         node("Unsqueeze", ["weights", "two"], ["column"]), node("Mul", ["rows", "column"], ["weighed"]),
         node("ReduceSum", ["weighed", "one"], ["sum"], keepdims=0),
         node("ReduceL2", ["sum"], ["length"], axes=[-1], keepdims=1), node("Max", ["length", "least"], ["norm"]),
         node("Div", ["sum", "norm"], ["embedding"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", table.shape[1]])],
        {"table": table, "one": np.array([1], np.int64), "two": np.array([2], np.int64),
         "least": np.array([1e-6], np.float32)}, ["ids", "weights"])


def keywords_graph(weight):
    node = helper.make_node
    return model(
        [node("Gather", ["table", "ids"], ["rows16"]), node("Cast", ["rows16"], ["weight"], to=TensorProto.FLOAT)],
        [helper.make_tensor_value_info("weight", TensorProto.FLOAT, ["batch", "features"])], {"table": weight}, ["ids"])


MANIFEST = """schema: earshot.model/1
name: {name}
version: {version}
task: {task}
family: {family}
licence: Apache-2.0
precision: fp16
languages: [en]
files: {{model.onnx: {sha}}}
sessions: [model.onnx]
inputs:
{inputs}
outputs:
{outputs}
batch: {{max_items: 64, max_cost: 32768}}
parameters: {{rows: {rows}}}
"""


def write(folder, data, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    (folder / "model.yaml").write_text(MANIFEST.format(name=folder.name, sha=hashlib.sha256(data).hexdigest(), **facts))


def embed(table, text):
    v = sum((w * table[r].astype(np.float32) for r, w in weigh(counts(tokens(text), ROWS))), np.zeros(table.shape[1], np.float32))
    return v / max(np.linalg.norm(v), 1e-6)


def evaluate(table, path, seed=3):
    """On passages that nothing was made of: does a passage's nearest neighbour share its topic, and does the
    similarity across a gap tell where one topic gives way to another (area under the ROC curve)?"""
    import random
    sections = {k: v for k, v in material.read_sections(path).items() if k != "-"}
    items = [(topic, embed(table, line)) for topic, lines in sections.items() for line in lines]
    vectors = np.stack([v for _, v in items])
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1)
    same = np.mean([items[i][0] == items[j][0] for i, j in enumerate(near.argmax(1))])
    rng, inside, across = random.Random(seed), [], []
    for _ in range(400):
        a, b = rng.sample(sorted(sections), 2)
        half = min(len(sections[a]), len(sections[b]), 6) // 2
        x, y = rng.sample(sections[a], 2 * half), rng.sample(sections[b], half)
        inside.append(embed(table, " ".join(x[:half])) @ embed(table, " ".join(x[half:])))
        across.append(embed(table, " ".join(x[:half])) @ embed(table, " ".join(y)))
    area = np.mean([(i > a) + .5 * (i == a) for i in inside for a in across])
    return {"passages": len(items), "nearest has its topic": round(float(same), 3), "chance": round(5 / (len(items) - 1), 3),
            "boundary AUC": round(float(area), 3)}


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("pack", type=Path)
    args = parse.parse_args()
    _, _, _, net = material.load()
    entries, talk = documents(net, material.held_grams([p for p in material.HELD if p.exists()]))
    company, weight = place(entries, talk)
    table = np.concatenate([company, sides(args.pack)], 1).astype(np.float16)
    weight = (weight / weight.max()).astype(np.float16)
    ids = "  - {name: ids, type: int64, shape: [batch, features]}"
    write(args.pack / "earshot-passages", passages_graph(table), version=2, task="passages", family="hashed-words", rows=ROWS,
          inputs=ids + "\n  - {name: weights, type: float32, shape: [batch, features]}",
          outputs=f'  - {{name: embedding, type: float32, shape: [batch, "{table.shape[1]}"]}}')
    write(args.pack / "earshot-keywords", keywords_graph(weight), version=1, task="keywords", family="hashed-words", rows=KEYWORD_ROWS,
          inputs=ids, outputs="  - {name: weight, type: float32, shape: [batch, features]}")
    print(json.dumps({"dev": evaluate(table, HERE.parent / "topic" / "dev.txt"),
                      "test": evaluate(table, HERE.parent / "topic" / "test.txt")}))


if __name__ == "__main__":
    main()
