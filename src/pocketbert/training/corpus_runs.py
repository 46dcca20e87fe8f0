"""What runs on unlabeled text have in common: rows, masks, and how a model that predicts words is scored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError
from pocketbert.evaluation.scoring import scores
from pocketbert.settings.runs import CorpusRun
from pocketbert.torch.runner import TorchRunner
from pocketbert.training.batches import Padder
from pocketbert.training.callbacks import Callback
from pocketbert.training.corpus import corpus_files, read_corpus, texts_of
from pocketbert.training.masking import Masker, rarity
from pocketbert.training.objectives.objective import Objective
from pocketbert.training.phases import Phase
from pocketbert.training.sentence_pairs import read_pairs
from pocketbert.training.session import Session
from pocketbert.training.tables import digest

__all__ = ["corpus_session", "names_of"]


def names_of(corpus: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Return one name or several as the setting ``corpus`` has them."""
    return tuple(os.fspath(each) for each in ([corpus] if isinstance(corpus, (str, Path)) else corpus))


def corpus_session(
    settings: CorpusRun,
    model: Any,
    tokenizer: Any,
    objective: Objective | Sequence[Phase],
    callbacks: Sequence[Callback],
    *made_of: str,
    pairs: bool = False,
) -> Session:
    """Return a run of a model on the rows of a corpus, with hidden words.

    Args:
        settings: of the run.
        model: what is trained.
        tokenizer: its tokenizer.
        objective: what is minimized; phases, where that changes on the way.
        callbacks: who listens.
        *made_of: names for what else the run is made of, such as a teacher's weights.
        pairs: make rows of pairs of texts; see ``sentence_pairs``.
    """
    limit = row_limit(settings, model.config)
    rows = (settings.corpus, tokenizer, limit, settings.min_length, settings.most_unknown)
    corpus = read_pairs(*rows, settings.seed) if pairs else read_corpus(*rows)
    weights = None
    if settings.masking == "distilbert":
        weights = rarity(corpus.counts, tokenizer.all_special_ids, settings.mask_smoothing)
    pad = Padder(tokenizer.pad_token_id or 0)
    hide = Masker(pad, tokenizer, settings.seed, settings.masking, settings.mask_share, weights)
    names = [] if settings.eval is None else [settings.eval]
    judged = [{"text": text} for text in texts_of(corpus_files(names))]

    def evaluate(bare: Any) -> dict[str, float]:
        return scores(judged, TorchRunner(bare, "masked_lm"), tokenizer, lambda _: None)

    return Session(
        settings=settings,
        model=model,
        tokenizer=tokenizer,
        objective=objective,
        table=corpus.table,
        collate=hide,
        evaluate=evaluate if judged else None,
        callbacks=callbacks,
        data=digest(corpus.key, *made_of),
    )


def row_limit(settings: CorpusRun, config: PretrainedConfig) -> int:
    """Return the most tokens of a row.

    Raises:
        InputError: the settings ask for more than the model has positions.
    """
    positions: int = config.max_position_embeddings
    limit = settings.max_length or positions
    if limit > positions:
        raise InputError(f"max_length={limit} exceeds the model's {positions} positions")
    if limit < settings.min_length:
        raise InputError(f"min_length={settings.min_length} exceeds max_length={limit}: every row would be left out")
    return limit
