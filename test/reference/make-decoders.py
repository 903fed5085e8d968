"""Makes decoders.json: what Hugging Face's transformers computes for tiny decoders of every family.

    python -m venv .venv && .venv/bin/pip install torch transformers safetensors
    .venv/bin/python test/reference/make-decoders.py

Weights come from the rule of weight-values.ts, so that no files of weights are needed; everything is computed in
float64. Made with transformers 5.24.0 and torch 2.13.0. Not part of the test suite:
neither users nor CI need Python.
"""

import copy
import gzip
import json
import pathlib
import struct
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AttentionInterface, AttentionMaskInterface, AutoConfig, AutoModelForCausalLM
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoModelForTokenClassification
from transformers.masking_utils import eager_mask

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
TARGET = pathlib.Path(__file__).parent / "decoders.json.gz"
VOCAB = 61
ROWS = [[5, 17, 42, 8, 60, 33, 2, 51, 24], [44, 9, 30, 12, 57, 21], [13, 56, 27, 3, 48, 39, 7, 20, 11]]
NEW_TOKENS = 8

COMMON = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
              bos_token_id=None, eos_token_id=None, pad_token_id=0)
LLAMA = dict(COMMON, intermediate_size=48, num_key_value_heads=1, hidden_act="silu")
SCALED = dict(LLAMA, rope_theta=100.0)
GEMMA = dict(LLAMA, head_dim=12, query_pre_attn_scalar=20, sliding_window=4, num_hidden_layers=3)
del GEMMA["hidden_act"]
YARN = {"factor": 2.5, "original_max_position_embeddings": 64, "beta_fast": 4, "beta_slow": 0.5}
LLAMA3 = {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
LONG = {"short_factor": [1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.5], "long_factor": [1, 1.5, 2, 3, 4, 5, 7, 9]}


def scaled(kind, more, **config):
    """A Llama with scaled rotary positions, as old files say it."""
    return dict(SCALED, model_type="llama", rope_scaling={"type": kind, **more}, **config)


# Configurations as they could stand in a file; what transformers writes is kept too, and has to mean the same.
CASES = {
    "gpt2": dict(model_type="gpt2", vocab_size=VOCAB, n_positions=64, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0,
                 embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None, pad_token_id=0),
    "llama": dict(LLAMA, model_type="llama", rope_theta=10000.0),
    "llama-biased-tied": dict(LLAMA, model_type="llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
                              head_dim=10, num_attention_heads=4, num_key_value_heads=2),
    "llama-linear": scaled("linear", {"factor": 3.0}),
    "llama-dynamic": scaled("dynamic", {"factor": 4.0}, max_position_embeddings=6),
    "llama-yarn": scaled("yarn", YARN),
    "llama-yarn-mscale": scaled("yarn", {**YARN, "mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False}),
    "llama-yarn-factor": scaled("yarn", {**YARN, "attention_factor": 0.8, "beta_fast": 32}),
    "llama-llama3": scaled("llama3", LLAMA3),
    "llama-longrope-short": scaled("longrope", {**LONG, "original_max_position_embeddings": 32}),
    "llama-longrope-long": scaled("longrope", {**LONG, "original_max_position_embeddings": 6}),
    "mistral": dict(LLAMA, model_type="mistral", sliding_window=4),
    "mistral-no-window": dict(LLAMA, model_type="mistral", sliding_window=None, head_dim=8),
    "qwen2": dict(LLAMA, model_type="qwen2"),
    "qwen2-window": dict(LLAMA, model_type="qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=1,
                         num_hidden_layers=3, tie_word_embeddings=True),
    "qwen3": dict(LLAMA, model_type="qwen3", head_dim=12, rope_theta=1e6, tie_word_embeddings=True),
    "qwen3-biased": dict(LLAMA, model_type="qwen3", head_dim=12, attention_bias=True, use_sliding_window=True,
                         sliding_window=3, max_window_layers=0),
    "gemma2": dict(GEMMA, model_type="gemma2", hidden_activation="gelu_pytorch_tanh", attn_logit_softcapping=2.0,
                   final_logit_softcapping=3.0),
    "gemma2-uncapped": dict(GEMMA, model_type="gemma2", attn_logit_softcapping=None, final_logit_softcapping=None,
                            layer_types=["full_attention", "sliding_attention", "full_attention"]),
    "gemma3": dict(GEMMA, model_type="gemma3_text", sliding_window_pattern=3, rope_local_base_freq=100.0,
                   rope_theta=1e6, rope_scaling={"rope_type": "linear", "factor": 8.0}),
    "gemma3-pattern": dict(GEMMA, model_type="gemma3_text", num_hidden_layers=7, hidden_size=16, intermediate_size=20),
    "phi3": dict(LLAMA, model_type="phi3", sliding_window=4),
    "phi3-longrope": dict(LLAMA, model_type="phi3", partial_rotary_factor=0.75, max_position_embeddings=64,
                          original_max_position_embeddings=12,
                          rope_scaling={"type": "longrope", "short_factor": LONG["short_factor"][:6],
                                        "long_factor": LONG["long_factor"][:6]}),
    "olmo2": dict(LLAMA, model_type="olmo2", rope_theta=5e5),
    "mixtral": dict(LLAMA, model_type="mixtral", num_local_experts=4, num_experts_per_tok=2, sliding_window=None),
    "qwen2-moe": dict(LLAMA, model_type="qwen2_moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=20,
                      shared_expert_intermediate_size=28, decoder_sparse_step=2, num_hidden_layers=3),
    "qwen3-moe": dict(LLAMA, model_type="qwen3_moe", num_experts=5, num_experts_per_tok=3, moe_intermediate_size=20,
                      head_dim=12, norm_topk_prob=True, mlp_only_layers=[0]),
    "gpt-neox": dict(COMMON, model_type="gpt_neox", intermediate_size=64, num_attention_heads=2, rotary_pct=0.25,
                     hidden_act="gelu"),
    "gpt-neox-sequential": dict(COMMON, model_type="gpt_neox", intermediate_size=64, use_parallel_residual=False,
                                attention_bias=False, rotary_pct=1.0, rotary_emb_base=500, tie_word_embeddings=True),
}
# Their frequencies depend on the longest row of a batch, or its cache on what came before: rows are generated alone.
# With LongRoPE, Phi-3 reads a sequence anew when its frequencies change; so does this package for every family.
ALONE = {"llama-dynamic", "llama-longrope-long", "phi3-longrope"}
WITH_LABELS = {"gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "olmo2", "mixtral", "qwen2-moe",
               "qwen3-moe", "gpt-neox"}
WITH_TOKENS = WITH_LABELS - {"gemma3", "olmo2"}
WITH_ANSWERS = WITH_TOKENS - {"gemma2", "phi3"}
# Cases for which more ways to generate are compared.
WITH_WAYS = {"gpt2", "llama", "llama-dynamic", "mistral"}


def attention(module, query, key, value, mask, scaling, dropout=0.0, softcap=None, **_):
    """As eager_attention_forward, but its softmax stays in float64, where padding does not give NaN either."""
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


AttentionInterface.register("exact", attention)
AttentionMaskInterface.register("exact", eager_mask)


def values(name, shape):
    """The numbers of weight-values.ts."""
    state = 0x811C9DC5
    for byte in name.encode():
        state = (state ^ byte) * 0x01000193 % 2**32
    count = int(np.prod(shape))
    powers = np.cumprod(np.full(count, 1664525, np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([[1], powers[:-1]]).astype(np.uint32), dtype=np.uint32)
    states = powers * np.uint32(state) + sums * np.uint32(1013904223)
    data = (states >> np.uint32(16)) / 2**17 - 0.25
    if len(shape) == 1 and name.endswith(".weight"):
        data += 1
    return torch.tensor(data.astype(np.float32)).reshape(shape)


def written(model):
    """config.json and the names and shapes of the tensors that save_pretrained writes."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        data = (pathlib.Path(folder) / "model.safetensors").read_bytes()
    header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
    header.pop("__metadata__", None)
    return config, {name: entry["shape"] for name, entry in header.items()}


def build(auto, given):
    config = AutoConfig.for_model(**copy.deepcopy(given))
    config.architectures = None
    torch.manual_seed(0)
    return auto.from_config(config, attn_implementation="exact")


def filled(auto, given, tensors, folder):
    """A fresh model with the weights of the rule, as from_pretrained makes it of a file."""
    folder = pathlib.Path(folder)
    save_file({name: values(name, shape) for name, shape in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(given))
    model, info = auto.from_pretrained(folder, attn_implementation="exact", experts_implementation="eager",
                                       output_loading_info=True, dtype=torch.float32)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    if model.can_generate():
        model.generation_config.eos_token_id = None
    return model.double().eval()


def number(value):
    return float(f"{value:.8g}")


def summary(tensor, count):
    data = tensor.detach().double().flatten()
    assert data.isfinite().all()
    step = max(1, len(data) // count)
    return {"l2": number(data.norm().item()), "sum": number(data.sum().item()), "step": step,
            "samples": [number(x) for x in data[::step].tolist()]}


def padded(left):
    width = max(map(len, ROWS))
    fill = [[0] * (width - len(row)) for row in ROWS]
    ids = [pad + row if left else row + pad for pad, row in zip(fill, ROWS)]
    mask = [[0] * len(pad) + [1] * len(row) if left else [1] * len(row) + [0] * len(pad) for pad, row in zip(fill, ROWS)]
    labels = [[token if seen else -100 for token, seen in zip(*row)] for row in zip(ids, mask)]
    if left:  # What a token of padding predicts does not count.
        for row, seen in zip(labels, mask):
            if 0 in seen:
                row[seen.index(1)] = -100
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(labels)


def close(a, b):
    """Whether two golden values are equal but for rounding."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(close, a, b))
    return a == b if isinstance(a, int) else abs(a - b) <= 1e-7 * max(1, abs(a))


def gradients(model, tensors):
    """By the names of the checkpoint, some of which transformers has changed since."""
    names = {name: name for name, _ in model.named_parameters()}
    if "embed_out.weight" in tensors:
        names["lm_head.weight"] = "embed_out.weight"
    if any("block_sparse_moe" in name for name in tensors):
        names = {name: name.replace("mlp.gate.", "block_sparse_moe.gate.") for name in names}
    return {names[name]: summary(p.grad, 4) for name, p in model.named_parameters()}


def expected(fresh, tensors, alone, cached):
    seen = {}
    for side in ("right", "left"):
        ids, mask, labels = padded(side == "left")
        model = fresh()
        out = model(input_ids=ids, attention_mask=mask, labels=labels, output_hidden_states=True, output_attentions=True)
        keep = mask.bool()
        pairs = (keep[:, None, :, None] & keep[:, None, None, :]).expand(-1, out.attentions[0].shape[1], -1, -1)
        seen[side] = {"loss": number(out.loss.item()), "logits": summary(out.logits[keep], 48),
                      "hiddenStates": [summary(state[keep], 6) for state in out.hidden_states],
                      "attentions": [summary(weights[pairs], 12) for weights in out.attentions]}
        if side == "right":
            out.loss.backward()
            seen["gradients"] = gradients(model, tensors)
    options = dict(max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0, use_cache=cached)
    if alone:
        seen["greedy"] = [fresh().generate(torch.tensor([row]), attention_mask=torch.ones(1, len(row), dtype=int), **options)
                          [0, len(row):].tolist() for row in ROWS]
    else:
        ids, mask, _ = padded(True)
        seen["greedy"] = fresh().generate(ids, attention_mask=mask, **options)[:, ids.shape[1]:].tolist()
    return seen


def ways(fresh, alone):
    """Ways to generate by their names in transformers, and what follows each row, filled up with 0."""
    ids, mask, _ = padded(True)
    batches = [(torch.tensor([row]), torch.ones(1, len(row), dtype=int)) for row in ROWS] if alone else [(ids, mask)]

    def continued(options):
        rows = []
        for batch, seen in batches:
            made = fresh().generate(batch, attention_mask=seen, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0,
                                    **options)
            rows += made[:, batch.shape[1]:].tolist()
        return rows

    plain = continued({"eos_token_id": None})[0]
    ends = {"eos_token_id": plain[4]}
    return [{"options": options, "tokens": continued(options)} for options in (
        {**ends},
        {**ends, "num_beams": 4},
        {**ends, "num_beams": 3, "length_penalty": 2.0, "early_stopping": True},
        {**ends, "num_beams": 3, "length_penalty": -1.0, "early_stopping": "never"},
        {**ends, "num_beams": 2, "no_repeat_ngram_size": 2, "min_new_tokens": 6},
        {"eos_token_id": None, "repetition_penalty": 1.7},
        {"eos_token_id": None, "no_repeat_ngram_size": 1},
        {"eos_token_id": None, "bad_words_ids": [[plain[0], plain[1]], [plain[2]]]},
        {**ends, "num_beams": 2, "forced_eos_token_id": plain[4]},
    )]


def with_head(auto, given, folder):
    given = dict(given, num_labels=2 if auto is AutoModelForQuestionAnswering else 3)
    config, tensors = written(build(auto, given))
    model = filled(auto, config, tensors, folder)
    ids, mask, _ = padded(True)
    if auto is AutoModelForSequenceClassification:
        labels = {"labels": torch.tensor([2, 0, 1])}
    elif auto is AutoModelForTokenClassification:
        labels = {"labels": torch.where(mask.bool(), ids % 3, -100)}
    else:  # transformers counts padding as an answer, too.
        ids = torch.tensor([row[:6] for row in ROWS])
        mask, labels = torch.ones_like(ids), {"start_positions": torch.tensor([2, 0, 4]), "end_positions": torch.tensor([4, 5, 4])}
    out = model(input_ids=ids, attention_mask=mask, **labels)
    out.loss.backward()
    logits = torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits
    if auto is AutoModelForTokenClassification:
        logits = logits[mask.bool()]
    return {"config": config, "tensors": tensors, "loss": number(out.loss.item()),
            "logits": [number(x) for x in logits.flatten().tolist()], "gradients": gradients(model, tensors)}


goldens = {"generator": f"transformers {transformers.__version__}, torch {torch.__version__}", "rows": ROWS,
           "newTokens": NEW_TOKENS, "cases": {}}
for name, given in CASES.items():
    with tempfile.TemporaryDirectory() as folder:
        config, tensors = written(build(AutoModelForCausalLM, given))
        case = expected(lambda: filled(AutoModelForCausalLM, given, tensors, folder), tensors, name in ALONE, "longrope" not in name)
        again = expected(lambda: filled(AutoModelForCausalLM, config, tensors, folder), tensors, name in ALONE, "longrope" not in name)
        differing = [key for key in case if not close(case[key], again[key])]
        assert not differing, f"{name}: config.json as given and as written differ in {differing}"
        entry = {"given": given, "config": config, "tensors": tensors, **case}
        if name in WITH_WAYS:
            entry["ways"] = ways(lambda: filled(AutoModelForCausalLM, given, tensors, folder), name in ALONE)
        for key, auto, names in (("classification", AutoModelForSequenceClassification, WITH_LABELS),
                                 ("tokens", AutoModelForTokenClassification, WITH_TOKENS),
                                 ("answers", AutoModelForQuestionAnswering, WITH_ANSWERS)):
            if name in names:
                entry[key] = with_head(auto, given, folder)
        goldens["cases"][name] = entry
        print(f"{name:24} loss {case['right']['loss']:.4f}  greedy {case['greedy'][0]}", flush=True)

data = gzip.compress(json.dumps(goldens, separators=(",", ":")).encode(), mtime=0)
TARGET.write_bytes(data)
print(f"{TARGET}: {len(data)} bytes")
