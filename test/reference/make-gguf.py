"""Writes gguf/types.gguf, one tensor of each type with blocks that are random bytes, and gguf/types.json: the numbers
that the package `gguf` makes of them, as base64 of little-endian f32, and the metadata.

    pip install gguf numpy
    python test/reference/make-gguf.py
"""

import base64
import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Q
from gguf import GGUFValueType as V
from gguf import GGUFWriter, dequantize
from gguf.constants import GGML_QUANT_SIZES

folder = Path(__file__).parent / "gguf"
folder.mkdir(exist_ok=True)
rng = np.random.default_rng(7)

# Where a block's half-precision scales lie: all other bytes may be anything.
SCALES = {
    Q.Q8_0: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2],
    Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208],
}  # fmt: skip
# Random ones, and those where rounding and signs could go wrong.
HARD = np.array([0.0, -0.0, 6e-8, -6.1e-5, 65504, -1, 1e-3], dtype=np.float16)


def blocks(kind, rows, columns):
    elements, size = GGML_QUANT_SIZES[kind]
    count = rows * columns // elements
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = rng.normal(0, 0.05, count).astype(np.float16)
        hard = rng.random(count) < 0.3
        scale[hard] = rng.choice(HARD, hard.sum())
        raw[:, at : at + 2] = scale.view(np.uint8).reshape(count, 2)
    return raw.reshape(rows, -1)


writer = GGUFWriter(folder / "types.gguf", "test")
writer.add_key_value("a.u8", 255, V.UINT8)
writer.add_key_value("a.i8", -128, V.INT8)
writer.add_key_value("a.u16", 65535, V.UINT16)
writer.add_key_value("a.i16", -32768, V.INT16)
writer.add_key_value("a.u32", 2**32 - 1, V.UINT32)
writer.add_key_value("a.i32", -(2**31), V.INT32)
writer.add_key_value("a.u64", 2**53 - 1, V.UINT64)
writer.add_key_value("a.u64.large", 2**64 - 1, V.UINT64)
writer.add_key_value("a.i64", -5, V.INT64)
writer.add_key_value("a.f32", 0.5, V.FLOAT32)
writer.add_key_value("a.f64", 0.1, V.FLOAT64)
writer.add_key_value("a.bool", True, V.BOOL)
writer.add_string("a.string", "größe 😀\n")
writer.add_array("a.strings", ["", "Ġthe", "▁a", "😀"])
writer.add_array("a.floats", [0.5, -1.5])
writer.add_array("a.ints", [1, -2])
writer.add_array("a.bools", [True, False])
writer.add_array("a.nested", [[1, 2], [3]])

expected = {}
for kind in SCALES:
    raw = blocks(kind, 2, 256)
    writer.add_tensor(kind.name, raw, raw_dtype=kind)
    expected[kind.name] = dequantize(raw, kind)
floats = rng.normal(0, 1, (3, 2, 5)).astype(np.float32)
writer.add_tensor("F32", floats)
expected["F32"] = floats
writer.add_tensor("F16", floats.astype(np.float16))
expected["F16"] = floats.astype(np.float16).astype(np.float32)
bf16 = (floats.view(np.uint32) >> 16).astype(np.uint16)
writer.add_tensor("BF16", bf16.view(np.uint8), raw_dtype=Q.BF16)
expected["BF16"] = dequantize(bf16.view(np.uint8), Q.BF16)
raw = rng.integers(0, 256, (1, 84), dtype=np.uint8)
writer.add_tensor("Q2_K", raw, raw_dtype=Q.Q2_K)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

with open(folder / "types.json", "w") as f:
    json.dump(
        {
            name: {
                "shape": list(values.shape),
                "f32": base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode(),
            }
            for name, values in expected.items()
        },
        f,
        indent=1,
    )
    f.write("\n")
