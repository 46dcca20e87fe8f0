"""Whether the names and shapes of a checkpoint are what a model needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.parameters import Parameter

__all__ = ["Fit", "fit"]


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's names and shapes compare with what a model needs.

    Attributes:
        sources: parameter -> the checkpoint's name for it, with or without the family's prefix.
        missing: parameters that the checkpoint lacks.
        misshaped: (parameter, shape on disk, shape that the configuration gives).
        unexpected: names on disk that belong to no head of this family, or that stand twice, with and without prefix.
        unused: names on disk that belong to another head, or are known buffers.
    """

    sources: dict[str, str]
    missing: list[Parameter]
    misshaped: list[tuple[Parameter, tuple[int, ...], tuple[int, ...]]]
    unexpected: list[str]
    unused: list[str]

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
        return "; ".join(parts) or None


def fit(shapes: Mapping[str, Sequence[int]], wanted: Sequence[Parameter], config: PretrainedConfig) -> Fit:
    """Compare names and shapes on disk with the parameters that a model needs.

    Args:
        shapes: name on disk (present-day) -> shape. The family's prefix may be there or not.
        wanted: what the model needs, from ``families.parameters``.
        config: the model's configuration.
    """
    prefix = families.family_of(config).prefix
    by_bare: dict[str, str] = {}
    twice = [name for name in shapes if by_bare.setdefault(name.removeprefix(prefix), name) != name]
    tied = [parameter for parameter in wanted if parameter.tied_to is not None]
    sources: dict[str, str] = {}
    missing, misshaped = [], []
    for parameter in wanted:
        if parameter.tied_to is not None:
            continue
        names = [parameter.name, *(alias.name for alias in tied if alias.tied_to == parameter.name)]
        source = next((by_bare[b] for n in names if (b := n.removeprefix(prefix)) in by_bare), None)
        if source is None:
            missing.append(parameter)
        elif tuple(shapes[source]) != parameter.shape:
            misshaped.append((parameter, tuple(shapes[source]), parameter.shape))
        else:
            sources[parameter.name] = source
    used = {p.name.removeprefix(prefix) for p in wanted}
    known = families.known_names(config)
    rest = sorted(name for bare, name in by_bare.items() if bare not in used)
    foreign = [name for name in rest if name.removeprefix(prefix) not in known]
    unused = [name for name in rest if name.removeprefix(prefix) in known]
    return Fit(sources, missing, misshaped, sorted(foreign + twice), unused)
