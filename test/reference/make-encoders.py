"""Makes encoders.json.gz: what transformers computes, in float64, for tiny encoders of every family and head.

    python test/reference/make-encoders.py      (needs torch and transformers; 2.13.0 and 5.24.0 made the committed file)

Weights are not stored: both sides make them from the names that they have in checkpoints, see `numbers`.
"""

import gzip
import json
from pathlib import Path

import torch
import transformers
from golden_numbers import numbers, summary

SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
}
LABELS = {"id2label": {0: "no", 1: "maybe", 2: "yes"}, "label2id": {"no": 0, "maybe": 1, "yes": 2}}


def is_scale(name):
    """Weights of norms stand around 1."""
    if "." not in name:
        return False
    layer = name.lower().split(".")[-2]
    return name.endswith(".weight") and ("norm" in layer or layer.endswith("_ln"))


def weight(name, shape):
    return numbers(name, shape) + (1 if is_scale(name) else 0)


def whole(name, shape, low, high):
    return (low + ((numbers(name, shape) + 0.25) * 2 * (high - low)).long()).clamp(max=high - 1)


def padded(lengths, left=False):
    columns = torch.arange(max(lengths))[None, :]
    ends = torch.tensor(lengths)[:, None]
    return ((columns >= max(lengths) - ends) if left else (columns < ends)).long()


def attention(module, query, key, value, mask, scaling, dropout=0.0, **_):
    """As eager_attention_forward, but its softmax stays in float64."""
    scores = query @ key.transpose(2, 3) * scaling
    weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


transformers.AttentionInterface.register("exact", attention)
transformers.AttentionMaskInterface.register("exact", transformers.masking_utils.eager_mask)


class Names:
    """How the parameters of a transformers model are called in checkpoints."""

    def prepare(self, model):
        pass

    def of(self, model):
        """The parameters whose rows, one after another, are a tensor of the checkpoint."""
        return {name: [parameter] for name, parameter in model.named_parameters()}


class NomicNames(Names):
    """The published checkpoints of nomic-embed-text: queries, keys and values in one matrix."""

    RENAMED = {
        "embeddings.LayerNorm": "emb_ln",
        "self_attn.o_proj": "attn.out_proj",
        "mlp.up_proj": "mlp.fc11",
        "mlp.gate_proj": "mlp.fc12",
        "mlp.down_proj": "mlp.fc2",
        "post_attention_layernorm": "norm1",
        "post_mlp_layernorm": "norm2",
    }

    def of(self, model):
        named = {}
        for name, parameter in model.named_parameters():
            prefix = "nomic_bert." if name.startswith("nomic_bert.") else ""
            name = name.removeprefix(prefix)
            for ours, theirs in self.RENAMED.items():
                name = name.replace(ours, theirs)
            name = prefix + ("encoder." if name.startswith("layers.") else "") + name
            joined = next((part for part in ("q", "k", "v") if f"self_attn.{part}_proj" in name), None)
            if joined:
                named.setdefault(name.replace(f"self_attn.{joined}_proj", "attn.Wqkv"), []).append(parameter)
            else:
                named[name] = [parameter]
        return named


class BertLikeNames(Names):
    """NomicBERT under the names of BERT, as in fixture folders that converters are tested with."""

    RENAMED = {
        "layers.": "encoder.layer.",
        "self_attn.q_proj": "attention.self.query",
        "self_attn.k_proj": "attention.self.key",
        "self_attn.v_proj": "attention.self.value",
        "self_attn.o_proj": "attention.output.dense",
        "_proj": "",
        "post_attention_layernorm": "attention.output.LayerNorm",
        "post_mlp_layernorm": "mlp.LayerNorm",
    }

    def of(self, model):
        named = {}
        for name, parameter in model.named_parameters():
            for ours, theirs in self.RENAMED.items():
                name = name.replace(ours, theirs)
            if "token_type" not in name:
                named[name] = [parameter]
        return named

    def prepare(self, model):
        """Biases of attention, and no segments."""
        for layer in model.layers:
            for part in "qkvo":
                old = getattr(layer.self_attn, f"{part}_proj")
                setattr(layer.self_attn, f"{part}_proj", torch.nn.Linear(old.in_features, old.out_features))
        torch.nn.init.zeros_(model.embeddings.token_type_embeddings.weight)


def run(family, architecture, config, inputs, labels, names=Names(), written=None, note=None):
    json_config = {**config.to_dict(), "architectures": [architecture]} if written is None else written
    # Padding that sees padding only, as with a window, is NaN to the plain softmax, and then everything is.
    config._attn_implementation = "exact" if family == "modernbert" else "eager"
    model = getattr(transformers, architecture)(config)
    names.prepare(model)
    model = model.double().eval()
    named = names.of(model)
    with torch.no_grad():
        for name, parts in named.items():
            shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
            for part, value in zip(parts, weight(name, shape).split([part.shape[0] for part in parts])):
                part.copy_(value)
    is_task = bool(labels)
    outputs = model(**inputs, **labels, output_hidden_states=True, output_attentions=True)
    mask = inputs["attention_mask"].bool()
    within = lambda x: x[(mask[:, None, :, None] & mask[:, None, None, :]).expand(x.shape)]
    case = {
        "name": f"{family}: {architecture}" + (f", {note}" if note else ""),
        "config": {key: value for key, value in json_config.items() if value is not None},
        "weights": {name: [sum(p.shape[0] for p in parts), *parts[0].shape[1:]] for name, parts in named.items()},
        "inputs": {name: x.tolist() for name, x in {**inputs, **labels}.items()},
        "states": [summary(x[mask]) for x in outputs.hidden_states],
        "attentions": [summary(within(x)) for x in outputs.attentions],
    }
    if "last_hidden_state" in outputs:
        case["last_hidden_state"] = outputs.last_hidden_state.tolist()
        case["states"][-1] = summary(outputs.last_hidden_state[mask])
    if is_task:
        outputs.loss.backward()
        logits = (
            torch.stack([outputs.start_logits, outputs.end_logits], -1) if "start_logits" in outputs else outputs.logits
        )
        case["logits"] = logits.tolist()
        case["loss"] = outputs.loss.item()
        case["gradients"] = {
            name: summary(torch.cat([part.grad for part in parts]))
            for name, parts in named.items()
            if all(part.grad is not None for part in parts)
        }
    return case


def cases(family, config_class, architectures, types=True, pad=0, holes=True, sizes=SIZES, **more):
    """One case for each head, and the bare model with padding on the left and, where it may be, holes."""
    made = []
    names, written = more.pop("names", Names()), more.pop("written", None)

    def config(**options):
        made_config = config_class(**{**sizes, **more, **options})
        return made_config, (None if written is None else lambda architecture: {**written, **options, "architectures": [architecture]})

    def ids(name, mask):
        return torch.where(mask.bool(), whole(f"{family} {name}", mask.shape, 3, 40), pad)

    def inputs(name, mask):
        given = {"input_ids": ids(name, mask), "attention_mask": mask}
        if types:
            given["token_type_ids"] = (torch.arange(mask.shape[1])[None, :] >= 3).long() * mask
        return given

    right, full, left = padded([9, 6, 4]), padded([7, 7]), padded([8, 5, 1], left=True)
    targets = {
        "masked-lm": (right, lambda m: {"labels": torch.where((whole("masked", m.shape, 0, 3) == 0) & m.bool(), whole("labels", m.shape, 0, 40), -100)}),
        "sequence": (right, lambda m: {"labels": whole("classes", [3], 0, 3)}),
        "score": (right, lambda m: {"labels": numbers("scores", [3])}),
        "token": (right, lambda m: {"labels": torch.where(m.bool(), whole("labels", m.shape, 0, 3), -100)}),
        "answers": (full, lambda m: {"start_positions": torch.tensor([2, 0]), "end_positions": torch.tensor([4, 6])}),
        "replaced": (right, lambda m: {"labels": whole("replaced", m.shape, 0, 2)}),
        "none": (left, lambda m: {}),
    }
    for kind, architecture in architectures.items():
        mask, labels = targets[kind]
        options = LABELS if kind in ("sequence", "token") else {"num_labels": 1} if kind == "score" else {}
        given, json_of = config(**options)
        made.append(run(family, architecture, given, inputs(kind, mask), labels(mask), names, json_of and json_of(architecture)))
    if holes:
        mask = padded([9, 7])
        mask[0, [2, 5]] = 0
        mask[1, 1] = 0
        given = inputs("holes", torch.ones_like(mask)) | {"attention_mask": mask}
        architecture = architectures["none"]
        made_config, json_of = config()
        made.append(run(family, architecture, made_config, given, {}, names, json_of and json_of(architecture), "holes"))
    return made


def heads(prefix, score=None, **more):
    kinds = {
        "none": "Model",
        "masked-lm": "ForMaskedLM",
        "sequence": "ForSequenceClassification",
        "token": "ForTokenClassification",
        "answers": "ForQuestionAnswering",
    }
    return {kind: prefix + suffix for kind, suffix in {**kinds, **more}.items() if suffix}


T = transformers
MODERN = {**SIZES, "num_hidden_layers": 4, "local_attention": 4, "pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
# The config.json of the published checkpoints of nomic-embed-text-v1.5, but for its sizes.
NOMIC = {
    "model_type": "nomic_bert",
    "activation_function": "swiglu",
    "attn_pdrop": 0.0,
    "causal": False,
    "embd_pdrop": 0.0,
    "layer_norm_epsilon": 1e-12,
    "max_trained_positions": 24,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "n_embd": 32,
    "n_head": 4,
    "n_inner": 48,
    "n_layer": 2,
    "n_positions": 24,
    "prenorm": False,
    "qkv_proj_bias": False,
    "resid_pdrop": 0.0,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_scaling_factor": None,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "tie_word_embeddings": True,
    "type_vocab_size": 2,
    "use_rms_norm": False,
    "vocab_size": 40,
}
all_cases = [
    *cases("bert", T.BertConfig, {**heads("Bert"), "score": "BertForSequenceClassification"}),
    *cases(
        "distilbert",
        T.DistilBertConfig,
        heads("DistilBert"),
        types=False,
        sizes={"vocab_size": 40, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 24},
    ),
    *cases("roberta", T.RobertaConfig, heads("Roberta"), types=False, pad=1, type_vocab_size=1),
    *cases(
        "xlm-roberta",
        T.XLMRobertaConfig,
        heads("XLMRoberta", **{"masked-lm": None, "token": None, "answers": None}),
        types=False,
        pad=1,
        type_vocab_size=1,
    ),
    *cases("electra", T.ElectraConfig, heads("Electra", replaced="ForPreTraining"), embedding_size=16),
    *cases("mpnet", T.MPNetConfig, heads("MPNet"), types=False, pad=1),
    *cases("modernbert", T.ModernBertConfig, heads("ModernBert"), types=False, sizes=MODERN),
    *cases(
        "modernbert",
        T.ModernBertConfig,
        heads("ModernBert", **{"masked-lm": None, "token": None, "answers": None}),
        types=False,
        sizes=MODERN,
        classifier_pooling="mean",
        classifier_bias=True,
        norm_bias=True,
        attention_bias=True,
        mlp_bias=True,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
    ),
    *cases("nomic_bert", T.NomicBertConfig, heads("NomicBert", answers=None), names=NomicNames()),
    *cases(
        "nomic_bert",
        T.NomicBertConfig,
        {"none": "NomicBertModel"},
        names=NomicNames(),
        written=NOMIC,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
    ),
    *cases(
        "nomic_bert",
        T.NomicBertConfig,
        {"none": "NomicBertModel"},
        types=False,
        names=BertLikeNames(),
        written={
            **SIZES,
            "model_type": "nomic_bert",
            "type_vocab_size": 0,
            "hidden_act": "swiglu",
            "position_embedding_type": "rotary",
            "rope_theta": 10000.0,
            "layer_norm_eps": 1e-12,
        },
        type_vocab_size=1,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
]


def rounded(x):
    if isinstance(x, float):
        return float(f"{x:.8g}")
    if isinstance(x, dict):
        return {key: rounded(value) for key, value in x.items()}
    return [rounded(value) for value in x] if isinstance(x, list) else x


versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
text = json.dumps(rounded({**versions, "cases": all_cases}), separators=(",", ":"))
path = Path(__file__).with_name("encoders.json.gz")
path.write_bytes(gzip.compress(text.encode(), mtime=0))
print(f"{len(all_cases)} cases, {path.stat().st_size >> 10} KiB")
