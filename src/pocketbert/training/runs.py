"""The kinds of runs: what each can set, beside what all can; importing this loads no framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pocketbert.architecture.heads import BARE, HEADS, Head
from pocketbert.tasks.option_checks import check_choice, check_whole
from pocketbert.training.labels import PROBLEMS
from pocketbert.training.settings import Settings, setting

__all__ = ["TASKS", "Finetune"]

# what is trained, by the task that it is for
TASKS: dict[str, Head] = {
    head.task: head for head in HEADS.values() if head.name not in (BARE, "pretraining", "masked_lm")
}


@dataclass(frozen=True, kw_only=True)
class Finetune(Settings):
    """A fine-tuning run; the defaults are MobileBERT's and DistilBERT's for GLUE and SQuAD."""

    needed: ClassVar[tuple[str, ...]] = ("model", "train", "out")

    task: str = setting("text-classification", f"one of {', '.join(TASKS)}")
    model: str = setting("", "checkpoint folder, or a name on the hub")
    train: str = setting("", "labeled records to learn from")
    eval: str | None = setting(None, "labeled records to score the model on; the best checkpoint is kept")
    problem: str | None = setting(None, f"what labels are: {', '.join(PROBLEMS)}; told from the data by default")
    max_length: int | None = setting(None, "most tokens of a row", check_whole, 1, none="128, or 384 for answers")
    int8: bool = setting(False, "round as the int8 engine does, so that the model loses less in int8")
    stride: int = setting(128, "tokens that windows of a long text share", check_whole, 0)

    def check(self) -> None:
        """See ``Settings``."""
        super().check()
        check_choice("task", self.task, TASKS)
        if self.problem is not None:
            check_choice("problem", self.problem, PROBLEMS)
