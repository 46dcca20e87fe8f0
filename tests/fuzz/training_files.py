"""Files that a run of training reads: its settings, and how far it has come."""

from __future__ import annotations

import json
import random
from pathlib import Path

from fuzz.target import Difference, Target, changed_json
from helpers.mutations import damaged_bytes, dumped
from pocketbert.settings.runs import Finetune
from pocketbert.settings.settings import RUN_FILE, read_settings, to_toml

__all__ = ["ProgressFile", "RunFile"]


class RunFile(Target):
    """``run.toml``."""

    calls = 200

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / RUN_FILE
        changed = Finetune(out="out", max_steps=3, eval="b.csv", problem="multi_label_classification", max_length=9)
        return [to_toml(Finetune()).encode(), to_toml(changed).encode()]

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """Return bytes or whole values changed."""
        lines = data.split(b"\n")
        if chance.random() < 0.5 or len(lines) < 2:
            return damaged_bytes(data, chance)
        at = chance.randrange(len(lines))
        name = lines[at].partition(b"=")[0]
        values = (b"-1", b"0", b"2", b"1e999", b"nan", b"0.5", b'""', b"true", b"[]", b"{}", b"99999999999999999999")
        lines[at] = name + b"= " + chance.choice((*values, b"1979-05-27", b'"text-classification"', b"'''x"))
        return b"\n".join(lines)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        self.path.write_bytes(data)
        settings = read_settings(Finetune, self.path)
        settings.check()
        self.path.write_text(to_toml(settings), "utf-8")
        if (again := read_settings(Finetune, self.path)) != settings:
            raise Difference(f"settings are not what was written: {settings} {again}")
        return settings.task


class ProgressFile(Target):
    """``progress.json`` of a checkpoint."""

    memory_gib = 12

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        from pocketbert.training.checkpoints import Checkpoints

        self.checkpoints = Checkpoints(folder, 1, True)
        self.path = self.checkpoints.path(4)
        self.path.mkdir(parents=True, exist_ok=True)
        made = {
            "step": 4,
            "made_of": {"seed": 0},
            "best": [0.5, 2],
            "since_best": 1,
            "best_scores": {"accuracy": 0.5},
        }
        return [dumped(made), dumped(made | {"best": None})]

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        return changed_json(data, chance)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        (self.path / "progress.json").write_bytes(data)
        progress = self.checkpoints.progress(4)
        return f"{progress.best is None} {len(json.loads(data))}"
