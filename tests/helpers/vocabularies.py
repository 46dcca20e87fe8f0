"""Vocabularies: a small one made here, and where BERT's own may be."""

from pathlib import Path

SHARED_VOCAB = Path(__file__).resolve().parents[3] / "shared" / "data" / "vocab"

WORDS = (
    "the a of and to in is it hello world my dog cute un ##aff ##able run ##ning ##s don ' t , . ! ? - ( ) [ ] "
    "paris france capital who was jim he ##n ##son nice pup ##pet ##eer cafe straße strasse i ##i x ##x y ##y "
    "中 文 字 日 本 ##本 あ ##あ 가 ᄀ ##ᅡ Σ \u03c3 ##\u03c3 ##ς é e ##e ##é "
    "😀 ##😀 ส ว ##ว ##ั ส ##ด ##ี क ##ा ##् ש ##ל م ##ر"
)
LETTERS = (
    [chr(c) for c in range(ord("a"), ord("z") + 1)] + [str(d) for d in range(10)] + [chr(c) for c in range(65, 91)]
)


def made_vocab() -> dict[str, int]:
    """Special tokens, then every letter and digit alone and inside words, then some words."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += LETTERS + [f"##{letter}" for letter in LETTERS] + WORDS.split()
    return {token: id_ for id_, token in enumerate(dict.fromkeys(tokens))}
