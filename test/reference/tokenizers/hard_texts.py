"""Texts that tokenizers stumble over, the same every time: what people write, and random code points of every script.

A lone surrogate is written as such; JSON can hold it, UTF-8 can not: both sides read it as U+FFFD, as a browser does.
"""

import random

WRITTEN = [
    "",
    " ",
    "  ",
    "\n",
    "\t\t\n \r\n",
    "Hello, world!",
    " leading and trailing  ",
    "Hello  there\n\n\n  new   paragraph\t\ttabs",
    "I'm sure they're right; we've said it'll work, don't you'd agree? IT'S 'quoted' ''",
    "The 3 quick brown foxes jumped over 12345678901234567890 lazy dogs, 3.14159 times; 50% of $1,000.00",
    "http://example.com/a?b=c&d=%20#frag user@example.org C:\\path\\to\\file",
    "def f(x):\n    return x**2  # comment\n\n\tif x == 1: pass",
    "😀", "😀😁😂🤣", "👨‍👩‍👧‍👦 family", "🏳️‍🌈🏴‍☠️ flags 🇩🇪🇫🇷", "👍🏽 thumbs 👍🏿", "a😀b", "❤️ vs ❤", "\u200d\u200d", "1️⃣2️⃣",
    "你好，世界！", "我爱北京天安门", "東京は日本の首都です。", "カタカナ ひらがな ｶﾀｶﾅ", "안녕하세요 세계", "한국어", "𠀀𠀁 CJK extension B 𪜀𫝀", "漢字kanji混合",
    "〇々〆ヵヶ", "丽", "㍿ ㎏ ㈱", "ＡＢＣ１２３ ｆｕｌｌ ｗｉｄｔｈ",
    "مرحبا بالعالم", "שלום עולם", "العربية ١٢٣", "नमस्ते दुनिया", "สวัสดีชาวโลก", "Привет, мир! Ёлка", "Γειά σου Κόσμε ΟΔΟΣ ΣΣ ς", "ხელოვნება", "Tiếng Việt có dấu", "İstanbul Iğdır ıI",
    "\u202eright to left override\u202c", "\u200e\u200f marks",
    "café cafe\u0301 naïve nai\u0308ve", "e\u0301\u0302\u0303\u0304\u0305", "Z\u0351\u036b\u0343\u036aalgo\u0321\u0322\u0300", "\u0301 starts with a mark", "ÅÅÅ Å Ω Ω K", "ﬁ ﬂ ﬃ ſt ß ẞ Ĳ Ǆ", "ÀÉÎÕÜ àéîõü ÇçÑñ Øø Łł Đđ",
    "\x00", "a\x00b", "\x01\x02\x1f\x7f\x80\x9f", "\ufeffbyte order mark", "a\ufeffb", "soft\u00adhyphen", "zero\u200bwidth\u200cspace\u2060join", "no\u00a0break\u202fspace\u3000wide\u2003em\u2028line\u2029para", "\x0b\x0c\x85\x1c\x1d", "\ufffd replacement \ufffe\uffff", "\ue000\uf8ff private \U000f0000", "\u0378\u0379 unassigned \U000e0001",
    "a" * 100, "a" * 101, "a" * 300, " " * 7 + "x", " " * 64, "!" * 50, "ab" * 120, "\n" * 20, "-" * 80, "=" * 33 + ">", "ha" * 40 + " " + "lol" * 30, "é" * 60, "0" * 77, "😀" * 25, "我" * 40,
    "supercalifragilisticexpialidocious antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "\ud83d", "a\ud83db", "\ude00\ud83d", "😀\ud83d😀", "\udc00 low first", "\ud800\ud800\ud800",
    "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>", "<|endoftext", "<|ENDOFTEXT|>",
    "[CLS] a [SEP] b [SEP]", "[MASK]", "a [MASK] b[MASK]c", "[mask] [cls]", "[PAD][UNK]", "[ CLS ]",
    "</s>", "<s>hello</s>", "<unk> <pad>", "<extra_id_0> is <extra_id_1>", "a<extra_id_99>b", "<extra_id_100>",
    "▁", "▁▁a▁b", " ▁ ", "a ▁b", "##ing ## #", "Ġ Ċ Ģ ģ", "<0x0A><0x41>",
    "$€£¥₹ ±×÷≠≤≥∞ ∑∫√ → ⇒ ↔ ©®™ §¶†‡ …–—‘’“”«»", "`~^_|{}[]<>", "½ ⅓ ² ³ ⁴ ₅ Ⅷ ⅷ ① ㊉ ٣ ३", "a-b_c.d,e;f:g!h?i/j\\k", "...!!!???---___", "'s 't 're 've 'm 'll 'd 'S 'T", "＇ｓ",
    "don't!! can't.. \" quoted \" ( x ) [ y ]", "Mr. Smith's $5.00 , ok ? yes !  n't 'm 's",
    "aAbBcC ABC AbC iPhone HTML5 e-mail co-operate O'Neil", "x²+y²=z²", "H₂O", "ⓗⓔⓛⓛⓞ", "𝓗𝓮𝓵𝓵𝓸 𝟘𝟙𝟚", "ŉ ǰ ΐ", "\u1e9b\u0323", "각 각", "\u0958\u0959", "\u0f73\u0f75", "ﷺ ﷲ", "̈́", "\u0344", "Ǆǅǆ", "ﬀ", "\u2126\u212a\u212b",
]

RANGES = [
    (0x20, 0x7E), (0x20, 0x7E), (0x61, 0x7A), (0x00, 0x1F), (0x80, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF),
    (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x20A0, 0x214F),
    (0x2460, 0x24FF), (0x3000, 0x30FF), (0x3300, 0x33FF), (0x4E00, 0x4FFF), (0xAC00, 0xACFF), (0xF900, 0xFAFF), (0xFB00, 0xFB4F),
    (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F300, 0x1F64F), (0x20000, 0x2007F), (0x2F800, 0x2F87F), (0xE0000, 0xE007F),
]


def hard_texts(random_count=150, seed=1):
    draw = random.Random(seed)
    texts = list(WRITTEN)
    for _ in range(random_count):
        ranges = draw.sample(RANGES, draw.randint(1, 4))
        words = []
        for _ in range(draw.randint(1, 6)):
            low, high = draw.choice(ranges)
            words.append("".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 6))))
        texts.append(draw.choice(["", " ", " ", "\n"]).join(words))
    return texts


def as_unicode(text):
    """What can be encoded: surrogate pairs joined, lone ones replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
