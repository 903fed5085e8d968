"""Makes vocabularies.json.gz: small vocabularies in the files that were used before tokenizer.json, and what the
tokenizers of transformers make of hard texts with them.

    python test/reference/tokenizers/make_vocabulary_goldens.py <a text to train on>

Made with transformers 5.24.0, tokenizers 0.23.3, sentencepiece 0.2.3.
"""

import base64
import gzip
import io
import json
import pathlib
import sys
import tempfile

import sentencepiece
from tokenizers import ByteLevelBPETokenizer, BertWordPieceTokenizer
from transformers import AutoTokenizer, BertTokenizer, GPT2Tokenizer, MarianTokenizer, MPNetTokenizer, RobertaTokenizer

from hard_texts import as_unicode, hard_texts

here = pathlib.Path(__file__).parent
lines = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
texts = hard_texts()[:150]
folder = pathlib.Path(tempfile.mkdtemp())
result = {"texts": texts, "kinds": {}}


def golden(name, tokenizer, files, config, takes_pairs=True):
    clean = [as_unicode(text) for text in texts]
    ids = [tokenizer(text)["input_ids"] for text in clean]
    result["kinds"][name] = {
        "files": {file: base64.b64encode(content).decode() for file, content in files.items()},
        "config": config,
        "ids": ids,
        "pair": tokenizer("one two", "three")["input_ids"] if takes_pairs else None,
        "targets": None if takes_pairs else [tokenizer(text_target=text)["input_ids"] for text in clean],
        "decoded": [tokenizer.decode(i, skip_special_tokens=True, clean_up_tokenization_spaces=False) for i in ids],
    }


def spm(vocab_size):
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=written, minloglevel=2, num_threads=1, vocab_size=vocab_size)
    return written.getvalue()


def pieces(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(i) for i in range(processor.vocab_size())]


source, target = spm(400), spm(300)
shared = ["</s>", "<unk>", ">>fr<<", *sorted(set(pieces(source)[5:] + pieces(target)[3:]) - {"</s>", "<unk>", "<s>"}), "<pad>"]
files = {"source.spm": source, "target.spm": target, "vocab.json": json.dumps({piece: i for i, piece in enumerate(shared)}).encode()}
for name, content in files.items():
    (folder / name).write_bytes(content)
golden("marian", MarianTokenizer(*[str(folder / name) for name in files]), files, {"tokenizer_class": "MarianTokenizer"}, False)

xlmr = folder / "xlmr"
xlmr.mkdir()
files = {"sentencepiece.bpe.model": source}
(xlmr / "sentencepiece.bpe.model").write_bytes(source)
config = {"tokenizer_class": "XLMRobertaTokenizer"}
(xlmr / "tokenizer_config.json").write_text(json.dumps(config))
(xlmr / "config.json").write_text(json.dumps({"model_type": "xlm-roberta"}))
golden("xlm-roberta", AutoTokenizer.from_pretrained(xlmr), files, config)

trained = BertWordPieceTokenizer()
trained.train_from_iterator(lines, vocab_size=400, min_frequency=1, limit_alphabet=200, show_progress=False)
vocab = [token for token, _ in sorted(trained.get_vocab().items(), key=lambda entry: entry[1])]
text = "\n".join(vocab) + "\n"
ids = {token: i for i, token in enumerate(vocab)}
golden("bert", BertTokenizer(vocab=ids), {"vocab.txt": text.encode()}, {})
cased = {"do_lower_case": False, "tokenize_chinese_chars": False}
golden("bert-cased", BertTokenizer(vocab=ids, **cased), {"vocab.txt": text.encode()}, cased)
mpnet = ["<s>", "<pad>", "</s>", *vocab[1:2], *vocab[5:], "<mask>"]
ids = {token: i for i, token in enumerate(mpnet)}
golden("mpnet", MPNetTokenizer(vocab=ids), {"vocab.txt": "\n".join(mpnet).encode()}, {"tokenizer_class": "MPNetTokenizer"})

for name, make, special in [
    ("gpt2", GPT2Tokenizer, ["<|endoftext|>"]),
    ("roberta", RobertaTokenizer, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]),
]:
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(lines, vocab_size=400, special_tokens=special, show_progress=False)
    trained.save_model(str(folder))
    files = {file: (folder / file).read_bytes() for file in ["vocab.json", "merges.txt"]}
    merges = [tuple(line.split(" ")) for line in files["merges.txt"].decode().splitlines() if line and not line.startswith("#version")]
    golden(name, make(vocab=json.loads(files["vocab.json"]), merges=merges), files, {})

path = here / "vocabularies.json.gz"
path.write_bytes(gzip.compress(json.dumps(result, ensure_ascii=True, separators=(",", ":")).encode(), 9, mtime=0))
print(path.stat().st_size, "bytes", len(texts), "texts")
