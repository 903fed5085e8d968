"""Opens with Hugging Face's transformers what saveDecoder and savePretrained wrote, and compares logits and token ids.

    python -m venv .venv && .venv/bin/pip install torch transformers safetensors
    npx tsx test/reference/save-models.ts runs/saved && .venv/bin/python test/reference/check-saved.py runs/saved

With transformers 5.24.0 and torch 2.13.0 the largest deviation was 3.0e-6 of the largest logit, that of a Gemma 3 of
seven layers; of the others 1.2e-6. Not part of the test suite: neither users nor CI need Python.
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

TOLERANCE = 5e-6  # f32 against f64, relative to the largest logit



def ids_of_text(folder, seen):
    if "text" not in seen:
        return {"input_ids": torch.tensor([seen["ids"]])}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ids = tokenizer(seen["text"])["input_ids"]
    assert ids == seen["ids"], f"{folder.name}: token ids differ"
    assert tokenizer.decode(ids) == seen["text"], f"{folder.name}: decoded text differs"
    return {"input_ids": torch.tensor([ids])}


worst = 0.0
folders = sorted(path.parent for path in pathlib.Path(sys.argv[1]).glob("*/expected-by-heedful.json"))
if not folders:
    sys.exit(f"{sys.argv[1]}: nothing that save-models.ts wrote")
for folder in folders:
    seen = json.loads((folder / "expected-by-heedful.json").read_text())
    is_seq2seq = "inputs" in seen and "architecture" not in seen
    kind = AutoModelForSeq2SeqLM if is_seq2seq else AutoModelForCausalLM
    kind = getattr(transformers, seen["architecture"]) if "architecture" in seen else kind
    labels = {"labels", "start_positions", "end_positions"} if "architecture" in seen else set()
    given = seen.get("inputs", {}).items()
    inputs = {k: torch.tensor(v) for k, v in given if k not in labels} if given else ids_of_text(folder, seen)
    attention = "sdpa" if "modernbert" in folder.name else "eager"  # Rows that see padding only are NaN to the plain one.
    model, info = kind.from_pretrained(folder, attn_implementation=attention, experts_implementation="eager",
                                       output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        unused = {name for name in info[kind] if "pooler" in str(name)}  # Of bare models, which heads leave out.
        assert not set(info[kind]) - unused, f"{folder.name}: {kind}: {info[kind]}"
    with torch.no_grad():
        out = model.double().eval()(**inputs)
    if "start_logits" in out:
        logits = torch.stack([out.start_logits, out.end_logits], -1)
    else:
        logits = out.logits if "logits" in out else out.last_hidden_state
    if "architecture" in seen and logits.shape[:2] == inputs["input_ids"].shape:
        logits = torch.where(inputs["attention_mask"].bool().reshape(*logits.shape[:2], *[1] * (logits.dim() - 2)), logits, 0)
    expected = torch.tensor(seen["logits"], dtype=torch.float64).reshape(logits.shape)
    deviation = ((logits - expected).abs().max() / expected.abs().max()).item()
    worst = max(worst, deviation)
    print(f"{folder.name:16} {type(model).__name__:18} deviation {deviation:.1e}")
sys.exit(0 if worst < TOLERANCE else f"deviation {worst:.1e}, expected less than {TOLERANCE}")
