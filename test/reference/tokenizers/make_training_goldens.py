"""Makes training.json: what Hugging Face's trainers learn from the beginning of examples/tinyshakespeare.txt.

    python -m venv .venv && .venv/bin/pip install tokenizers
    .venv/bin/python test/reference/tokenizers/make_training_goldens.py

Made with tokenizers 0.23.3. With another text as the argument it only prints, for a comparison by hand.
"""

import json
import pathlib
import sys

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

here = pathlib.Path(__file__).parent
text = pathlib.Path(sys.argv[1]).read_bytes().decode() if len(sys.argv) > 1 else (here / "../../../examples/tinyshakespeare.txt").read_text()[:200_000]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CUTS = {
    "gpt2": pre_tokenizers.ByteLevel(False),
    "llama3": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]),
}


def bpe(cut, size, special, frequency):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = CUTS[cut]
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=size, special_tokens=special, min_frequency=frequency, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    return {"options": {"preTokenizer": cut, "vocabSize": size, "specialTokens": special, "minFrequency": frequency}, "merges": [" ".join(m) for m in model["merges"]], "size": len(model["vocab"])}


def wordpiece(size):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator([text], trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False))
    return {"options": {"vocabSize": size}, "vocab": sorted(tokenizer.get_vocab())}


if len(sys.argv) > 1:
    print(json.dumps(bpe("gpt2", 5000, [], 0)))
else:
    result = {"bpe": [bpe("gpt2", 1000, ["<|endoftext|>", "<pad>"], 0), bpe("llama3", 600, [], 2), bpe("gpt2", 3000, [], 40)], "wordpiece": wordpiece(600)}
    (here / "training.json").write_text(json.dumps(result, indent=1) + "\n")
    print([(len(one["merges"]), one["size"]) for one in result["bpe"]], len(result["wordpiece"]["vocab"]))
