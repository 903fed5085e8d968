"""Compares what quantizeModel writes with what llama.cpp's converter writes of the same model: names, shapes, keys and numbers.

    git clone --depth 1 https://github.com/ggml-org/llama.cpp      (made with a version of 2026)
    npx tsx test/reference/save-gguf.ts runs/gguf && python test/reference/check-gguf.py llama.cpp runs/gguf

Numbers are compared with the converter's in f32: 8 bits and f16 are off by 0.5 % at most. Not part of the test suite: neither
users nor CI need Python.
"""

import json
import logging
import pathlib
import sys

sys.path[:0] = [sys.argv[1], sys.argv[1] + "/gguf-py"]
logging.disable(logging.CRITICAL)

import gguf
import numpy as np
import torch
from conversion import get_model_class
from conversion.base import ModelBase
from gguf.quants import dequantize

# Newer versions of transformers leave keys of old files out, which the converter still reads.
load = ModelBase.load_hparams
ModelBase.load_hparams = staticmethod(lambda folder, *_, **__: {**json.loads((folder / "config.json").read_text()), **load(folder, False)})

# Keys that say what is so anyway.
HARMLESS = {"vocab_size", "attention.key_length", "attention.value_length", "rope.freq_base", "rope.scaling.original_context_length"}


def told(file):
    reader = gguf.GGUFReader(file)
    keys = {k.split(".", 1)[1]: f.contents() for k, f in reader.fields.items() if not k.startswith(("GGUF", "general", "tokenizer"))}
    numbers = {t.name: dequantize(t.data, t.tensor_type).astype(np.float64).ravel() for t in reader.tensors}
    return {k: v for k, v in keys.items() if k not in HARMLESS}, {t.name: t.shape.tolist() for t in reader.tensors}, numbers


for folder in sorted(path.parent for path in pathlib.Path(sys.argv[2]).glob("*/out")):
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {str(i): i for i in range(61)}}, "added_tokens": []}))
    converter = get_model_class(ModelBase.load_hparams(folder, False)["architectures"][0])
    converter.set_vocab = lambda self: None
    with torch.inference_mode():
        converter(folder, gguf.LlamaFileType.ALL_F32, folder / "theirs.gguf").write()
    (keys, shapes, numbers), (their_keys, their_shapes, theirs) = (told(f) for f in (folder / "out/model.gguf", folder / "theirs.gguf"))
    assert keys == their_keys, (folder.name, keys, their_keys)
    assert shapes == their_shapes, (folder.name, shapes, their_shapes)
    worst = max(np.abs(numbers[n] - theirs[n]).max() / np.abs(theirs[n]).max() for n in theirs)
    assert worst < 5e-3, (folder.name, worst)
    print(f"{folder.name:20} {len(shapes)} tensors, {len(keys)} keys, off by {worst:.1e}")
