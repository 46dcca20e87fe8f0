"""Vocabularies as fixtures; see ``helpers.vocabularies``."""

import pytest

from helpers.vocabularies import SHARED_VOCAB, made_vocab


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
