"""Training: fine-tuning and distillation, on one process or many."""

from __future__ import annotations

from pocketbert.extras import is_torch_available, require

if not is_torch_available():
    require("accelerate")  # which needs PyTorch, and whose extra brings both
