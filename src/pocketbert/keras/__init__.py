"""The Keras 3 models: TensorFlow's classes of the reference, on any backend of Keras.

Keras chooses its backend, by ``KERAS_BACKEND`` or its configuration file; nothing here is written for one of them.
"""

from __future__ import annotations

from typing import Any

from pocketbert.architecture.outputs import ModelOutput
from pocketbert.architecture.pytrees import register_in_torch, register_outputs
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


def _register(kind: type[ModelOutput], flatten: Any, unflatten: Any) -> None:
    import optree  # type: ignore[import-not-found, unused-ignore]  # Keras brings it

    optree.register_pytree_node(kind, lambda output: (*flatten(output), tuple(output)), unflatten, namespace="keras")
    if keras.backend.backend() == "jax":
        from jax import tree_util  # type: ignore[import-not-found, unused-ignore]

        tree_util.register_pytree_node(kind, flatten, unflatten)


if keras.backend.backend() == "torch":
    register_in_torch()  # Keras uses the trees of its backend
else:
    register_outputs(_register)
