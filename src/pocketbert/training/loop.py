"""The loop of every run: steps, evaluations, checkpoints; on one process or many.

Everything that chance decides in a step (its examples, masks, dropout) is a function of the seed, the step and the
process, so a run that goes on from a checkpoint makes the same steps as one that was never stopped.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pocketbert.errors import InputError, TrainingError
from pocketbert.settings.settings import Settings
from pocketbert.training.batches import Batch, Collate, loader
from pocketbert.training.callbacks import Callback
from pocketbert.training.checkpoints import Checkpoints, Progress
from pocketbert.training.diagnosis import first_not_finite
from pocketbert.training.objectives.objective import Objective
from pocketbert.training.optimizers import make_optimizer
from pocketbert.training.order import Order, Share, random_of
from pocketbert.training.phases import Phase, free, phase_at, trained_in
from pocketbert.training.processes import from_main, whole_model
from pocketbert.training.schedules import rate
from pocketbert.training.tables import Table

__all__ = ["Run", "Stopped", "count_steps", "run_steps"]

Evaluate = Callable[[Any], dict[str, float]]


class Stopped(Exception):  # no error: the run can go on
    """A run was asked to stop; its checkpoint is on disk.

    Attributes:
        signal: the signal's number, or 0 for a callback's wish.
    """

    def __init__(self, step: int, number: int) -> None:
        super().__init__(f"stopped after step {step}; go on with resume")
        self.signal = number


@dataclass
class Run:
    """One training run.

    Attributes:
        settings: the run's settings.
        model: the bare model; in a run on many processes the wrapped one is the loop's own business.
        objective: what is minimized; phases, where that changes on the way.
        table: the examples.
        collate: makes a batch of examples.
        accelerator: accelerate's object, which knows processes, devices and precision.
        checkpoints: where checkpoints go.
        evaluate: returns the model's scores, the deciding one first; larger is better. None for no evaluation.
        callbacks: who listens.
        progress: how far the run has come.
        stopping: set to a number to stop after this step: a signal's, or 0.
    """

    settings: Settings
    model: Any
    objective: Objective | Sequence[Phase]
    table: Table
    collate: Collate
    accelerator: Any
    checkpoints: Checkpoints
    evaluate: Evaluate | None = None
    callbacks: Sequence[Callback] = ()
    progress: Progress = field(default_factory=Progress)
    stopping: int | None = None

    def __post_init__(self) -> None:
        settings = self.settings
        self.order = Order(self.table.sizes, settings.batch_size, settings.seed, settings.group_by_length)
        self.phases = phases_of(self.objective, settings, self.order)
        self.steps = count_steps(settings, self.phases)
        self.trained = trained_in(self.model)
        self.factors: list[tuple[float, ...]] = []  # of the learning rate: one row per group, one column per phase
        self.eval_every = settings.eval_every or self.order.steps_per_epoch
        self.save_every = settings.save_every or self.eval_every

    def tell(self, what: str, *values: Any) -> None:
        """Call a method of all callbacks, in the main process."""
        if self.accelerator.is_main_process:
            for callback in self.callbacks:
                getattr(callback, what)(self, *values)


class _Losses(nn.Module):
    """A model called as an objective uses it: what divides the work among processes listens to calls."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, objective: Objective, batch: Batch) -> dict[str, Tensor]:
        """Return the objective's losses."""
        return objective.losses(self.model, batch)


def phases_of(objective: Objective | Sequence[Phase], settings: Settings, order: Order) -> Sequence[Phase]:
    """Return the phases of a run: those given, or the one that the settings tell.

    Raises:
        InputError: there is no step.
    """
    if isinstance(objective, Sequence):
        return objective
    steps = math.ceil(settings.epochs * order.steps_per_epoch)
    if steps < 1:
        raise InputError(f"epochs={settings.epochs} gives no step; raise it")
    steps = min(steps, settings.max_steps or steps)
    kind, warmup, final = settings.schedule, settings.warmup, settings.final_rate
    share = partial(rate, kind, steps=steps, warmup=warmup, final=final)
    return [Phase("", steps, objective, share)]


def count_steps(settings: Settings, phases: Sequence[Phase]) -> int:
    """Return how many steps a run makes."""
    steps = sum(phase.steps for phase in phases)
    return min(steps, settings.max_steps or steps)


def run_steps(run: Run) -> None:
    """Make the steps that are left; the model then has the best weights, or without evaluation the last.

    Raises:
        Stopped: a signal (Ctrl-C, SIGTERM) or a callback ended the run; it can go on.
        TrainingError: a loss is not finite; the message names the first layer whose output is not.
    """
    accelerator, settings, progress = run.accelerator, run.settings, run.progress
    optimizer, run.factors = make_optimizer(run.model, settings, run.phases)
    whole = whole_model(accelerator, run.model)  # before it is divided
    model, optimizer = accelerator.prepare(_Losses(run.model), optimizer)
    if progress.step:
        run.checkpoints.load_model(model, progress.step)
    if 0 < progress.step < run.steps:
        index, within = phase_at(run.phases, progress.step)
        run.phases[index].freeze(run.model, run.trained)
        if within:
            run.checkpoints.load_optimizer(model, _plain(optimizer), progress.step)
    batches = loader(run.table, run.collate, _shares(run, progress.step), settings.workers)
    run.tell("on_start")
    finished = False
    with _watching(run):
        model.train()
        while progress.step < run.steps and not finished:
            values = _step(run, model, optimizer, batches)
            progress.step += 1
            run.tell("on_step", values)
            last = progress.step == run.steps
            due = run.evaluate is not None and (last or progress.step % run.eval_every == 0)
            if due:
                finished = _evaluation(run, whole(model))
            saved = (due and progress.since_best == 0) or last or progress.step % run.save_every == 0
            if saved:
                run.checkpoints.save(model, _plain(optimizer), progress)
            stopping = values["stopping"] if accelerator.num_processes > 1 else run.stopping  # the same in all
            if stopping is not None and stopping >= 0 and not last:
                if not saved:
                    run.checkpoints.save(model, _plain(optimizer), progress)
                raise Stopped(progress.step, int(stopping))
    if progress.best is not None and progress.best[1] != progress.step:
        run.checkpoints.load_model(model, progress.best[1])
    free(run.model, run.trained)
    run.model = whole(model)
    run.tell("on_end")


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimizer inside of accelerate's."""
    inside: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inside


def _shares(run: Run, start: int) -> Iterator[Share]:
    accelerator, settings = run.accelerator, run.settings
    for step in range(start, run.steps):
        yield from run.order.shares(
            step, accelerator.process_index, accelerator.num_processes, settings.micro_batch_size
        )


def _step(run: Run, model: Any, optimizer: Any, batches: Iterator[tuple[Share, Batch]]) -> dict[str, Any]:
    """Make one step; return its losses, learning rate, and gradient norm."""
    accelerator, settings = run.accelerator, run.settings
    began = time.perf_counter()
    number = run.progress.step
    index, within = phase_at(run.phases, number)
    phase = run.phases[index]
    objective = phase.objective
    if within == 0:
        phase.freeze(run.model, run.trained)
        _plain(optimizer).state.clear()
    processes, device = accelerator.num_processes, accelerator.device
    passes = len(run.order.shares(number, accelerator.process_index, processes, settings.micro_batch_size))
    mine = [next(batches) for _ in range(passes)]
    names = list(objective.weights)
    local = [sum(objective.counts(batch)[name] for share, batch in mine if share.real) for name in names]
    stopping = -1 if run.stopping is None else run.stopping
    gathered = accelerator.gather(torch.tensor([[*local, stopping]], device=device))
    totals = dict(zip(names, gathered[:, :-1].sum(dim=0).tolist(), strict=True))

    lr = settings.learning_rate * phase.rate(within)
    for group, factors in zip(optimizer.param_groups, run.factors, strict=True):
        group["lr"] = lr * factors[index]
    sums = dict.fromkeys(names, 0.0)
    for part, (share, batch) in enumerate(mine):
        torch.manual_seed(_seed(settings.seed, number, part, accelerator.process_index))
        inputs = {name: value.to(device) for name, value in batch.items()}
        with nullcontext() if part == passes - 1 else accelerator.no_sync(model):
            with accelerator.autocast():
                losses = model(objective, inputs)
            total = torch.zeros((), device=device)
            for name, value in losses.items():
                factor = objective.weights[name] / max(totals[name], 1) if share.real else 0.0
                total = total + value.float() * factor
                sums[name] += float(value.detach()) if share.real else 0.0
            if not torch.isfinite(total):
                _refuse(run, objective, inputs)
            accelerator.backward(total * processes)  # which averages over processes
    norm = accelerator.clip_grad_norm_(model.parameters(), settings.clip or math.inf)
    norm = float(norm) if norm is not None else 0.0
    if not math.isfinite(norm):
        raise TrainingError(
            f"the gradient is not finite in step {number + 1}; lower learning_rate={settings.learning_rate}{_kept(run)}"
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    whole = accelerator.reduce(torch.tensor([sums[name] for name in names], device=device), "sum").tolist()
    means = {name: value / max(totals[name], 1) for name, value in zip(names, whole, strict=True)}
    loss = sum(objective.weights[name] * value for name, value in means.items())
    return {
        **({"phase": phase.name} if phase.name else {}),
        "loss": loss,
        **(means if len(names) > 1 else {}),
        "learning_rate": lr,
        "gradient_norm": norm,
        "seconds": time.perf_counter() - began,
        "stopping": float(gathered[:, -1].max()),
    }


def _seed(seed: int, *place: int) -> int:
    """Return a number that a seed and a place determine, for dropout."""
    return int(random_of(seed, *place).integers(2**63))


def _evaluation(run: Run, model: Any) -> bool:
    """Score the model; return whether the run should end, since nothing got better for long enough."""
    accelerator, progress = run.accelerator, run.progress
    scores: dict[str, float] = {}
    if accelerator.is_main_process:
        assert run.evaluate is not None
        scores = run.evaluate(model)
        model.train()
    found: dict[str, float] = from_main(accelerator, scores)[0]
    value = next(iter(found.values()))
    if progress.best is None or value > progress.best[0]:
        progress.best, progress.best_scores, progress.since_best = (value, progress.step), found, 0
    else:
        progress.since_best += 1
    run.tell("on_evaluation", found)
    patience = run.settings.patience
    return patience is not None and progress.since_best >= patience


def _refuse(run: Run, objective: Objective, inputs: Batch) -> None:
    """Say which layer gave the first value that is not finite."""
    with torch.no_grad(), run.accelerator.autocast():
        layer = first_not_finite(run.model, lambda bare: objective.losses(bare, inputs))
    where = f"the first such value came out of {layer}" if layer else "every layer's output is finite, the loss is not"
    raise TrainingError(
        f"the loss is not finite in step {run.progress.step + 1}: {where}; lower "
        f"learning_rate={run.settings.learning_rate}, or use precision=float32{_kept(run)}"
    )


def _kept(run: Run) -> str:
    steps = run.checkpoints.steps()
    return f"; the checkpoint of step {steps[-1]} is in {run.checkpoints.path(steps[-1])}" if steps else ""


@contextmanager
def _watching(run: Run) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the run after its step; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}

    def ask(number: int, _: Any) -> None:
        run.stopping = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for wanted in (signal.SIGINT, signal.SIGTERM):
        before[wanted] = signal.signal(wanted, ask)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
