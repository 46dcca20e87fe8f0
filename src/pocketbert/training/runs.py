"""The kinds of runs: what each can set, beside what all can; importing this loads no framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pocketbert.architecture.heads import BARE, HEADS, Head
from pocketbert.errors import InputError
from pocketbert.evaluation.sources import read_columns
from pocketbert.tasks.option_checks import check_choice, check_number, check_whole
from pocketbert.training.labels import PROBLEMS
from pocketbert.training.settings import Settings, setting, share

__all__ = ["TASKS", "Finetune"]

# what is trained, by the task that it is for
TASKS: dict[str, Head] = {
    head.task: head for head in HEADS.values() if head.name not in (BARE, "pretraining", "masked_lm")
} | {"embeddings": HEADS[BARE]}


def _above_zero(name: str, value: Any) -> None:
    if value is not None:
        check_number(name, value)
        if value <= 0:
            raise InputError(f"{name}={value!r} must be above 0")


@dataclass(frozen=True, kw_only=True)
class Finetune(Settings):
    """A fine-tuning run; the defaults are MobileBERT's and DistilBERT's for GLUE and SQuAD."""

    needed: ClassVar[tuple[str, ...]] = ("model", "train", "out")

    task: str = setting("text-classification", f"one of {', '.join(TASKS)}")
    model: str = setting("", "checkpoint folder, or a name on the hub")
    train: str = setting("", "labeled records to learn from: a file, or a data set on the hub, such as name@train")
    eval: str | None = setting(None, "labeled records to score the model on; the best checkpoint is kept")
    columns: str | None = setting(None, "names that the data has for fields, such as text=sentence,label=stars")
    problem: str | None = setting(None, f"what labels are: {', '.join(PROBLEMS)}; told from the data by default")
    top_score: float | None = setting(
        None, "embeddings: score of texts that mean the same; by default the highest one, at least 1", _above_zero
    )
    max_length: int | None = setting(None, "most tokens of a row", check_whole, 1, none="128, or 384 for answers")
    int8: bool = setting(False, "round as the int8 engine does, so that the model loses less in int8")
    lora_rank: int | None = setting(None, "train low-rank adapters of this rank", check_whole, 1, none="all weights")
    lora_alpha: float | None = setting(None, "factor of the adapters, times their rank; twice the rank by default")
    lora_dropout: float = setting(0.0, "dropout of what adapters read", share)
    lora_targets: str | None = setting(None, "layers with adapters, comma-separated; queries and values by default")
    lora_merge: bool = setting(False, "write the model with its adapters added, not the adapters alone")
    stride: int = setting(128, "tokens that windows of a long text share", check_whole, 0)

    def check(self) -> None:
        """See ``Settings``."""
        super().check()
        check_choice("task", self.task, TASKS)
        read_columns(self.columns)
        if self.int8 and self.lora_rank is not None:
            raise InputError("int8 and lora_rank do not go together; merge the adapters, then train with int8")
        if self.problem is not None:
            check_choice("problem", self.problem, PROBLEMS)
