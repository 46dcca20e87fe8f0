"""Every target by its name; a target's module is imported where it runs."""

from __future__ import annotations

from importlib import import_module

from fuzz.target import Target

__all__ = ["TARGETS", "target"]

# name -> module and class or instance
TARGETS = {
    "engine": ("engine_calls", "EngineCalls"),
    "builder": ("builder_calls", "BuilderCalls"),
    "plans": ("plan_changes", "PlanChanges"),
    "plan-file": ("checkpoint_files", "PlanFile"),
    "plan-description": ("checkpoint_files", "PlanDescription"),
    "safetensors": ("checkpoint_files", "Safetensors"),
    "safetensors-header": ("checkpoint_files", "SafetensorsHeader"),
    "bin-zip": ("checkpoint_files", "ZippedBin"),
    "bin-pickle": ("checkpoint_files", "PickleOfBin"),
    "bin-older": ("checkpoint_files", "OlderBin"),
    "h5": ("checkpoint_files", "H5"),
    "tf1-index": ("checkpoint_files", "TensorFlowIndex"),
    "checkpoint-json": ("text_files", "CheckpointJson"),
    "config-bytes": ("text_files", "ConfigBytes"),
    "tokenizer-bytes": ("text_files", "TokenizerBytes"),
    "vocabulary": ("text_files", "Vocabulary"),
    "sentence-folder": ("text_files", "SentenceFolder"),
    "run-file": ("training_files", "RunFile"),
    "progress": ("training_files", "ProgressFile"),
    "tokenizers": ("tokenizer_calls", "TokenizerCalls"),
    "tasks": ("task_calls", "TaskCalls"),
}


def target(name: str) -> Target:
    """Return a target.

    Raises:
        SystemExit: there is none of that name.
    """
    if name not in TARGETS:
        raise SystemExit(f"there is no target {name!r}; there are {', '.join(TARGETS)}")
    module, made = TARGETS[name]
    found: Target = getattr(import_module(f"fuzz.{module}"), made)()
    found.name = name
    return found
