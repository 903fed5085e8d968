"""Makes seq2seq.json.gz: what transformers computes, in float64, for tiny encoder-decoder models of every family.

    python test/reference/make-seq2seq.py      (needs torch and transformers; 2.13.0 and 5.24.0 made the committed file)

Weights are not stored: both sides make them from the names that they have in checkpoints, as weight-values.ts does.
"""

import gzip
import json
from pathlib import Path

import torch
import transformers
from golden_numbers import numbers, summary

transformers.utils.logging.set_verbosity_error()
V = 40


def weight(name, shape):
    """Weights of norms stand around 1."""
    layer = name.lower().split(".")[-2] if "." in name else ""
    return numbers(name, shape) + (1 if name.endswith(".weight") and "norm" in layer else 0)


def ids(name, shape):
    return (3 + (numbers(name, shape) + 0.25) * 2 * (V - 4)).long()


def padded(lengths, width, left=False):
    columns = torch.arange(width)[None, :]
    ends = torch.tensor(lengths)[:, None]
    return ((columns >= width - ends) if left else (columns < ends)).long()


def set_weights(model):
    named = dict(model.named_parameters())
    named |= {name: x for name, x in model.named_buffers() if name == "final_logits_bias"}
    named = {name: x for name, x in named.items() if "embed_positions" not in name or x.requires_grad}
    with torch.no_grad():
        for name, x in named.items():
            x.copy_(weight(name, x.shape))
    return {name: list(x.shape) for name, x in named.items()}


def generations(model, source, mask):
    """Each way to generate, with what it gives: what follows the decoder's first token."""
    first = {} if model.config.model_type != "mbart" else {"decoder_start_token_id": 7}
    plain = model.generate(input_ids=source, attention_mask=mask, max_new_tokens=12, do_sample=False, eos_token_id=None, **first)
    # What ends a text has to come up, so it is a token that does.
    seen = [token for token in plain[0].tolist()[4:] if token > 2] or [5]
    ends = {"eos_token_id": seen[0]}
    ways = [
        {"eos_token_id": None},
        ends,
        {**ends, "num_beams": 4},
        {**ends, "num_beams": 3, "length_penalty": 2.0, "early_stopping": True},
        {**ends, "num_beams": 3, "length_penalty": -1.0, "early_stopping": "never"},
        {**ends, "num_beams": 2, "no_repeat_ngram_size": 2, "min_new_tokens": 5},
        {"eos_token_id": None, "repetition_penalty": 1.5},
        {"eos_token_id": None, "no_repeat_ngram_size": 2},
        {**ends, "num_beams": 2, "forced_bos_token_id": 9, "forced_eos_token_id": seen[0]},
        {"eos_token_id": None, "num_beams": 2, "repetition_penalty": 1.3, "bad_words_ids": [[seen[0]]]},
    ]
    made = []
    for way in ways:
        rows = model.generate(input_ids=source, attention_mask=mask, max_new_tokens=12, do_sample=False, **first, **way)
        made.append({"options": {**first, **way}, "tokens": rows[:, 1:].tolist()})
    return made


def case(name, architecture, config, labels, left=False, lengths=(9, 6, 4), written=None, untied=False):
    config._attn_implementation = "eager"
    model = getattr(transformers, architecture)(config)
    if untied:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    model = model.double().eval()
    weights = set_weights(model)
    mask = padded(lengths, max(lengths), left)
    pad = config.pad_token_id
    source = torch.where(mask.bool(), ids(f"{name} source", mask.shape), pad)
    outputs = model(input_ids=source, attention_mask=mask, labels=labels, output_hidden_states=True, output_attentions=True)
    outputs.loss.backward()
    seen = mask.bool()
    within = lambda x: x[(seen[:, None, :, None] & seen[:, None, None, :]).expand(x.shape)]
    across = lambda x: x[seen[:, None, None, :].expand(x.shape)]
    config_json = written or {**config.to_dict(), "architectures": [architecture]}
    return {
        "name": name,
        "config": {key: value for key, value in config_json.items() if value is not None},
        "weights": weights,
        "inputs": {"input_ids": source.tolist(), "attention_mask": mask.tolist(), "labels": labels.tolist()},
        "encoder_states": [summary(x[mask.bool()]) for x in outputs.encoder_hidden_states],
        "decoder_states": [summary(x) for x in outputs.decoder_hidden_states],
        "encoder_attentions": [summary(within(x)) for x in outputs.encoder_attentions],
        "decoder_attentions": [summary(x) for x in outputs.decoder_attentions],
        "cross_attentions": [summary(across(x)) for x in outputs.cross_attentions],
        "logits": outputs.logits.tolist(),
        "loss": outputs.loss.item(),
        "gradients": {n: summary(p.grad) for n, p in model.named_parameters() if p.grad is not None},
        "generate": generations(model, source, mask),
    }


def with_head(name, architecture, config):
    """Of what says something about one text, which ends with the token 2."""
    config._attn_implementation = "eager"
    config.num_labels = 2 if architecture.endswith("QuestionAnswering") else 3
    model = getattr(transformers, architecture)(config).double().eval()
    weights = set_weights(model)
    is_answer = architecture.endswith("QuestionAnswering")
    is_bare, is_token = architecture.endswith("EncoderModel"), architecture.endswith("TokenClassification")
    mask = padded((7, 7) if is_answer else (9, 6, 4), 7 if is_answer else 9)
    source = torch.where(mask.bool(), ids(f"{name} source", mask.shape), config.pad_token_id)
    for row, length in zip(source, mask.sum(1)):
        row[length - 1] = 2
    labels = (
        {"start_positions": torch.tensor([2, 0]), "end_positions": torch.tensor([4, 6])}
        if is_answer
        else {}
        if is_bare
        else {"labels": torch.where(mask.bool(), source % 3, -100) if is_token else torch.tensor([2, 0, 1])}
    )
    outputs = model(input_ids=source, attention_mask=mask, **labels)
    if is_bare:
        return {
            "name": name,
            "config": {k: v for k, v in {**config.to_dict(), "architectures": [architecture]}.items() if v is not None},
            "weights": weights,
            "inputs": {"input_ids": source.tolist(), "attention_mask": mask.tolist()},
            "last_hidden_state": (outputs.last_hidden_state * mask[:, :, None]).tolist(),
        }
    outputs.loss.backward()
    logits = torch.stack([outputs.start_logits, outputs.end_logits], -1) if is_answer else outputs.logits
    if is_token:
        logits = logits * mask[:, :, None]
    return {
        "name": name,
        "config": {k: v for k, v in {**config.to_dict(), "architectures": [architecture]}.items() if v is not None},
        "weights": weights,
        "inputs": {k: v.tolist() for k, v in {"input_ids": source, "attention_mask": mask, **labels}.items()},
        "logits": logits.tolist(),
        "loss": outputs.loss.item(),
        "gradients": {n: summary(p.grad) for n, p in model.named_parameters() if p.grad is not None},
    }


def targets(name, lengths, width, last=None):
    kept = padded(lengths, width)
    labels = torch.where(kept.bool(), ids(f"{name} target", kept.shape), -100)
    if last is not None:
        for i, length in enumerate(lengths):
            labels[i, length - 2], labels[i, length - 1] = last
    return labels


T = transformers
t5 = dict(vocab_size=V, d_model=32, d_kv=12, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0,
          relative_attention_num_buckets=8, relative_attention_max_distance=20, dropout_rate=0.0)
v1_1 = {**t5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
bart = dict(vocab_size=V, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=24,
            dropout=0.0, activation_dropout=0.0, attention_dropout=0.0, forced_eos_token_id=None)
marian = {**bart, "activation_function": "swish", "pad_token_id": V - 1, "decoder_start_token_id": V - 1,
          "scale_embedding": True}
two = targets("two", (7, 5, 6), 7)

all_cases = [
    case("t5, longer than its distances", "T5ForConditionalGeneration", T.T5Config(**{**t5, "num_decoder_layers": 1}),
         targets("long", (33, 20), 33), lengths=(45, 30)),
    case("t5 1.1, as published", "T5ForConditionalGeneration", T.T5Config(**v1_1), two, untied=True,
         written={**v1_1, "model_type": "t5", "is_encoder_decoder": True, "pad_token_id": 0, "eos_token_id": 1,
                  "architectures": ["T5ForConditionalGeneration"]}),
    case("t5 1.1, as transformers 5 writes it", "T5ForConditionalGeneration", T.T5Config(**v1_1), two, untied=True),
    case("t5 1.1, tied by transformers 5, padded on the left", "T5ForConditionalGeneration", T.T5Config(**v1_1), two,
         left=True),
    case("bart, other sizes in the decoder, padded on the left", "BartForConditionalGeneration",
         T.BartConfig(**{**bart, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 40,
                         "scale_embedding": True, "activation_function": "relu"}), two, left=True),
    case("bart", "BartForConditionalGeneration", T.BartConfig(**bart), two),
    case("mbart", "MBartForConditionalGeneration", T.MBartConfig(**{**bart, "scale_embedding": True}),
         targets("mbart", (7, 5, 6), 7, last=(2, 7))),
    case("marian", "MarianMTModel", T.MarianConfig(**marian), two),
    case("marian, two vocabularies", "MarianMTModel",
         T.MarianConfig(**{**marian, "share_encoder_decoder_embeddings": False, "decoder_vocab_size": V + 2}), two),
]

ending = {**t5, "eos_token_id": 2}
heads = [
    with_head("t5, classes", "T5ForSequenceClassification", T.T5Config(**ending)),
    with_head("t5, tokens", "T5ForTokenClassification", T.T5Config(**ending)),
    with_head("t5, answers", "T5ForQuestionAnswering", T.T5Config(**ending)),
    with_head("t5 1.1, answers", "T5ForQuestionAnswering", T.T5Config(**{**v1_1, "eos_token_id": 2})),
    with_head("t5, the encoder alone", "T5EncoderModel", T.T5Config(**ending)),
    with_head("t5 1.1, the encoder alone", "T5EncoderModel", T.T5Config(**v1_1)),
    with_head("bart, classes", "BartForSequenceClassification", T.BartConfig(**bart)),
    with_head("bart, answers", "BartForQuestionAnswering", T.BartConfig(**bart)),
    with_head("mbart, classes", "MBartForSequenceClassification", T.MBartConfig(**bart)),
    with_head("mbart, answers", "MBartForQuestionAnswering", T.MBartConfig(**bart)),
]


def rounded(x):
    if isinstance(x, float):
        return float(f"{x:.8g}")
    if isinstance(x, dict):
        return {key: rounded(value) for key, value in x.items()}
    return [rounded(value) for value in x] if isinstance(x, list) else x


versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
text = json.dumps(rounded({**versions, "cases": all_cases, "heads": heads}), separators=(",", ":"))
path = Path(__file__).with_name("seq2seq.json.gz")
path.write_bytes(gzip.compress(text.encode(), mtime=0))
print(f"{len(all_cases)} cases, {path.stat().st_size >> 10} KiB")
for made in all_cases:
    print(made["name"], [g["tokens"][0] for g in made["generate"]][1:4])
