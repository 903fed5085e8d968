"""Makes transformer.json: what PyTorch's Transformer modules give, in float64.

    python test/reference/make-transformer.py      (needs torch; 2.13.0 made the committed file)

Weights and inputs are not stored: both sides make them from their names, see `numbers`.
"""

import json
from pathlib import Path

import torch
from torch import nn

HEADS, DIM, FFN, MEMORY = 4, 16, 24, 10


def numbers(name, shape):
    """Multiples of 2^-17 in [-1/4, 1/4), exact in float32: FNV-1a of the name seeds an LCG (Numerical Recipes)."""
    state = 0x811C9DC5
    for byte in name.encode():
        state = ((state ^ byte) * 0x01000193) % 2**32
    values = []
    for _ in range(torch.Size(shape).numel()):
        state = (1664525 * state + 1013904223) % 2**32
        values.append((state >> 16) / 2**17 - 0.25)
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def summary(x):
    flat = x.flatten()
    return {"l2": flat.norm().item(), "sum": flat.sum().item(), "first5": flat[:5].tolist()}


def padding(lengths, length):
    return None if lengths is None else torch.arange(length)[None, :] >= torch.tensor(lengths)[:, None]


def causal(length):
    return torch.triu(torch.ones(length, length, dtype=torch.bool), diagonal=1)


def run(module, inputs, options, forward):
    module = module.double().train()  # Evaluation may take a fast path of other arithmetic.
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(numbers(name, parameter.shape) + (1 if "norm" in name and "weight" in name else 0))
    tensors = {name: (4 * numbers(name, shape)).requires_grad_() for name, shape in inputs.items()}
    output = forward(module, *tensors.values())
    (output * numbers("gradOutput", output.shape)).sum().backward()
    return {
        "module": type(module).__name__,
        **options,
        "inputs": inputs,
        "output": {"shape": list(output.shape), "data": output.flatten().tolist()},
        "gradients": {name: summary(p.grad) for name, p in [*module.named_parameters(), *tensors.items()]},
    }


LAYER = {"d_model": DIM, "nhead": HEADS, "dim_feedforward": FFN, "dropout": 0.0, "batch_first": True}
SOURCE, TARGET, WIDE = [2, 6, DIM], [2, 5, DIM], [2, 6, MEMORY]
SOURCE_LENGTHS, TARGET_LENGTHS = [6, 4], [5, 2]

# normFirst, activation, bias, epsilon
VARIANTS = [
    (False, "relu", True, 1e-5),
    (True, "gelu", True, 1e-5),
    (False, "gelu", False, 1e-3),
    (True, "relu", False, 1e-5),
]


def layer_options(norm_first, activation, bias, epsilon):
    torch_options = {**LAYER, "norm_first": norm_first, "activation": activation, "bias": bias, "layer_norm_eps": epsilon}
    return torch_options, {"normFirst": norm_first, "activation": activation, "bias": bias, "epsilon": epsilon}


def transformer(variant, masked):
    torch_options, options = layer_options(*variant)
    module = nn.Transformer(**torch_options, num_encoder_layers=2, num_decoder_layers=2)
    given = {"causal": masked, "lengths": SOURCE_LENGTHS if masked else None, "targetLengths": TARGET_LENGTHS if masked else None}
    mask = padding(given["lengths"], 6)

    def forward(module, source, target):
        return module(
            source,
            target,
            tgt_mask=causal(5) if masked else None,
            src_key_padding_mask=mask,
            tgt_key_padding_mask=padding(given["targetLengths"], 5),
            memory_key_padding_mask=mask,
        )

    return run(module, {"source": SOURCE, "target": TARGET}, {"options": options, **given}, forward)


def encoder(variant, layers, final_norm, is_causal, lengths):
    torch_options, options = layer_options(*variant)
    module = nn.TransformerEncoderLayer(**torch_options)
    if layers:
        norm = nn.LayerNorm(DIM, eps=variant[3], bias=variant[2]) if final_norm else None
        module = nn.TransformerEncoder(module, layers, norm, enable_nested_tensor=False)
        options |= {"layers": layers, "finalNorm": final_norm}

    def forward(module, source):
        mask = causal(6) if is_causal else None
        return module(source, mask, src_key_padding_mask=padding(lengths, 6))

    return run(module, {"source": SOURCE}, {"options": options, "causal": is_causal, "lengths": lengths}, forward)


def decoder(variant, layers, final_norm, is_causal, target_lengths, lengths):
    torch_options, options = layer_options(*variant)
    module = nn.TransformerDecoderLayer(**torch_options)
    if layers:
        norm = nn.LayerNorm(DIM, eps=variant[3], bias=variant[2]) if final_norm else None
        module = nn.TransformerDecoder(module, layers, norm)
        options |= {"layers": layers, "finalNorm": final_norm}
    given = {"causal": is_causal, "targetLengths": target_lengths, "lengths": lengths}

    def forward(module, target, memory):
        return module(
            target,
            memory,
            tgt_mask=causal(5) if is_causal else None,
            tgt_key_padding_mask=padding(target_lengths, 5),
            memory_key_padding_mask=padding(lengths, 6),
        )

    return run(module, {"target": TARGET, "memory": SOURCE}, {"options": options, **given}, forward)


def attention(bias, inputs, is_causal, lengths):
    memory_dim = inputs["memory"][-1] if "memory" in inputs else None
    wide = {} if memory_dim in (None, DIM) else {"kdim": memory_dim, "vdim": memory_dim}
    module = nn.MultiheadAttention(DIM, HEADS, bias=bias, batch_first=True, **wide)
    options = {"bias": bias, **({} if memory_dim is None else {"memoryDim": memory_dim})}

    def forward(module, source, memory=None):
        keys = source if memory is None else memory
        mask = causal(source.shape[1]) if is_causal else None
        return module(source, keys, keys, attn_mask=mask, key_padding_mask=padding(lengths, keys.shape[1]))[0]

    return run(module, inputs, {"options": options, "causal": is_causal, "lengths": lengths}, forward)


cases = [
    *(transformer(variant, masked=True) for variant in VARIANTS),
    transformer(VARIANTS[0], masked=False),
    encoder(VARIANTS[0], 0, False, False, None),
    encoder(VARIANTS[1], 0, False, True, SOURCE_LENGTHS),
    encoder(VARIANTS[2], 2, False, False, SOURCE_LENGTHS),
    encoder(VARIANTS[1], 2, True, True, SOURCE_LENGTHS),
    decoder(VARIANTS[0], 0, False, False, None, None),
    decoder(VARIANTS[3], 0, False, True, TARGET_LENGTHS, SOURCE_LENGTHS),
    decoder(VARIANTS[2], 2, False, True, TARGET_LENGTHS, SOURCE_LENGTHS),
    decoder(VARIANTS[1], 2, True, True, None, None),
    attention(True, {"source": SOURCE}, False, None),
    attention(True, {"source": SOURCE}, True, SOURCE_LENGTHS),
    attention(False, {"source": SOURCE}, True, None),
    attention(True, {"source": TARGET, "memory": SOURCE}, False, SOURCE_LENGTHS),
    attention(False, {"source": TARGET, "memory": WIDE}, False, SOURCE_LENGTHS),
    attention(True, {"source": TARGET, "memory": WIDE}, False, None),
]


def rounded(x):
    if isinstance(x, float):
        return float(f"{x:.10g}")
    if isinstance(x, dict):
        return {key: rounded(value) for key, value in x.items()}
    return [rounded(value) for value in x] if isinstance(x, list) else x


text = ",\n".join(json.dumps(rounded(case)) for case in cases)
dims = {"dim": DIM, "heads": HEADS, "ffn": FFN}
Path(__file__).with_name("transformer.json").write_text(
    f'{{"torch": "{torch.__version__.split('+')[0]}", "dims": {json.dumps(dims)}, "cases": [\n{text}\n]}}\n'
)
