"""Tiny BERTs with random weights and what the pipelines of transformers answer with them.

    python test/reference/make-pipelines.py

writes test/reference/pipelines: a folder for each task, and expected.json. Made with transformers 5.24.0, torch 2.13.0.
Question answering is no pipeline of transformers 5: its scores are the formulas of Devlin et al. 2019, §4.2 here.
"""

import json
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    BertTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    pipeline,
)

out = Path(__file__).parent / "pipelines"
texts = [
    "Ada Lovelace wrote to Charles Babbage in London.",
    "The machine weaves algebraic patterns, just as the loom weaves flowers!",
    "short",
    "Überraschung in São Paulo: Ada 😀 writes unwritten programs.",
]
letters = "abcdefghijklmnopqrstuvwxyz"
words = "ada love charles london the machine weaves patterns just as loom flowers short in to wrote writes program".split()
vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,!:?", *letters, *("##" + c for c in letters), *words, "##lace", "##s", "##age"]
vocab = list(dict.fromkeys(vocab))

config = dict(
    vocab_size=len(vocab), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=64, initializer_range=0.6, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)
labels = {
    "sequence": ["ham", "spam", "eggs"],
    "token": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
}


def save(name, make, names=None):
    torch.manual_seed(len(name))
    named = dict(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)}) if names else {}
    model = make(BertConfig(**config, **named)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    folder = out / name
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    return model


out.mkdir(exist_ok=True)
tokenizer = BertTokenizerFast(vocab={t: i for i, t in enumerate(vocab)}, model_max_length=64)
expected = {"texts": texts}

model = save("sequence", BertForSequenceClassification, labels["sequence"])
classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
expected["text-classification"] = {
    "best": [classify(t)[0] for t in texts],
    "all": [classify(t, top_k=None) for t in texts],
    "sigmoid": [classify(t, top_k=None, function_to_apply="sigmoid") for t in texts],
    "none": [classify(t, top_k=None, function_to_apply="none") for t in texts],
}

model = save("token", BertForTokenClassification, labels["token"])
ner = pipeline("token-classification", model=model, tokenizer=tokenizer)
expected["token-classification"] = {
    s: [ner(t, aggregation_strategy=s) for t in texts] for s in ["none", "simple", "first", "average", "max"]
}
expected["token-classification"]["kept"] = [ner(t, ignore_labels=["I-PER", "B-LOC"]) for t in texts]

model = save("masked", BertForMaskedLM)
fill = pipeline("fill-mask", model=model, tokenizer=tokenizer)
masked = ["ada [MASK] the loom.", "the [MASK] weaves [MASK] patterns"]
expected["fill-mask"] = {"texts": masked, "five": [fill(t) for t in masked], "two": [fill(t, top_k=2) for t in masked]}

model = save("question", BertForQuestionAnswering)
questions = [
    {"question": "who wrote?", "context": texts[0]},
    {"question": "what weaves?", "context": " ".join(texts[:2]) + " " + texts[3]},
]


def answers(question, context, max_length, stride, max_answer):
    rows = tokenizer(
        question, context, max_length=max_length, stride=stride, truncation="only_second",
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )
    found = {}
    impossible = 1.0
    for i in range(len(rows["input_ids"])):
        ids = torch.tensor([rows["input_ids"][i]])
        with torch.no_grad():
            o = model(input_ids=ids, token_type_ids=torch.tensor([rows["token_type_ids"][i]]))
        readable = np.array([k == 0 or s == 1 for k, s in enumerate(rows.sequence_ids(i))])
        p = []
        for logits in (o.start_logits[0], o.end_logits[0]):
            x = np.where(readable, logits.double().numpy(), -np.inf)
            x = np.exp(x - x.max())
            p.append(x / x.sum())
        impossible = min(impossible, p[0][0] * p[1][0])
        words = rows.word_ids(i)
        inside = [k for k, s in enumerate(rows.sequence_ids(i)) if s == 1]
        for a in inside:
            for b in inside:
                if a <= b < a + max_answer:
                    start = min(rows["offset_mapping"][i][k][0] for k in inside if words[k] == words[a])
                    end = max(rows["offset_mapping"][i][k][1] for k in inside if words[k] == words[b])
                    score = float(p[0][a] * p[1][b])
                    if score > found.get((start, end), 0):
                        found[(start, end)] = score
    best = sorted(((s, a, b) for (a, b), s in found.items()), reverse=True)[:4]
    return {"answers": [dict(score=s, start=a, end=b, answer=context[a:b]) for s, a, b in best], "impossible": impossible}


expected["question-answering"] = [
    {**q, "maxLength": n, "stride": d, "maxAnswerLength": a, **answers(q["question"], q["context"], n, d, a)}
    for q in questions
    for n, d, a in [(64, 32, 15), (32, 8, 5)]
]

sentences = [t for t in texts if len(tokenizer(t)["input_ids"]) <= 32]
query = "who weaves the patterns?"
model = save("ranking", BertForSequenceClassification, ["LABEL_0"])
ranker = CrossEncoder(str(out / "ranking"), device="cpu")
expected["text-ranking"] = {
    "query": query,
    "ranked": [dict(index=r["corpus_id"], score=float(r["score"])) for r in ranker.rank(query, texts)],
}

model = save("embedding", BertModel)
expected["feature-extraction"] = {"sentences": sentences, "poolings": {}}
for name in ["mean", "cls", "lasttoken"]:
    encoder = Transformer(str(out / "embedding"), max_seq_length=32)
    embedder = SentenceTransformer(
        modules=[encoder, Pooling(encoder.get_embedding_dimension(), pooling_mode=name), Normalize()],
        prompts={"query": "the query: "}, device="cpu",
    )
    expected["feature-extraction"]["poolings"][name] = embedder.encode(sentences).tolist()
embedder[1] = Pooling(encoder.get_embedding_dimension(), pooling_mode="cls")
embedder.save(str(out / "embedding"), create_model_card=False)
expected["feature-extraction"]["saved"] = embedder.encode(sentences).tolist()
expected["feature-extraction"]["query"] = embedder.encode(sentences, prompt_name="query").tolist()
expected["feature-extraction"]["cut"] = embedder.encode(texts).tolist()
with torch.no_grad():
    o = model(**tokenizer(sentences[0], return_tensors="pt")).last_hidden_state[0]
expected["feature-extraction"]["tokens"] = o.tolist()

torch.manual_seed(3)
model = T5ForConditionalGeneration(T5Config(
    vocab_size=len(vocab), d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, initializer_factor=3.0,
    decoder_start_token_id=0, pad_token_id=0, eos_token_id=3,
)).eval()
model.config.task_specific_params = {"summarization": {"prefix": "patterns: "}}
model.generation_config.max_new_tokens = 12
model.save_pretrained(out / "text2text")
tokenizer.save_pretrained(out / "text2text")


def written(text, **options):
    ids = model.generate(**{k: v for k, v in tokenizer(text, return_tensors="pt").items() if k != "token_type_ids"}, **options)
    return tokenizer.decode(ids[0], skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()


expected["text2text-generation"] = {
    "greedy": [written(t) for t in texts],
    "beams": [written(t, num_beams=3, max_new_tokens=8, no_repeat_ngram_size=2) for t in texts],
    "summarization": [written("patterns: " + t) for t in texts],
}

# Offsets of Python count code points, those of JavaScript UTF-16 units.
units = lambda text, at: len(text[:at].encode("utf-16-le")) // 2
for rows in expected["token-classification"].values():
    for text, row in zip(texts, rows):
        for entity in row:
            entity["start"], entity["end"] = units(text, entity["start"]), units(text, entity["end"])
for q in expected["question-answering"]:
    for a in q["answers"]:
        a["start"], a["end"] = units(q["context"], a["start"]), units(q["context"], a["end"])
(out / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False, default=float) + "\n")
