"""A checkpoint, opened once: folder, configuration, weights, head and how they fit, handed on to whoever asks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from pathlib import Path

from pocketbert.architecture import families
from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.architecture.config.quantization import is_quantized
from pocketbert.architecture.families import Family, family_of
from pocketbert.architecture.heads import BARE, Answer, Head, head_named
from pocketbert.checkpoint.fitting import Fit, fit
from pocketbert.checkpoint.sentence_transformers import SentenceFolder, find_sentences
from pocketbert.checkpoint.weights import Checkpoint, open_checkpoint
from pocketbert.errors import ConfigError
from pocketbert.storage.commits import check_state, state_of
from pocketbert.storage.hub import CONFIG_FILES, TOKENIZER_FILES, WEIGHT_FILES, HubOptions, local_folder

__all__ = ["Opened", "open_model"]


class Opened:
    """A checkpoint folder whose configuration was read; its weights are listed when they are first asked for.

    Attributes:
        folder: where it lies.
        config: what its ``config.json`` says. It is shared: change a copy.
        weight_files: which of its files may hold the weights, the preferred one first.
        sentences: what sentence-transformers wrote around it, or None.
    """

    def __init__(
        self,
        folder: Path,
        config: PretrainedConfig,
        state: tuple[int, ...],
        weight_files: Sequence[str] = WEIGHT_FILES,
        sentences: SentenceFolder | None = None,
    ) -> None:
        self.folder = folder
        self.config = config
        self.weight_files = weight_files
        self.sentences = sentences
        self._state = state
        self._fits: dict[tuple[str, bool | None], Fit] = {}

    def with_config(self, config: PretrainedConfig) -> Opened:
        """Return the same checkpoint with another configuration."""
        other = copy(self)
        other.config, other._fits = config, {}
        for name in ("weights", "saved_heads", "head"):
            other.__dict__.pop(name, None)
        return other

    @property
    def family(self) -> Family:
        """The family of its configuration."""
        return family_of(self.config)

    @property
    def is_quantized(self) -> bool:
        """Whether it is an int8 checkpoint, whose weights are a plan and no named parameters."""
        return is_quantized(self.config)

    @cached_property
    def weights(self) -> Checkpoint:
        """The weights, listed but not yet read; see ``open_checkpoint`` for what is raised."""
        try:
            return open_checkpoint(self.folder, tied=self.config.tie_word_embeddings, files=self.weight_files)
        finally:  # a file that a save took away is no matter of the file
            self.check_unchanged()

    def check_unchanged(self) -> None:
        """Refuse weights that were opened after another save into the folder; see ``check_state``."""
        check_state(self.folder, self._state)

    @cached_property
    def saved_heads(self) -> tuple[str, ...]:
        """The heads of this family that ``architectures`` in the configuration names."""
        heads = []
        for name in self.config.architectures or ():
            try:
                model_type, head = families.head_of_class(name)
            except ConfigError:
                continue  # a class of someone else's
            if model_type == self.config.model_type:
                heads.append(head)
        return tuple(heads)

    @cached_property
    def head(self) -> str:
        """The head that it was saved with; told from the names of its weights where the configuration names none."""
        return self.saved_heads[0] if self.saved_heads else self._head_of_weights()

    def has_weight(self, name: str) -> bool:
        """Whether it holds a weight of this name, with or without the family's prefix."""
        return name in self.weights.tensors or self.family.prefix + name in self.weights.tensors

    @property
    def has_pooler(self) -> bool:
        """Whether the encoder's pooler is among its weights."""
        pooled = self.family.pooled
        return pooled.in_encoder and self.has_weight(f"{pooled.layer}.weight")

    @property
    def has_words(self) -> bool:
        """Whether the head that predicts words is among its weights."""
        return self.has_weight(f"{self.family.words.transform}.weight")

    def fit(self, head: str, *, pooler: bool | None = None) -> Fit:
        """Compare the weights with what a head needs; see ``families.parameters``."""
        key = (head, pooler)
        if key not in self._fits:
            stored = {name: (tensor.shape, tensor.dtype) for name, tensor in self.weights.tensors.items()}
            wanted = families.parameters(self.config, head, pooler=pooler)
            self._fits[key] = fit(stored, wanted, self.config)
        return self._fits[key]

    def _head_of_weights(self) -> str:
        """Return the head whose layers are there, the one that was trained last if there are several."""
        heads = [head_named(name) for name in self.family.heads if name != BARE]
        present = [head for head in heads if all(self._has_answer(answer) for answer in head.answers)]
        if not present:
            return BARE
        alike: list[Head] = [h for h in present if h is present[-1] or h.same_names_as(present[-1])]
        pooled = self.has_weight(f"{self.family.pooled.layer}.weight")
        return next((h for h in alike if h.reads_pooled == pooled), alike[0]).name

    def _has_answer(self, answer: Answer) -> bool:
        layer = self.family.words.transform if answer.per == "position" else answer.layer
        return self.has_weight(f"{layer}.weight")


def open_model(
    source: str | os.PathLike[str] | Opened, *, tokenizer: bool = False, hub: HubOptions | None = None
) -> Opened:
    """Open a checkpoint, downloading it first if ``source`` is a hub name.

    Args:
        source: a folder or a hub name; what is opened already is returned as it is.
        tokenizer: also fetch the tokenizer's files.
        hub: revision, cache, token, offline mode, subfolder.

    Raises:
        CheckpointError, HubError: there is no such checkpoint, or its configuration is damaged.
        ConfigError: the configuration belongs to no family of this library.
    """
    if isinstance(source, Opened):
        return source
    hub, sentences = hub or HubOptions(), None
    if tokenizer or os.path.isdir(os.path.expanduser(os.fspath(source))):  # of a hub name, only who reads texts asks
        sentences = find_sentences(source, hub)
    hub = hub if sentences is None else sentences.encoder
    folder = local_folder(source, CONFIG_FILES, TOKENIZER_FILES if tokenizer else (), weights=True, options=hub)
    options = {"trust_remote_code": hub.runs_remote_code}
    state = state_of(folder)
    config = AutoConfig.from_folder(folder, lambda: open_checkpoint(folder, files=hub.weight_files).tensors, **options)
    config.name_or_path = str(source)
    return Opened(folder, config, state, hub.weight_files, sentences)
