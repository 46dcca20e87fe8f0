"""Keras models as TensorFlow's SavedModel and as a LiteRT file, run and compared before they are put in place."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint import SAVEDMODEL
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import CheckpointError, InputError
from pocketbert.export.judging import Report, check_limit, judge, measure, random_texts
from pocketbert.extras import require
from pocketbert.quantization.texts import batch_of_texts, tokenizer_of
from pocketbert.runtime.batching import PackedBatch, rectangle
from pocketbert.storage.commits import finish_save
from pocketbert.storage.replacing import replacing

__all__ = ["export_litert", "export_savedmodel"]

Run = Callable[[dict[str, NDArray[np.int32]]], Mapping[str, Any]]

_LENGTHS = ((7,), (40, 23, 9))  # texts of each batch of pseudo-random words that is compared
_TEXTS = 16  # of a batch that are compared
_INSTEAD = (
    "LiteRT's 8 bits do not suit these weights: export without int8, or use `pocketbert quantize` or `pocketbert "
    "export onnx --int8`, which treat outliers better"
)


def export_savedmodel(
    folder: str | os.PathLike[str] | Opened,
    out: str | os.PathLike[str],
    head: str | None = None,
    *,
    limit: float | None = None,
) -> Report:
    """Write a checkpoint as a SavedModel, if it runs as it should.

    Its ``serve`` takes one dict of ``input_ids``, ``attention_mask`` and, where the model has types,
    ``token_type_ids``, each (batch, length) int32 of any size, (batch, choices, length) for multiple choice. Outputs
    are named as those of the Keras models, and padding has their semantics.

    Args:
        folder: where ``config.json`` and the weights lie, a hub name, or an opened checkpoint.
        out: the folder to write; a SavedModel that is there is replaced once the new one is complete, and files that
            are none of its own stay.
        head: which head; the one that the checkpoint was saved with by default.
        limit: refuse an error above it (1e-3 by default), see ``Report.errors``.

    Raises:
        MissingExtra: Keras or TensorFlow is not installed.
        CheckpointError: there is no checkpoint, or it does not fit.
        ConfigError: it is BERT's, which has no Keras models.
        InputError: Keras runs on another backend than TensorFlow, ``out`` holds something else than a SavedModel, or
            ``limit`` is no number.
        PrecisionError: the results are not near enough; nothing was written.
    """
    check_limit(limit)
    path = Path(os.path.expanduser(os.fspath(out)))
    finish_save(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / "saved_model.pb").is_file()):
        raise InputError(f"out={str(out)!r} holds something else than a SavedModel; pass the name of a new folder")
    model, batches = _load(folder, head)
    with replacing(path, stale=SAVEDMODEL) as stage:
        model.export(stage, verbose=False)
        loaded = require("tensorflow").saved_model.load(str(stage))  # its functions live as long as it does
        errors, agreement = _compare(model, loaded.serve, batches)
        judge(errors, agreement, False, limit, "")
        size = sum(file.stat().st_size for file in stage.rglob("*") if file.is_file())
    return Report(path, size, model.head, False, model.token_inputs, errors, agreement)


def export_litert(
    folder: str | os.PathLike[str] | Opened,
    out: str | os.PathLike[str],
    head: str | None = None,
    int8: bool = False,
    *,
    limit: float | None = None,
) -> Report:
    """Write a checkpoint as one LiteRT file, if it runs as it should.

    Inputs and outputs are those of ``export_savedmodel``, batch and length dynamic; every operation is one of LiteRT's
    own, so that its plain interpreter runs the file.

    Args:
        folder, head: see ``export_savedmodel``.
        out: the ``.tflite`` file; one that is there is replaced once the new one is complete.
        int8: store weights in 8 bits; LiteRT quantizes activations as they come, row by row. MobileBERT's hidden
            states are equalized before, which changes no result in float32.
        limit: what to refuse: with ``int8`` an agreement below it (0.9 by default), else an error above it (1e-3).

    Raises:
        MissingExtra, CheckpointError, ConfigError, PrecisionError: see ``export_savedmodel``.
        InputError: Keras runs on another backend than TensorFlow, ``out`` is no name of a ``.tflite`` file, or
            ``limit`` is no number.
    """
    check_limit(limit)
    path = Path(os.path.expanduser(os.fspath(out)))
    if path.is_dir() or path.suffix != ".tflite":
        raise InputError(f"out={str(out)!r} is no name of a LiteRT file; pass one that ends in .tflite")
    model, batches = _load(folder, head)
    options = {}
    if int8:
        options["optimizations"] = [require("tensorflow").lite.Optimize.DEFAULT]
        _equalize(model, batches)
    with replacing(path.parent) as stage:
        file = stage / path.name
        model.export(file, format="litert", verbose=False, **options)
        errors, agreement = _compare(model, _interpreter(file), batches)
        judge(errors, agreement, int8, limit, _INSTEAD)
    return Report(path, path.stat().st_size, model.head, int8, model.token_inputs, errors, agreement)


def _load(folder: str | os.PathLike[str] | Opened, head: str | None) -> tuple[Any, list[PackedBatch]]:
    """Return a checkpoint's model, and what to compare on: pseudo-random words of some lengths, and texts."""
    backend = require("keras").backend.backend()
    if backend != "tensorflow":
        raise InputError(
            f"Keras runs on {backend}, and only its TensorFlow backend exports to TensorFlow; set "
            "KERAS_BACKEND=tensorflow before Keras is imported"
        )
    opened = open_model(folder, tokenizer=True)
    wanted = head or opened.head
    cls = import_module("pocketbert.keras.auto").model_class(opened.config, wanted)
    options: dict[str, Any] = {"dtype": "float32", "output_hidden_states": False, "output_attentions": False}
    if wanted == BARE and opened.family.pooled.in_encoder:
        raw = not getattr(opened.config, "classifier_activation", True)  # a pooler without weights
        options["add_pooling_layer"] = raw or opened.has_pooler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a head that starts afresh, which is refused below
        model, info = cls.from_pretrained(opened, output_loading_info=True, **options)
    if missing := info["missing_keys"]:
        raise CheckpointError(f"{opened.folder} has no {wanted} head: {', '.join(missing)} are missing")
    texts, _ = batch_of_texts(tokenizer_of(opened.folder), opened.config, None)
    return model, [*random_texts(opened.config, _LENGTHS, opened.family.has_types), texts]


def _equalize(model: Any, batches: list[PackedBatch]) -> None:
    """Let no channel of the hidden states dwarf the others, where the model allows it."""
    room = import_module("pocketbert.keras.equalize")
    if not room.can_equalize(model):
        return
    rows = []
    for batch in batches:
        inputs = _inputs(model, batch)
        states = model.get_base_model()(inputs, training=False, return_dict=True, output_hidden_states=True)
        rows += [np.asarray(state)[inputs["attention_mask"] == 1] for state in states.hidden_states]
    room.equalize(model, np.concatenate(rows))


def _inputs(model: Any, batch: PackedBatch) -> dict[str, NDArray[np.int32]]:
    """Return the first texts of a batch, padded."""
    padded = rectangle(batch, range(min(len(batch), _TEXTS)), "token_type_ids" in model.token_inputs)
    return {name: value.astype(np.int32) for name, value in padded.items()}


def _compare(model: Any, run: Run, batches: list[PackedBatch]) -> tuple[dict[str, float], dict[str, float]]:
    """Run a file beside its model; padding counts for nothing."""
    computed: dict[str, list[NDArray[Any]]] = {}
    expected: dict[str, list[NDArray[Any]]] = {}
    for batch in batches:
        inputs = _inputs(model, batch)
        if model.input_rank == 3:  # two choices: a text and another one
            inputs = {name: np.stack([value, value[::-1]], axis=1) for name, value in inputs.items()}
        wanted, got = model(inputs, training=False, return_dict=True), run(inputs)
        visible = inputs["attention_mask"] == 1
        for name, value in wanted.items():
            for side, values in ((computed, np.asarray(got[name])), (expected, np.asarray(value))):
                by_token = values.shape[: visible.ndim] == visible.shape
                side.setdefault(name, []).append(values[visible] if by_token else values)
    return measure(computed, expected)


def _interpreter(file: Path) -> Run:
    """Return a call of a LiteRT file, by the interpreter that is a package of its own or else by TensorFlow's."""
    try:
        interpreter = import_module("ai_edge_litert.interpreter").Interpreter
    except ModuleNotFoundError:
        interpreter = require("tensorflow").lite.Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # TensorFlow's says, in words that change, that it moves
        runner = interpreter(str(file)).get_signature_runner()
    return lambda inputs: runner(**inputs)
