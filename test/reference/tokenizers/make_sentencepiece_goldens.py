"""Makes sentencepiece.json.gz: small models trained with SentencePiece, and what it gives for hard texts.

    python -m venv .venv && .venv/bin/pip install sentencepiece protobuf
    .venv/bin/python test/reference/tokenizers/make_sentencepiece_goldens.py <a text to train on>

Made with sentencepiece 0.2.3.
"""

import base64
import gzip
import io
import json
import pathlib
import random
import sys

import sentencepiece

from hard_texts import as_unicode, hard_texts

lines = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
here = pathlib.Path(__file__).parent
MODELS = {
    "unigram": {"model_type": "unigram", "vocab_size": 600},
    "llama": {"model_type": "bpe", "vocab_size": 700, "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "split_digits": True, "allow_whitespace_only_pieces": True},
    "bpe-symbols": {"model_type": "bpe", "vocab_size": 400, "normalization_rule_name": "identity", "user_defined_symbols": ["<sep>", "lol"], "control_symbols": ["<ctrl>"], "pad_id": 3},
    "unigram-bytes": {"model_type": "unigram", "vocab_size": 600, "byte_fallback": True, "add_dummy_prefix": False, "normalization_rule_name": "identity", "user_defined_symbols": ["[MASK]"]},
}
texts = [text for text in hard_texts() if "\0" not in text]
result = {"texts": texts, "models": {}}
for name, options in MODELS.items():
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=written, minloglevel=2, num_threads=1, **options)
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    ids = [model.encode(as_unicode(text)) for text in texts]
    draw = random.Random(name)
    drawn = [[draw.randrange(model.vocab_size()) for _ in range(draw.randint(1, 10))] for _ in range(60)]
    result["models"][name] = {
        "model": base64.b64encode(written.getvalue()).decode(),
        "ids": ids,
        "decoded": [model.decode(i) for i in ids],
        "drawn": [[i, model.decode(i)] for i in drawn],
        "special": {"bos": model.bos_id(), "eos": model.eos_id(), "unk": model.unk_id(), "pad": model.pad_id()},
    }
path = here / "sentencepiece.json.gz"
path.write_bytes(gzip.compress(json.dumps(result, ensure_ascii=True, separators=(",", ":")).encode(), 9, mtime=0))
print(path.stat().st_size, "bytes", len(texts), "texts")
