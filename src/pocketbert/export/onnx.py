"""The folded program as one ONNX file, run and compared before it is written."""

from __future__ import annotations

import os
from pathlib import Path

from pocketbert.architecture.heads import BARE, head_named
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import InputError
from pocketbert.export.judging import Report, check_limit, judge, measure, random_texts
from pocketbert.plan import Plan, plan_checkpoint, quantize, run
from pocketbert.plan.structure import Array
from pocketbert.runtime.batching import PackedBatch, rectangle
from pocketbert.runtime.onnx.graph import build_model, outputs_of
from pocketbert.runtime.onnx.runner import open_session
from pocketbert.storage.replacing import replacing

__all__ = ["export_onnx"]

_LENGTHS = ((1,), (7,), (2, 33, 9), (16, 64, 1, 40))  # texts of each batch that is compared


def export_onnx(
    source: str | os.PathLike[str] | Opened,
    out: str | os.PathLike[str],
    head: str | None = None,
    int8: bool = False,
    *,
    limit: float | None = None,
) -> Report:
    """Write a checkpoint as one ONNX file, if it runs as it should.

    The graph has the inputs ``input_ids``, ``attention_mask`` and, where the model has types, ``token_type_ids``, each
    (batch, length) int64 of any size; a text begins at the first column, and a mask of 0 marks the padding behind it.
    Its outputs are named as those of the torch models. For multiple choice each choice is a row, its logits (batch, 1).
    Every text gives what it gives alone, whatever it is padded to.

    Args:
        source: a folder, a hub name, or a checkpoint that is opened already.
        out: the file; one that is there is replaced once the new one is complete.
        head: which head; the one that the checkpoint was saved with by default.
        int8: store the products' weights in 8 bits and quantize activations row by row, as ``plan.quantize`` does.
        limit: what to refuse: with ``int8`` an agreement below it (0.9 by default), else an error above it (1e-3).

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
        CheckpointError: there is no checkpoint, or it does not fit.
        InputError: ``out`` is a folder, ``limit`` no number, or the file would exceed 2 GiB.
        PrecisionError: the graph's results are not near enough; nothing was written.
    """
    path = Path(os.path.expanduser(os.fspath(out)))
    if path.is_dir() or not path.name:
        raise InputError(f"out={str(out)!r} is a folder; pass the name of the file to write")
    check_limit(limit)
    exact = plan_checkpoint(source, head)
    content = build_model(quantize(exact) if int8 else exact)
    errors, agreement = _compare(exact, content)
    judge(errors, agreement, int8, limit, "export without int8")
    with replacing(path.parent) as stage:
        (stage / path.name).write_bytes(content)
    inputs = ("input_ids", "attention_mask", "token_type_ids")[: 2 if exact.embeddings.types is None else 3]
    return Report(path, len(content), exact.head, int8, inputs, errors, agreement)


def _compare(program: Plan, content: bytes) -> tuple[dict[str, float], dict[str, float]]:
    """Run a graph on built-in texts of several lengths, alone and padded together, beside a program.

    Returns:
        errors and agreement, by output; see ``Report``.
    """
    session = open_session(content)
    names, typed = outputs_of(program), program.embeddings.types is not None
    found: dict[str, list[Array]] = {name: [] for name in names}
    expected: dict[str, list[Array]] = {name: [] for name in names}
    for batch in random_texts(program.config, _LENGTHS, typed):
        values = session.run(names, rectangle(batch, range(len(batch)), typed))
        for name, value, rows in zip(names, values, _expected(program, batch), strict=True):
            found[name] += [row[: len(other)] for row, other in zip(value, rows, strict=True)]  # the padding goes
            expected[name] += rows
    return measure(found, expected)


def _expected(program: Plan, batch: PackedBatch) -> list[list[Array]]:
    """Return what the reference executor gives for each output of the graph."""
    result = run(program, batch)
    if program.head == BARE:
        return [result.hidden, result.pooled][: len(outputs_of(program))]
    expected: list[list[Array]] = []
    for answer in head_named(program.head).answers:
        rows = result.branches[answer.name]
        several = len(answer.fields) > 1
        expected += [[row[..., field] for row in rows] for field in range(len(answer.fields))] if several else [rows]
    return expected
