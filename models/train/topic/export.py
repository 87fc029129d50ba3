"""Writes models/pack/earshot-topics: model.onnx (fp16 table, fp32 arithmetic) and model.yaml. card.py adds the card."""
import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))
from evaluate import calibrate, labels, load, settled  # noqa: E402
from train import ROWS, WINDOW  # noqa: E402

PACK = Path(__file__).parents[2] / "pack" / "earshot-topics"


def graph(table, bias):
    """ids i64[batch, n], weights f32[batch, n] -> probabilities f32[batch, topics]."""
    const = [numpy_helper.from_array(table.astype(np.float16), "table"),
             numpy_helper.from_array(bias.astype(np.float32), "bias"),
             numpy_helper.from_array(np.array([1], np.int64), "one")]
    nodes = [helper.make_node("Gather", ["table", "ids"], ["rows16"]),
             helper.make_node("Cast", ["rows16"], ["rows"], to=TensorProto.FLOAT),
             helper.make_node("Unsqueeze", ["weights", "two"], ["column"]),
             helper.make_node("Mul", ["rows", "column"], ["weighed"]),
             helper.make_node("ReduceSum", ["weighed", "one"], ["sum"], keepdims=0),
             helper.make_node("Add", ["sum", "bias"], ["logits"]),
             helper.make_node("Sigmoid", ["logits"], ["probabilities"])]
    const.append(numpy_helper.from_array(np.array([2], np.int64), "two"))
    g = helper.make_graph(
        nodes, "topics",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "features"]),
         helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["batch", "features"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", table.shape[1]])], const)
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 17)], producer_name="earshot")
    m.ir_version = 9
    onnx.checker.check_model(m)
    return m.SerializeToString()


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("weights", type=Path, help="folder that train.py wrote")
    args = parse.parse_args()
    topics = labels()
    table, bias = load(args.weights)
    scale, threshold = calibrate(*settled((table, bias)))
    data = graph(table.numpy() * scale, bias.numpy() * scale)
    PACK.mkdir(parents=True, exist_ok=True)
    (PACK / "model.onnx").write_bytes(data)
    listed = "".join(f'  - {{name: "{name}", id: "{i}", threshold: {threshold:.2f}}}\n' for i, name in topics)
    (PACK / "model.yaml").write_text(f"""# Labels: IAB Content Taxonomy 3.1, IAB Tech Lab, CC BY 3.0 (top-level ids and names).
schema: earshot.model/1
name: earshot-topics
version: 2
task: topics
family: hashed-words
licence: Apache-2.0
precision: fp16
languages: [en]
files: {{model.onnx: {hashlib.sha256(data).hexdigest()}}}
sessions: [model.onnx]
inputs:
  - {{name: ids, type: int64, shape: [batch, features]}}
  - {{name: weights, type: float32, shape: [batch, features]}}
outputs:
  - {{name: probabilities, type: float32, shape: [batch, "{len(topics)}"]}}
batch: {{max_items: 64, max_cost: 32768}}
labels:
{listed}parameters: {{taxonomy: iab-3.1, rows: {ROWS}, window_words: {WINDOW}, max_topics: 5}}
""")
    print(f"{PACK.name}: {len(data)} bytes, scale {scale:.2f}, threshold {threshold:.2f}")
