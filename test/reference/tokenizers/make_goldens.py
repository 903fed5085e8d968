"""Makes goldens.json.gz: what Hugging Face's tokenizers give for hard texts, by trimmed and by trained tokenizers.

    python -m venv .venv && .venv/bin/pip install tokenizers
    .venv/bin/python test/reference/tokenizers/make_goldens.py <folder with gpt2, bert-base-uncased-vocab, t5-small> <a text to train on>

Made with tokenizers 0.23.3. GPT-2's vocabulary is MIT (OpenAI), BERT's and T5's are Apache-2.0 (Google); only a part of each
is kept, with new ids. Not part of the test suite: neither users nor CI need Python.
"""

import gzip
import json
import pathlib
import random
import sys

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hard_texts import as_unicode, hard_texts

source = pathlib.Path(sys.argv[1])
corpus = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
here = pathlib.Path(__file__).parent


def read(name):
    config = json.loads((source / name / "tokenizer.json").read_text(encoding="utf-8"))
    config["truncation"] = config["padding"] = None
    return config


def renumber(config, kept):
    """`kept`: tokens in their new order; added tokens that are not among them follow."""
    ids = {token: i for i, token in enumerate(kept)}
    added = [token for token in config["added_tokens"] if token["content"] in ids or not token["content"].startswith("<extra") or token["id"] > 32090]
    for token in added:
        token["id"] = ids.setdefault(token["content"], len(ids))
    config["added_tokens"] = sorted(added, key=lambda token: token["id"])
    for special in (config["post_processor"].get("special_tokens") or {}).values():
        special["ids"] = [ids[token] for token in special["tokens"]]
    return ids


def gpt2():
    config = read("gpt2")
    merges = config["model"]["merges"][:2500]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    by_id = sorted(config["model"]["vocab"], key=config["model"]["vocab"].get)
    ids = renumber(config, by_id[:256] + ["".join(pair) for pair in pairs])
    config["model"].update(vocab=ids, merges=merges)
    return config


def bert():
    config = read("bert-base-uncased-vocab")
    by_id = sorted(config["model"]["vocab"], key=config["model"]["vocab"].get)
    kept = [t for i, t in enumerate(by_id) if (not t.startswith("[unused")) and (i < 4000 or len(t.removeprefix("##")) == 1)]
    config["model"]["vocab"] = renumber(config, kept)
    return config


def t5():
    config = read("t5-small")
    vocab = config["model"]["vocab"]
    kept = [entry for i, entry in enumerate(vocab) if i < 3000 or len(entry[0]) == 1]
    ids = renumber(config, [piece for piece, _ in kept])
    config["model"]["vocab"] = kept
    config["model"]["unk_id"] = ids["<unk>"]
    return config


def trained(model, trainer, **parts):
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        if name != "post_processor":
            setattr(tokenizer, name, part)
    tokenizer.train_from_iterator([corpus], trainer)
    if "post_processor" in parts:
        tokenizer.post_processor = parts["post_processor"](tokenizer)
    return json.loads(tokenizer.to_str())


def bpe(size, special, **options):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False, **options)


BYTES = pre_tokenizers.ByteLevel.alphabet()
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def llama2():
    """As converted from SentencePiece: one word for all, byte fallback, a space put before."""
    config = trained(
        models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
        bpe(700, ["<unk>", "<s>", "</s>", *BYTE_TOKENS]),
        pre_tokenizer=pre_tokenizers.Metaspace(),
        post_processor=lambda t: processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", t.token_to_id("<s>"))]
        ),
        decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]),
    )
    config["pre_tokenizer"] = None
    config["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    config["added_tokens"] = [token for token in config["added_tokens"] if not token["content"].startswith("<0x")]
    return config


def variants():
    yield "llama2-style", llama2()
    yield "llama3-style", trained(
        models.BPE(ignore_merges=True),
        bpe(900, ["<|begin|>", "<|end|>"], initial_alphabet=BYTES),
        pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]),
        post_processor=lambda t: processors.Sequence(
            [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|>:1 $B:1", special_tokens=[("<|begin|>", t.token_to_id("<|begin|>"))])]
        ),
        decoder=decoders.ByteLevel(),
    )
    yield "roberta-style", trained(
        models.BPE(),
        bpe(900, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], initial_alphabet=BYTES),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True),
        post_processor=lambda t: processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=True),
        decoder=decoders.ByteLevel(),
    )
    yield "clip-style", trained(
        models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False),
        bpe(600, ["<unk>"], end_of_word_suffix="</w>"),
        normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase(), normalizers.Strip()]),
        pre_tokenizer=pre_tokenizers.Split(Regex(r"'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
        decoder=decoders.BPEDecoder("</w>"),
    )
    yield "words", trained(
        models.WordLevel(unk_token="[UNK]"),
        trainers.WordLevelTrainer(vocab_size=400, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False),
        normalizer=normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]),
        pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True), pre_tokenizers.Punctuation("merged_with_previous")]),
        post_processor=lambda t: processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
    )
    yield "unigram-bytes", unigram_bytes()
    yield "metaspace-first", trained(
        models.BPE(unk_token="<unk>", fuse_unk=True),
        bpe(500, ["<unk>", "</s>"]),
        normalizer=normalizers.NFKC(),
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"),
        decoder=decoders.Metaspace(prepend_scheme="first"),
    )
    yield "wordpiece-cased", trained(
        models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40),
        trainers.WordPieceTrainer(vocab_size=500, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False),
        normalizer=normalizers.BertNormalizer(lowercase=False, strip_accents=True),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )


def unigram_bytes():
    vocab = [("<unk>", 0.0), ("</s>", 0.0), *((token, -20.0) for token in BYTE_TOKENS), ("▁", -3.0)]
    vocab += [(character, -4.0 - i / 100) for i, character in enumerate("etaoinshrdlucmwfgypbvk")]
    vocab += [("▁the", -4.5), ("he", -6.1), ("th", -6.2), ("ing", -5.5), ("▁an", -6.0), ("and", -6.3), ("▁and", -5.9), ("aa", -7.0), ("aaaa", -9.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Nmt()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return json.loads(tokenizer.to_str())


def add_tokens(config):
    """Tokens of every kind that is found in text."""
    tokenizer = Tokenizer.from_str(json.dumps(config))
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken("lol", single_word=True), AddedToken("Prime Minister"), AddedToken("naïve", normalized=False), AddedToken("!!", lstrip=True)])
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True), AddedToken("<|endoftext|>"), AddedToken("<extra_id_1>", rstrip=True)])
    return json.loads(tokenizer.to_str())


def goldens(name, config, texts):
    tokenizer = Tokenizer.from_str(json.dumps(config))
    size = max(tokenizer.get_vocab().values()) + 1
    draw = random.Random(name)
    given = [as_unicode(text) for text in texts]
    encoded = [tokenizer.encode(text) for text in given]
    pairs = [tokenizer.encode(a, b) for a, b in zip(given[:40], given[40:80])]
    known = [i for i in range(size) if tokenizer.id_to_token(i) is not None]
    drawn = [[draw.choice(known) for _ in range(draw.randint(1, 12))] for _ in range(60)]
    return {
        "tokenizer": config,
        "ids": [e.ids for e in encoded],
        "offsets": [[x for pair in e.offsets for x in pair] for e in encoded],
        "words": [e.word_ids for e in encoded],
        "pairs": [[e.ids, e.type_ids, e.sequence_ids] for e in pairs],
        "plain": [tokenizer.encode(text, add_special_tokens=False).ids for text in given[:60]],
        "decoded": [tokenizer.decode(e.ids, skip_special_tokens=False) for e in encoded],
        "skipped": [tokenizer.decode(e.ids) for e in encoded],
        "drawn": [[ids, tokenizer.decode(ids, skip_special_tokens=False)] for ids in drawn],
    }


texts = hard_texts()
configs = [("gpt2", gpt2()), ("bert", bert()), ("t5", t5()), *variants()]
result = {"texts": texts, "tokenizers": {name: goldens(name, config, texts) for name, config in configs}}
for name in ("llama3-style", "wordpiece-cased", "metaspace-first"):
    result["tokenizers"][f"{name}-added"] = goldens(name, add_tokens(dict(configs)[name]), texts)
path = here / "goldens.json.gz"
path.write_bytes(gzip.compress(json.dumps(result, ensure_ascii=True, separators=(",", ":")).encode(), 9, mtime=0))
print(path.stat().st_size, "bytes", len(texts), "texts", len(result["tokenizers"]), "tokenizers")
