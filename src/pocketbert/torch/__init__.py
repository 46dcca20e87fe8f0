"""The PyTorch models: for training, research, and as the reference that every other backend is measured against."""

from __future__ import annotations

from pocketbert.extras import require

require("torch")

from pocketbert.architecture.pytrees import register_in_torch  # noqa: E402

register_in_torch()
