"""How a run's model begins: from a checkpoint that may lack what the run trains."""

from __future__ import annotations

import warnings
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened
from pocketbert.torch.auto import model_class

__all__ = ["load_to_train"]


def load_to_train(opened: Opened | None, head: str, config: PretrainedConfig | None = None, **options: Any) -> Any:
    """Return a model with a head, without a warning that the head is fresh: that is what is asked for.

    Without a head it has no pooler either: it would give nothing to a loss, and so have no gradient, which processes
    wait for.

    Args:
        opened: the checkpoint; None with ``state_dict``.
        head: the head's name.
        config: the model's configuration; the checkpoint's own by default.
        **options: see ``from_pretrained``.
    """
    if opened is not None:
        config = config or opened.config
        if head == BARE and opened.family.pooled.in_encoder:
            options["add_pooling_layer"] = False
    assert config is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return model_class(config, head).from_pretrained(opened, config=config, **options)
