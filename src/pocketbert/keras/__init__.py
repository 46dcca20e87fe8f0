"""The Keras 3 models: TensorFlow's classes of the reference, on any backend of Keras.

Keras chooses its backend, by ``KERAS_BACKEND`` or its configuration file; nothing here is written for one of them.
"""

from __future__ import annotations

from typing import Any

from pocketbert.architecture import outputs
from pocketbert.errors import MissingExtra
from pocketbert.extras import require

_BACKENDS = {"tensorflow": "'pocketbert[keras]'", "jax": "jax", "torch": "'pocketbert[torch]'"}

try:
    keras = require("keras")
except ModuleNotFoundError as error:
    _missing = (error.name or "").partition(".")[0]
    if _missing not in _BACKENDS:
        raise
    raise MissingExtra(
        f"Keras models need {_missing}, the backend that Keras is set to; pip install {_BACKENDS[_missing]}"
    ) from error


def _flatten(output: Any) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
    names = tuple(output.keys())
    return list(output.values()), names, names


def _register(kind: type[Any]) -> None:
    """Let the loops of Keras and the transformations of its backend look into an output."""

    def unflatten(names: Any, values: Any) -> Any:
        return kind(zip(names, values, strict=True))

    import optree  # type: ignore[import-not-found, unused-ignore]  # Keras brings it

    optree.register_pytree_node(kind, _flatten, unflatten, namespace="keras")
    if keras.backend.backend() == "jax":
        from jax import tree_util  # type: ignore[import-not-found, unused-ignore]

        tree_util.register_pytree_node(
            kind, lambda output: (tuple(output.values()), tuple(output.keys())), lambda names, v: unflatten(names, v)
        )


if keras.backend.backend() == "torch":
    import pocketbert.torch  # noqa: F401  # registers them with torch, which Keras then uses
else:
    for _kind in outputs.ModelOutput.__subclasses__():
        _register(_kind)
