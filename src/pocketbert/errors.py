"""Every error that pocketbert raises on purpose.

    PocketBertError
    ├── ConfigError       (ValueError)    a configuration that describes no model
    ├── InputError        (ValueError)    ids, masks, labels or texts that the model or tokenizer cannot take
    │   └── PipelineException             a text that a pipeline's task cannot be done on
    ├── PrecisionError    (ValueError)    a dtype in which the model would give NaN
    ├── CheckpointError   (OSError, RuntimeError)  a checkpoint that is missing, damaged, incomplete or does not fit
    │   └── UnsafeFileError               a file that tries to run code or to leave its folder
    ├── HubError          (OSError)       a hub name that could not be turned into a local folder
    ├── TrainingError     (RuntimeError)  a run whose loss or gradient is no longer finite
    └── MissingExtra      (ImportError)   an optional package that the call needs

Each also derives from the built-in error that a caller would expect, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

__all__ = ["PocketBertError", "ConfigError", "InputError", "PrecisionError", "CheckpointError", "UnsafeFileError"]
__all__ += ["HubError", "MissingExtra", "PipelineException", "TrainingError"]


class PocketBertError(Exception):
    """Base class: catches everything that pocketbert raises on purpose."""


class ConfigError(PocketBertError, ValueError):
    """A configuration that describes no model: the message states the field, its value, the limit and the fix."""


class InputError(PocketBertError, ValueError):
    """Ids, masks, labels or texts that the model or tokenizer cannot take."""


class PipelineException(InputError):
    """A text that a pipeline's task cannot be done on, such as fill-mask on a text without a mask.

    Args:
        task: the task's name.
        model: the model's family, such as ``"distilbert"``.
        reason: the message.
    """

    def __init__(self, task: str, model: str, reason: str) -> None:
        super().__init__(reason)
        self.task = task
        self.model = model

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.task, self.model, str(self))


class PrecisionError(PocketBertError, ValueError):
    """A dtype in which the model's activations overflow."""


class CheckpointError(PocketBertError, OSError, RuntimeError):
    """A checkpoint that is missing, damaged, incomplete or does not fit its configuration."""


class UnsafeFileError(CheckpointError):
    """A file that tries to run code or to leave its folder; it was neither run nor followed."""


class HubError(PocketBertError, OSError):
    """A hub name that could not be turned into a local folder."""


class TrainingError(PocketBertError, RuntimeError):
    """A run whose loss or gradient is no longer finite; its last checkpoint is kept."""


class MissingExtra(PocketBertError, ImportError):
    """An optional package that the call needs; the message says what to install."""
