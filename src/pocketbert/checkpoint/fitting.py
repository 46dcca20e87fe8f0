"""Whether the names and shapes of a checkpoint are what a model needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.parameters import Parameter

__all__ = ["FLOATS", "Fit", "fit"]

FLOATS = ("float64", "float32", "float16", "bfloat16")  # what a parameter may be stored as

_ENCODERS = ("embeddings.", "encoder.", "transformer.", "pooler.")  # what the parts of an encoder are called


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's names and shapes compare with what a model needs.

    Attributes:
        sources: parameter -> the checkpoint's name for it, with or without the family's prefix.
        missing: parameters that the checkpoint lacks.
        misshaped: (parameter, shape on disk, shape that the configuration gives).
        unexpected: names on disk that belong to no head of this family, or that stand twice, with and without prefix.
        unused: names on disk that belong to another head, or are known buffers.
        not_floats: (parameter, dtype) of the library's own parameters that are integers or the like: numbers of a
            quantized checkpoint, which mean nothing without its scales.
        foreign: those unexpected names that belong to no part of this library's, as of layers that a user's class adds.
    """

    sources: dict[str, str]
    missing: list[Parameter]
    misshaped: list[tuple[Parameter, tuple[int, ...], tuple[int, ...]]]
    unexpected: list[str]
    unused: list[str]
    foreign: list[str] = field(default_factory=list)
    not_floats: list[tuple[Parameter, str]] = field(default_factory=list)

    def of_the_library(self) -> Fit:
        """Return what concerns the library's own parameters only."""
        return replace(
            self,
            missing=[p for p in self.missing if p.kind != "own"],
            unexpected=[name for name in self.unexpected if name not in self.foreign],
            foreign=[],
        )

    def complaint(self) -> str | None:
        """Return one line that lists every name that does not fit, or None."""
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} missing ({', '.join(p.name for p in self.missing)})")
        if self.misshaped:
            each = [f"{p.name} is {disk}, the configuration gives {ours}" for p, disk, ours in self.misshaped]
            parts.append(f"{len(each)} misshaped ({', '.join(each)})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unexpected ({', '.join(self.unexpected)})")
        if self.not_floats:
            each = [f"{p.name} is {dtype}" for p, dtype in self.not_floats]
            parts.append(
                f"{len(each)} not stored as {', '.join(FLOATS)} ({', '.join(each)}): take the checkpoint that was "
                "quantized into this one"
            )
        return "; ".join(parts) or None


def fit(
    stored: Mapping[str, tuple[Sequence[int], str]],
    wanted: Sequence[Parameter],
    config: PretrainedConfig,
    prefix: str = "",
) -> Fit:
    """Compare names, shapes and dtypes on disk with the parameters that a model needs.

    Args:
        stored: name on disk (present-day) -> shape and dtype. The family's prefix may be there or not.
        wanted: what the model needs, from ``families.parameters``, and layers of a user's own.
        config: the model's configuration.
        prefix: under which name the model holds its encoder, if not under the family's.
    """
    family = families.family_or_none(config)
    front = "" if family is None else family.prefix
    by_bare: dict[str, str] = {}
    twice = [name for name in stored if by_bare.setdefault(name.removeprefix(front), name) != name]
    aliases: dict[str, list[str]] = {}
    for parameter in wanted:
        if parameter.tied_to is not None:
            aliases.setdefault(parameter.tied_to, []).append(parameter.name)

    def bare_names(name: str) -> list[str]:
        return [name.removeprefix(front), *([name.removeprefix(f"{prefix}.")] if prefix else [])]

    sources: dict[str, str] = {}
    missing, misshaped, not_floats = [], [], []
    for parameter in wanted:
        if parameter.tied_to is not None:
            continue
        names = [bare for n in (parameter.name, *aliases.get(parameter.name, [])) for bare in bare_names(n)]
        source = next((by_bare[bare] for bare in names if bare in by_bare), None)
        if source is None:
            missing.append(parameter)
            continue
        shape, dtype = tuple(stored[source][0]), stored[source][1]
        if shape != parameter.shape:
            misshaped.append((parameter, shape, parameter.shape))
            continue
        sources[parameter.name] = source
        if parameter.kind != "own" and dtype not in FLOATS:
            not_floats.append((parameter, dtype))
    used = {bare for p in wanted for bare in bare_names(p.name)}
    known = set() if family is None else families.known_names(config)
    rest = sorted(name for bare, name in by_bare.items() if bare not in used)
    unexpected = [name for name in rest if name.removeprefix(front) not in known]
    unused = [name for name in rest if name.removeprefix(front) in known]
    parts = {name.partition(".")[0] for name in known if name.startswith(_ENCODERS)}
    foreign = [n for n in unexpected if not (front and n.startswith(front)) and n.partition(".")[0] not in parts]
    return Fit(sources, missing, misshaped, sorted(unexpected + twice), unused, foreign, not_floats)
