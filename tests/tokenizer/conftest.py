"""Vocabularies: a small one made here, and BERT's own where they are at hand."""

from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def vocab() -> dict[str, int]:
    return made_vocab()


@pytest.fixture(scope="session")
def vocab_file(tmp_path_factory: pytest.TempPathFactory, vocab: dict[str, int]) -> str:
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in vocab), encoding="utf-8")
    return str(path)


@pytest.fixture(params=["uncased", "cased", "chinese"], scope="session")
def released(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A released BERT vocabulary and whether its model lowercases."""
    path = SHARED_VOCAB / f"bert-{request.param}.txt"
    if not path.is_file():
        pytest.skip(f"no {path.name} at hand")
    return str(path), request.param != "cased"
