"""What stands for the model of a pipeline whose runtime has no model object, such as the native engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError

__all__ = ["Device", "ModelView"]


@dataclass(frozen=True)
class Device:
    """A device where PyTorch is not in use, with the attributes of a ``torch.device``: ``str(device)`` is its name."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


class ModelView:
    """The configuration, device and dtype of what runs. It has no layers and cannot be called or moved.

    Attributes:
        config: the model's configuration.
        device: where it runs.
        dtype: of its parameters: a ``torch.dtype`` where PyTorch is loaded, else its name.
        runtime: what runs it.
        training: always false.
    """

    training = False

    def __init__(self, config: PretrainedConfig, device: Any, dtype: Any, runtime: str) -> None:
        self.config = config
        self.device = device
        self.dtype = dtype
        self.runtime = runtime

    @property
    def name_or_path(self) -> str:
        """Where it came from."""
        return str(self.config.name_or_path)

    def eval(self) -> ModelView:
        """Return itself: it is always evaluated."""
        return self

    def to(self, device: Any) -> ModelView:
        """Return itself if it is there already.

        Raises:
            InputError: it cannot move.
        """
        if str(device) != str(self.device):
            raise InputError(
                f"device={str(device)!r}: what runs on {self.runtime} stays on {self.device}; {self._cure}"
            )
        return self

    def __call__(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refuse.

        Raises:
            InputError: always.
        """
        raise InputError(f"the {self.runtime} runtime has no model to call; {self._cure}")

    @property
    def _cure(self) -> str:
        return "build the pipeline with framework='pt' for a PyTorch model"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"the {self.__dict__.get('runtime')} runtime's model has no {name!r}; {self._cure}")

    def __repr__(self) -> str:
        """The runtime and the configuration's name."""
        return f"ModelView({self.name_or_path!r}, runtime={self.runtime!r})"
