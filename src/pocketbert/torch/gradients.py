"""Training options: activations that are computed again in the backward pass, and inputs that require gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pocketbert.torch.layers import CHECKPOINT
from pocketbert.torch.vocabulary import VocabularyAccess

__all__ = ["GradientOptions"]


class GradientOptions(VocabularyAccess):
    """Options of the backward pass.

    Attributes:
        gradient_checkpointing: layers are computed again in the backward pass.
    """

    supports_gradient_checkpointing: ClassVar[bool] = True
    gradient_checkpointing: bool

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether layers are computed again in the backward pass."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None) -> None:
        """Compute layers again in the backward pass instead of keeping their activations (training mode only).

        Args:
            gradient_checkpointing_kwargs: arguments of ``torch.utils.checkpoint.checkpoint``;
                ``{"use_reentrant": False}`` by default, which also works where no input requires a gradient.
        """
        given = gradient_checkpointing_kwargs
        self._set_gradient_checkpointing(True, CHECKPOINT if given is None else partial(checkpoint, **given))
        if getattr(self, "_hf_peft_config_loaded", False):  # only adapters are trained: gradients must reach them
            self.enable_input_require_grads()

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations again."""
        self._set_gradient_checkpointing(False)
        if getattr(self, "_hf_peft_config_loaded", False):
            self.disable_input_require_grads()

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Callable[..., Any] = CHECKPOINT
    ) -> None:
        """Tell every part that has such a switch, a user's own too."""
        for module in self.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = enable  # type: ignore[assignment]
                module._gradient_checkpointing_func = gradient_checkpointing_func  # type: ignore[assignment]

    def enable_input_require_grads(self) -> None:
        """Let the word vectors require gradients, so that frozen layers pass them on to adapters."""
        self._require_grads_hook = self.get_input_embeddings().register_forward_hook(_require_grad)

    def disable_input_require_grads(self) -> None:
        """Take ``enable_input_require_grads`` back."""
        self._require_grads_hook.remove()


def _require_grad(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
    output.requires_grad_(True)
