"""The kinds of runs: what each can set, beside what all can; importing this loads no framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pocketbert.architecture.heads import BARE, HEADS, Head
from pocketbert.errors import InputError
from pocketbert.evaluation.sources import read_columns
from pocketbert.settings.settings import Settings, above_zero, at_least_zero, place, setting, share
from pocketbert.tasks.option_checks import check_choice, check_whole

__all__ = ["TASKS", "CorpusRun", "Distilbert", "PROBLEMS", "Finetune", "Mobilebert", "Pretrain"]

PROBLEMS = ("single_label", "multi_label", "regression")  # what a classifier's labels can be
# what is trained, by the task that it is for
TASKS: dict[str, Head] = {
    head.task: head for head in HEADS.values() if head.name not in (BARE, "pretraining", "masked_lm")
} | {"embeddings": HEADS[BARE]}


@dataclass(frozen=True, kw_only=True)
class Finetune(Settings):
    """A fine-tuning run; the defaults are MobileBERT's and DistilBERT's for GLUE and SQuAD."""

    needed: ClassVar[tuple[str, ...]] = ("model", "train", "out")

    task: str = setting("text-classification", f"one of {', '.join(TASKS)}")
    model: str = place("", "checkpoint folder, or a name on the hub")
    train: str = place("", "labeled records to learn from: a file, or a data set on the hub, such as name@train")
    eval: str | None = place(None, "labeled records to score the model on; the best checkpoint is kept")
    columns: str | None = setting(None, "names that the data has for fields, such as text=sentence,label=stars")
    problem: str | None = setting(None, f"what labels are: {', '.join(PROBLEMS)}; told from the data by default")
    top_score: float | None = setting(
        None,
        "embeddings: score of texts that mean the same; by default the highest one, at least 1",
        above_zero,
        none="the highest",
    )
    max_length: int | None = setting(None, "most tokens of a row", check_whole, 1, none="128, or 384 for answers")
    int8: bool = setting(False, "round as the int8 engine does, so that the model loses less in int8")
    lora_rank: int | None = setting(None, "train low-rank adapters of this rank", check_whole, 1, none="all weights")
    lora_alpha: float | None = setting(None, "factor of the adapters, times their rank; twice the rank by default")
    lora_dropout: float = setting(0.0, "dropout of what adapters read", share)
    lora_targets: str | None = setting(None, "layers with adapters, comma-separated; queries and values by default")
    lora_merge: bool = setting(False, "write the model with its adapters added, not the adapters alone")
    stride: int = setting(128, "tokens that windows of a long text share", check_whole, 0)
    teacher: str | None = place(None, "a fine-tuned model of the same task to learn from; records may lack labels")
    teacher_share: float = setting(0.5, "weight of the teacher's answers; the labels have the rest", share)
    temperature: float = setting(2.0, "divides the logits of teacher and model", above_zero)

    def check(self) -> None:
        """See ``Settings``."""
        super().check()
        check_choice("task", self.task, TASKS)
        read_columns(self.columns)
        if self.int8 and self.lora_rank is not None:
            raise InputError("int8 and lora_rank do not go together; merge the adapters, then train with int8")
        if self.teacher is not None and self.task == "embeddings":
            raise InputError("task=embeddings learns from pairs and their scores alone; leave teacher out")
        if self.problem is not None:
            check_choice("problem", self.problem, PROBLEMS)
            if self.teacher is not None:
                raise InputError(f"problem={self.problem} does not go with a teacher, which tells what labels are")


@dataclass(frozen=True, kw_only=True)
class CorpusRun(Settings):
    """What runs on unlabeled text can set."""

    corpus: tuple[str, ...] = place((), "text files (or .gz), a text a line, or patterns such as 'texts/*.txt'")
    max_length: int | None = setting(None, "most tokens of a row; longer texts are divided", check_whole, 3, none="all")
    min_length: int = setting(12, "rows of fewer tokens are left out", check_whole, 0)
    most_unknown: float = setting(0.5, "rows in which [UNK] is this share, or more, are left out", share)
    mask_share: float = setting(0.15, "share of the tokens that are hidden", share)
    masking: str = setting("bert", "bert: of each row, all words alike; distilbert: of a whole batch, rare ones more")
    mask_smoothing: float = setting(0.7, "with masking=distilbert a word's weight is count ** -this", at_least_zero)
    eval: str | None = place(None, "texts to guess masked words in; the best checkpoint is kept")

    def check(self) -> None:
        """See ``Settings``."""
        super().check()
        check_choice("masking", self.masking, ("bert", "distilbert"))


@dataclass(frozen=True, kw_only=True)
class Distilbert(CorpusRun):
    """A distillation into a DistilBERT; the defaults are those of the paper's recipe on one process."""

    needed: ClassVar[tuple[str, ...]] = ("teacher", "corpus", "out")

    teacher: str = place("", "BERT or DistilBERT to learn from, a checkpoint folder or a name on the hub")
    layers: str | None = setting(None, "layers of the teacher that the student begins with, such as 0,2,4; half of all")
    student: str | None = place(None, "begin with this DistilBERT instead: a checkpoint folder or a config.json")
    alpha_ce: float = setting(5.0, "weight of the teacher's words", at_least_zero)
    alpha_mlm: float = setting(2.0, "weight of the hidden words", at_least_zero)
    alpha_cos: float = setting(1.0, "weight of the hidden states' direction", at_least_zero)
    temperature: float = setting(2.0, "divides the logits of student and teacher", above_zero)
    masked_only: bool = setting(False, "learn the teacher's words where a word is hidden, not everywhere")
    masking: str = setting("distilbert", CorpusRun.__dataclass_fields__["masking"].metadata["about"])
    batch_size: int = setting(250, "texts of one step, over all processes", check_whole, 1)
    micro_batch_size: int | None = setting(5, "most texts that a process holds at once", check_whole, 1, none="all")
    learning_rate: float = setting(5e-4, "the highest learning rate", at_least_zero)
    warmup: float = setting(0.05, "share of all steps in which the learning rate rises", share)
    beta2: float = setting(0.98, "decay of the optimizer's mean of squared gradients", share)
    weight_decay: float = setting(0.0, "decoupled weight decay; biases and norms have none", at_least_zero)
    clip: float = setting(5.0, "largest norm of the gradient; 0 for any", at_least_zero)

    def check(self) -> None:
        """See ``Settings``."""
        super().check()
        if not self.alpha_ce + self.alpha_mlm + self.alpha_cos:
            raise InputError("alpha_ce, alpha_mlm and alpha_cos are all 0; nothing would be learned")
        if self.student is not None and self.layers is not None:
            raise InputError("pass layers= (of the teacher) or student=, not both")
        if self.alpha_mlm and not self.mask_share:
            raise InputError(f"mask_share=0 hides no word, and alpha_mlm={self.alpha_mlm} needs some; pass alpha_mlm=0")


@dataclass(frozen=True, kw_only=True)
class Pretrain(CorpusRun):
    """A pre-training run; the defaults are BERT's."""

    needed: ClassVar[tuple[str, ...]] = ("model", "corpus", "out")

    model: str = place("", "a config.json to start afresh, or a checkpoint folder (or a name on the hub) to go on from")
    next_sentence: bool = setting(False, "also tell texts that follow from random ones; an empty line ends a document")
    tokenizer: str | None = place(None, "folder of the tokenizer; by default it lies beside the configuration")
    batch_size: int = setting(256, "texts of one step, over all processes", check_whole, 1)
    learning_rate: float = setting(1e-4, "the highest learning rate", at_least_zero)
    warmup: float = setting(0.01, "share of all steps in which the learning rate rises", share)
    epochs: float = setting(40.0, "how often the corpus is seen", at_least_zero)

    def check(self) -> None:
        """See ``Settings``."""
        super().check()
        if not self.mask_share:
            raise InputError("mask_share=0 hides no word; nothing would be learned")


@dataclass(frozen=True, kw_only=True)
class Mobilebert(CorpusRun):
    """A distillation into a MobileBERT; the defaults are the paper's."""

    needed: ClassVar[tuple[str, ...]] = ("teacher", "corpus", "out")

    teacher: str = place("", "BERT or IB-BERT to learn from, a checkpoint folder or a name on the hub")
    student: str | None = place(
        None, "a config.json, or a checkpoint folder to go on from; by default MobileBERT at the teacher's width"
    )
    strategy: str = setting("pkt", "layers one by one, then words (pkt); all layers, then words (jkt); at once (akt)")
    transfer_steps: int = setting(240_000, "steps in which layers are learned", check_whole, 0)
    pd_steps: int = setting(500_000, "steps in which words are learned", check_whole, 0)
    teacher_share: float = setting(0.5, "share of the teacher's words in what hidden words are learned from", share)
    epochs: float = setting(0.0, "unused: transfer_steps and pd_steps say how long the run is", at_least_zero)
    batch_size: int = setting(2048, "texts of one step, over all processes", check_whole, 1)
    micro_batch_size: int | None = setting(32, "most texts that a process holds at once", check_whole, 1, none="all")
    optimizer: str = setting("lamb", "adamw or lamb")
    learning_rate: float = setting(1.5e-3, "the highest rate for words; layers have three times as much", at_least_zero)
    warmup: float = setting(0.02, "share of the steps for words in which the learning rate rises", share)
    final_rate: float = setting(1e-4, "learning rate at the end, as a share of the highest", share)

    @property
    def learns_words(self) -> bool:
        """Whether the student gets a head that predicts words."""
        return self.strategy == "akt" or self.pd_steps > 0

    def check(self) -> None:
        """See ``Settings``."""
        super().check()
        check_choice("strategy", self.strategy, ("pkt", "jkt", "akt"))
        if self.epochs:
            raise InputError(f"epochs={self.epochs} has no meaning here; set transfer_steps and pd_steps")
        if not self.transfer_steps + self.pd_steps:
            raise InputError("transfer_steps and pd_steps are both 0; nothing would be learned")
        if self.learns_words and not self.mask_share:
            raise InputError(
                "mask_share=0 hides no word; raise it, or learn layers alone: pd_steps=0 with strategy pkt or jkt"
            )
