"""One seed for every generator of random numbers."""

from __future__ import annotations

import random
import sys

import numpy as np

from pocketbert.extras import is_torch_available, require

__all__ = ["set_seed"]


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seed Python, NumPy, PyTorch where it is installed, and TensorFlow and Keras where they are in use.

    Args:
        seed: the number.
        deterministic: let PyTorch use only operations that give the same result each time.

    >>> import random
    >>> from pocketbert import set_seed
    >>> set_seed(42)
    >>> first = random.random()
    >>> set_seed(42)
    >>> random.random() == first
    True
    """
    if (keras := sys.modules.get("keras")) is not None:
        keras.utils.set_random_seed(seed)
    if (tensorflow := sys.modules.get("tensorflow")) is not None:
        tensorflow.random.set_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # the generator that scripts use
    if is_torch_available():
        torch = require("torch")
        torch.manual_seed(seed)
        if deterministic:
            torch.use_deterministic_algorithms(True)
