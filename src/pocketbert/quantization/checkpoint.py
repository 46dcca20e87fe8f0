"""From a float checkpoint to an int8 checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pocketbert.architecture.config import AutoConfig
from pocketbert.architecture.config.quantization import is_quantized
from pocketbert.architecture.heads import head_named
from pocketbert.checkpoint import WRITTEN, copy_tokenizer
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.checkpoint.sentence_transformers import copy_sentences
from pocketbert.errors import InputError, MissingExtra, PrecisionError
from pocketbert.evaluation.labeled import Records, read_labeled
from pocketbert.evaluation.scoring import scores as score
from pocketbert.plan import Plan, ReferenceRunner, agreement, center, equalize, plan_checkpoint
from pocketbert.plan.batch import PackedBatch
from pocketbert.plan.int8.folder import REPORT, WEIGHTS, save_quantized
from pocketbert.plan.int8.narrow import narrow
from pocketbert.quantization.parts import cosine, part_losses, part_names
from pocketbert.quantization.quantization_report import Part, QuantizationReport, Score
from pocketbert.quantization.texts import batch_of_texts, beginning, tokenizer_of
from pocketbert.runtime.batching import Runner
from pocketbert.runtime.native import NativeRunner
from pocketbert.storage.commits import finish_save
from pocketbert.storage.replacing import replacing
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["MAX_LOSS", "Progress", "quantize"]

MAX_LOSS = 0.01
_PART_TOKENS = 384  # tokens of text that each part is measured on

Progress = Callable[[str, int, int], None]  # name of the step, units done, units in total


def quantize(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    texts: Sequence[str] | None = None,
    max_loss: float = MAX_LOSS,
    head: str | None = None,
    progress: Progress | None = None,
) -> QuantizationReport:
    """Quantize a checkpoint to int8, measure the loss, and write the int8 checkpoint if the loss is small enough.

    Weights, the word table included, are stored in int8, about a quarter of their size in float32; biases, norms,
    positions and the last small product of a head stay in float32. ``pipeline(task, model=out)`` runs it in int8. The
    report is returned, and written beside the weights as ``report.json``.

    Args:
        folder: a folder with ``config.json``, weights and tokenizer files, or a hub name.
        out: a folder, made if absent; an int8 checkpoint in it is replaced once the new one is complete.
        data: labeled records, such as a .jsonl file, on which the task's metric is measured before and after;
            ``evaluation.labeled`` lists the fields. By default int8 results are compared with float32 on ``texts``.
        texts: at least two texts typical of the model's input, to calibrate and measure on; built-in ones by default.
        max_loss: largest allowed loss: the fall of the metric, or without ``data`` 1 minus the cosine between int8 and
            float32 results, with each column's mean subtracted. 0.01 is one percentage point.
        head: which head; by default the one that the checkpoint was saved with.
        progress: called with the name of the step, the units done and the units in total.

    Raises:
        CheckpointError, ConfigError, HubError: ``folder`` holds no float checkpoint that can be run.
        InputError: an argument or a record is wrong, or ``out`` holds another checkpoint.
        PrecisionError: the loss exceeds ``max_loss``; nothing was written.

    Example, with a loose limit since the model is random:
        >>> import tempfile
        >>> from pocketbert import DistilBertConfig, DistilBertModel, quantize
        >>> config = DistilBertConfig(dim=32, n_heads=2, n_layers=1, hidden_dim=64, max_position_embeddings=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     DistilBertModel(config).save_pretrained(folder)
        ...     report = quantize(folder, f"{folder}/int8", max_loss=0.1)
        >>> report.size_after < report.size_before / 2
        True
    """
    if isinstance(max_loss, bool) or not isinstance(max_loss, (int, float)) or not max_loss >= 0:
        raise InputError(f"max_loss={max_loss!r} must be a number of at least 0, such as {MAX_LOSS}")
    opened = open_model(folder, tokenizer=True)
    source = opened.folder
    target = Path(os.path.expanduser(os.fspath(out)))
    _check_target(source, target)
    progress = progress or (lambda *_: None)
    progress("reading the checkpoint", 0, 1)
    exact = plan_checkpoint(opened, head)
    tokenizer = tokenizer_of(source)
    if data is not None and tokenizer is None:
        raise InputError(f"data={str(data)!r} needs the tokenizer's files beside the checkpoint in {source}")
    scored = head_named(exact.head).answers[0].name
    records = () if data is None else read_labeled(data, scored, exact.config)
    batch, kind = batch_of_texts(tokenizer, exact.config, texts)

    progress("quantizing", 0, 1)
    even = equalize(center(exact, batch), batch)
    small = narrow(even, batch)
    measured = agreement(exact, small, batch)
    parts = _parts(even, small, beginning(batch, _PART_TOKENS), progress)
    scores = _scores(records, scored, tokenizer, exact, small, progress) if records and tokenizer else ()
    report = QuantizationReport(
        folder=str(target),
        source=str(source),
        head=exact.head,
        size_before=opened.weights.size,
        size_after=0,
        texts=kind,
        agreement=measured,
        scores=scores,
        loss=scores[0].fall if scores else 1 - cosine(measured, exact.head),
        max_loss=float(max_loss),
        parts=parts,
    )
    _judge(report)
    progress("writing", 0, 1)
    return _write(report, replace(small, measured=measured), opened, target)


def _check_target(source: Path, target: Path) -> None:
    if target.exists() and source.resolve() == target.resolve():
        raise InputError(f"out={str(target)!r} is the checkpoint itself; choose another folder")
    if target.is_file():
        raise InputError(f"out={str(target)!r} is a file; pass a folder")
    finish_save(target)
    if (target / "config.json").is_file() and not is_quantized(AutoConfig.from_pretrained(target)):
        raise InputError(f"out={str(target)!r} holds another checkpoint, which is not in int8; choose another folder")


def _parts(even: Plan, small: Plan, batch: PackedBatch, progress: Progress) -> tuple[Part, ...]:
    total = len(part_names(small))
    parts: list[Part] = []
    progress("each part alone", 0, total)
    for part in part_losses(even, small, batch):
        parts.append(part)
        progress("each part alone", len(parts), total)
    return tuple(sorted(parts, key=lambda part: -part.loss))


def _scores(
    records: Records, head: str, tokenizer: PreTrainedTokenizerBase, exact: Plan, small: Plan, progress: Progress
) -> tuple[Score, ...]:
    def measure(what: str, plan: Plan) -> dict[str, float]:
        progress(what, 0, len(records))
        try:
            runner: Runner = NativeRunner(plan, head)
        except MissingExtra:  # it was not built
            runner = ReferenceRunner(plan, head)
        return score(records, runner, tokenizer, lambda done: progress(what, done, len(records)))

    before, after = measure("labeled data in float32", exact), measure("labeled data in int8", small)
    return tuple(Score(name, before[name], after[name]) for name in before)


def _judge(report: QuantizationReport) -> None:
    if report.loss <= report.max_loss:
        return
    if report.scores:
        first = report.scores[0]
        what = f"{first.name} falls by {report.loss:.4f}, from {first.before:.4f} to {first.after:.4f}"
    else:
        what = f"the results' cosine with float32's is {1 - report.loss:.4f}, a loss of {report.loss:.4f}"
    raise PrecisionError(
        f"in int8 {what}, more than max_loss={report.max_loss:g}; nothing was written. {report.worst.name} loses most "
        f"({report.worst.loss:.4f} by itself). Pass typical texts to calibrate on (texts=, --texts), allow more "
        "(max_loss=, --max-loss), or stay with float32"
    )


def _write(report: QuantizationReport, plan: Plan, opened: Opened, target: Path) -> QuantizationReport:
    with replacing(target, stale=WRITTEN) as stage:
        save_quantized(plan, stage)
        report = replace(report, size_after=(stage / WEIGHTS).stat().st_size)
        (stage / REPORT).write_text(report.to_json(), "utf-8")
        copy_tokenizer(opened.folder, stage)
        copy_sentences(opened.sentences, stage)
    return report
