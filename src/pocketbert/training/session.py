"""A run from its first step to the folder that it leaves: resume, listeners, history, model card."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pocketbert.errors import CheckpointError, InputError
from pocketbert.settings.settings import RUN_FILE, Settings, check_trackers, places_of, to_toml
from pocketbert.storage.replacing import replacing
from pocketbert.training.batches import Batch, Collate
from pocketbert.training.callbacks import Callback
from pocketbert.training.card import Card, write_card
from pocketbert.training.checkpoints import Checkpoints, Progress
from pocketbert.training.history import History
from pocketbert.training.loop import Evaluate, Run, count_steps, phases_of, run_steps
from pocketbert.training.objectives.objective import Objective
from pocketbert.training.objectives.words import inputs_of
from pocketbert.training.order import Order
from pocketbert.training.phases import Phase, free, trained_in
from pocketbert.training.processes import from_main, make_accelerator
from pocketbert.training.room import check_room
from pocketbert.training.simulated_int8 import simulating_int8
from pocketbert.training.tables import Table
from pocketbert.training.tracking import Tracking

__all__ = ["Session", "Trained"]

_LOOKED_AT = 4  # batches that show the ranges of values before rounding is simulated
# settings that may differ when a run goes on, beside places: they change no step
_FREE = ("workers", "keep", "save_every", "report_to", "patience", "columns")


@dataclass
class Trained:
    """What a run leaves.

    Attributes:
        model: the best model, in eval mode; without evaluation the last.
        tokenizer: its tokenizer.
        scores: its metrics on the evaluation data, the deciding one first.
        history: what was measured, step by step.
        folder: where all of it lies.
    """

    model: Any
    tokenizer: Any
    scores: dict[str, float]
    history: list[dict[str, Any]]
    folder: Path


@dataclass
class Session:
    """What a run is made of; see ``loop.Run``.

    Attributes:
        settings: of the run.
        model: the model to train.
        tokenizer: saved beside it.
        objective: what is minimized; phases, where that changes on the way.
        table: the examples.
        collate: makes batches.
        evaluate: scores the model, or None.
        callbacks: who listens.
        data: a name for the examples' content.
        int8: round as the int8 engine does.
        save: writes the model into a folder; by default ``save_pretrained``.
        beside: writes what else belongs into the model's folder.
        card: what the model card tells of the run; None for no card.
    """

    settings: Settings
    model: Any
    tokenizer: Any
    objective: Objective | Sequence[Phase]
    table: Table
    collate: Collate
    evaluate: Evaluate | None = None
    callbacks: Sequence[Callback] = ()
    data: str = ""
    int8: bool = False
    save: Callable[[Any, Path], None] | None = None
    beside: Callable[[Path], None] = lambda _: None
    card: Card | None = None

    def run(self, resume: bool = False) -> Trained:
        """Train, and write the model.

        Raises:
            CheckpointError: ``out`` holds a run already and ``resume`` is false; or it cannot be written, or is full.
            InputError: the run in ``out`` is made of something else; the message says what differs.
        """
        settings = self.settings
        if settings.gradient_checkpointing:
            self.model.gradient_checkpointing_enable()
        # what a phase freezes has no gradient, which processes must know that wait for each other's
        some_unused = isinstance(self.objective, Sequence)
        folder = Path(settings.out)
        accelerator = make_accelerator(settings.precision, some_unused, check_trackers(settings.report_to), folder)
        checkpoints = Checkpoints(folder, settings.keep, accelerator.is_main_process)
        progress = self._progress(checkpoints, accelerator.num_processes, resume)
        if accelerator.is_main_process:
            check_room(folder, self.model, settings.keep)
        history, tracking = History(folder, progress.step), Tracking(accelerator)
        run = Run(
            settings=settings,
            model=self.model,
            objective=self.objective,
            table=self.table,
            collate=self.collate,
            accelerator=accelerator,
            checkpoints=checkpoints,
            evaluate=self.evaluate,
            callbacks=[history, tracking, *self.callbacks],
            progress=progress,
        )
        if accelerator.is_main_process:
            with replacing(folder) as stage:
                (stage / RUN_FILE).write_text(to_toml(settings), "utf-8")
        try:
            with simulating_int8(self.model, self._first(run)) if self.int8 else nullcontext():
                run_steps(run)
        finally:
            tracking.close()
        model = run.model.eval()
        if accelerator.is_main_process:
            with replacing(folder) as stage:
                (self.save or type(model).save_pretrained)(model, stage)
                self.tokenizer.save_pretrained(stage)
                self.beside(stage)
                history.draw(stage)
                if self.card is not None:
                    write_card(stage, folder, self.card, settings, model, progress.best_scores, progress.step)
        accelerator.wait_for_everyone()
        [rows] = from_main(accelerator, history.rows)  # which only the main process writes
        return Trained(model, self.tokenizer, progress.best_scores, rows, folder)

    def _first(self, run: Run) -> Iterator[Batch]:
        """Yield a few batches, without labels."""
        for step in range(min(_LOOKED_AT, run.order.steps_per_epoch)):
            share = run.order.shares(step, 0, 1, None)[0]
            yield inputs_of(self.collate(self.table[list(share.examples)], share))

    def described(self) -> str:
        """Return what the run would do, and how long its steps take here."""
        settings = self.settings
        order = Order(self.table.sizes, settings.batch_size, settings.seed, settings.group_by_length)
        phases = phases_of(self.objective, settings, order)
        steps = count_steps(settings, phases)
        share = order.shares(0, 0, 1, settings.micro_batch_size)[0]
        batch = self.collate(self.table[list(share.examples)], share)
        self.model.train()
        passes = -(-settings.batch_size // len(share.examples))
        minutes = sum(self._seconds(phase, batch) * phase.steps for phase in phases) * passes / 60
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        rows = batch["input_ids"].flatten(0, -2)[:2].tolist()
        pad = self.tokenizer.pad_token_id
        shown = [self.tokenizer.decode([token for token in row if token != pad]) for row in rows]
        return "\n".join(
            [
                f"model     {type(self.model).__name__}, {trained:,} parameters are trained",
                f"examples  {len(self.table):,}, {int(self.table.sizes.sum()):,} tokens, "
                f"the longest has {int(self.table.sizes.max())}",
                f"steps     {steps:,} of {settings.batch_size}, {order.steps_per_epoch:,} in an epoch",
                f"time      about {minutes:.1f} minutes on this device, without evaluations",
                f"batch     {', '.join(f'{name} {tuple(value.shape)}' for name, value in batch.items())}",
                *(f"          {text}" for text in shown),
            ]
        )

    def _seconds(self, phase: Phase, batch: Batch) -> float:
        """Return the time of a pass in a phase."""
        trained = trained_in(self.model)
        phase.freeze(self.model, trained)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            losses = phase.objective.losses(self.model, batch)
            sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
            times.append(time.perf_counter() - began)
            self.model.zero_grad(set_to_none=True)
        free(self.model, trained)
        return statistics.median(times)

    def _progress(self, checkpoints: Checkpoints, processes: int, resume: bool) -> Progress:
        """Return where the run stands: at its start, or at the latest checkpoint."""
        made_of = self._made_of(processes)
        steps = checkpoints.steps()
        if not resume:
            if steps:
                raise CheckpointError(
                    f"{checkpoints.folder} holds a run up to step {steps[-1]}; pass resume to go on, or another out"
                )
            return Progress(made_of=made_of)
        if not steps:
            return Progress(made_of=made_of)
        progress = checkpoints.progress(steps[-1])
        differing = [name for name, value in made_of.items() if progress.made_of.get(name) != value]
        if differing:
            differences = "; ".join(f"{n} was {progress.made_of.get(n)!r}, is {made_of[n]!r}" for n in differing)
            raise InputError(f"the run in {checkpoints.folder.parent} is another one: {differences}")
        return progress

    def _made_of(self, processes: int) -> dict[str, Any]:
        free = {*_FREE, *places_of(self.settings)}
        named = {name: value for name, value in asdict(self.settings).items() if name not in free}
        return json.loads(json.dumps({**named, "data": self.data, "processes": processes}))  # type: ignore[no-any-return]
