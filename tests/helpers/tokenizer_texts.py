"""Texts that tokenizers have stumbled over."""

import unicodedata

PLAIN = [
    "Hello, my dog is cute",
    "The capital of France is [MASK].",
    "Who was Jim Henson? Jim Henson was a nice puppet",
    "don't (really) -- unaffable!? $5.00 #tag a@b.c",
]
COMPOSED = ["café naïve Ångström résumé İstanbul ŞİŞLİ straße", "Việt Nam ṩ ẛ̣ q̣̇ q̣̇", "한국어 각 ㄱㅏ ガギグ ｶﾞ"]
MARKS = [
    *(unicodedata.normalize(form, text) for text in COMPOSED for form in ("NFC", "NFD", "NFKC", "NFKD")),
    "e\u0301\u0323 e\u0323\u0301 a\u0315\u0300\u05ae\u0300b \u0301alone \u0344\u0323",
    "\u302e가\u302f \U0001d165\U0001d16d",
    "Z\u0351\u036b\u0343\u036a\u0302\u036ba\u0323\u0301\u0334l\u0360\u0321go",
]
INVISIBLE = [
    "a\u200bb a\u200cb a\u200db a\u2060b \ufeffbom soft\u00adhyphen",
    "tab\tline\nfeed\rreturn\x0bvt\x0cff\x1cfs\x85nel\u2028ls\u2029ps\xa0nbsp\u3000wide\u1680ogham",
    "nul\x00inside \x00 \x01\x02 \x7f \ufffd \ue000private \U000e0041tag \U000e0100variation",
    "\u202eright to left override\u202c \u061c \u180e",
]
SCRIPTS = [
    "中文字和日本語のテキスト、全角。𠀀𪚥𫝀𫠠\U0002b91f\U0002b920 豈",
    "שָׁלוֹם עולם مَرْحَبًا بالعالم ﷺ",
    "नमस्ते दुनिया க்ஷ ಕನ್ನಡ ശ്രീ বাংলা",
    "สวัสดีชาวโลก ກຂຄ ခမာ",
    "ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ ΑΣ Σ ДОБРЫЙ Ⴀ \u13a0 \uab70 𐐀 𞤀 Ა \U00010570\u2c2f\ua7c0\u1c89",
]
EMOJI = ["😀😃 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 1️⃣ ☺️ a😀b", "♥ ✓ → ∑ ½ ² ℃ ﬁ Ⅷ ㎏ ①"]
NEW_UNICODE = ["\u0378 \U0001fabc \u0870 \U00011f00 \u1acf \u08d4a \u2e43x \U00010ead \u0c3c \U0001e94a"]
SPECIAL = [
    "[MASK]",
    "a[MASK]b[MASK][MASK]c [mask] [MASK",
    "[CLS] a [SEP] b [SEP]",
    "[PAD][UNK] x[UNK]y",
    "[ MASK ] [[MASK]] ##able ## #",
]
LONG = ["a" * 10_000, "a" * 100, "a" * 101, "é" * 100 + " " + "e\u0301" * 100, "." * 300, "ab" * 60 + " x"]
BLANK = ["", " ", "\n\t ", "\u200b", "\x00", "\u3000", "\u0301", "\ufffd"]
SURROGATES = ["a\ud800b", "\udfff", "\ud83d\ude00", "x \udc80 y"]

UTF8 = [*PLAIN, *COMPOSED, *MARKS, *INVISIBLE, *SCRIPTS, *EMOJI, *NEW_UNICODE, *SPECIAL, *LONG, *BLANK]
EVERY = [*UTF8, *SURROGATES]
