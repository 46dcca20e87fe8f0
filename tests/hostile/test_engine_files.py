"""A file that is cut short in place while a model made from it is in use: the same answers, and no signal."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from helpers.limits import run_limited
from pocketbert import DistilBertConfig
from pocketbert.architecture import families
from pocketbert.plan import make_plan, quantize
from pocketbert.plan.int8.folder import save_quantized

CONFIG = DistilBertConfig(vocab_size=4000, max_position_embeddings=64, dim=32, n_heads=2, n_layers=1, hidden_dim=64)
PROGRAM = """
import os, sys
import numpy as np
from pathlib import Path
from pocketbert.runtime.batching import Row, pack
from pocketbert.runtime.registry import load_runner
file = Path(sys.argv[1]) / "model.safetensors"
content = file.read_bytes()
runners = [load_runner(file.parent, "none", name) for name in sys.argv[2].split()]
batch = pack([Row(list(range(first, first + 50))) for first in range(0, 3900, 100)])
before = [runner(batch) for runner in runners]
for left in (len(content) // 2, 0):
    os.truncate(file, left)
    for runner, expected in zip(runners, before, strict=True):
        assert all((one == other).all() for one, other in zip(runner(batch), expected, strict=True))
try:
    load_runner(file.parent, "none", "native")
except OSError as error:
    print(error)
"""


def arrays(config: DistilBertConfig) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    wanted = families.parameters(config, "none")
    return {p.name: generator.normal(0, 0.2, p.shape).astype(np.float32) for p in wanted}


def test_an_int8_file_is_cut_short_while_its_model_is_loaded(tmp_path):
    pytest.importorskip("pocketbert._native")
    save_quantized(quantize(make_plan(CONFIG, "none", arrays(CONFIG))), tmp_path)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    argv = [sys.executable, str(program), str(tmp_path), "native onnx"]
    done = run_limited(argv, memory_gib=12, seconds=120)
    assert done.returncode == 0, done.stderr
    assert "is damaged or no safetensors file: a header of 0 bytes in a file of 0" in done.stdout
