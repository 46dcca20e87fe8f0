"""int8 word tables in the engine, and int8 checkpoints from their folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.plan_models import make, texts
from pocketbert.errors import CheckpointError
from pocketbert.plan import make_plan, quantize
from pocketbert.plan.int8.folder import save_quantized
from pocketbert.plan.int8.narrow import int8_weight
from pocketbert.runtime.batching import pack
from pocketbert.runtime.native import NativeRunner, load

NONE = np.zeros(0, np.int64)
CASES = {
    "trigram": ("MobileBert", {}),
    "projection": ("MobileBert", {"trigram_input": False}),
    "sum": ("Bert", {}),
    "no types": ("DistilBert", {}),
}


def with_words(program, words):
    return replace(program, embeddings=replace(program.embeddings, words=words))


@pytest.mark.parametrize("name", CASES)
def test_rows_are_the_dequantized_ones(name, path):
    family, changes = CASES[name]
    model, arrays = make(family, "none", changes, awkward_norms=False)
    program = make_plan(model.config, "none", arrays, np.float32)
    words = int8_weight(program.embeddings.words, NONE)
    wide = np.ascontiguousarray(words.values.astype(np.float32) * words.scale[:, None])
    batch = pack(texts(types=2 if family != "DistilBert" else 0))
    narrow_runner, wide_runner = (NativeRunner(with_words(program, table), threads=2) for table in (words, wide))
    for a, b in zip(narrow_runner(batch), wide_runner(batch), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("family", ["MobileBert", "DistilBert"])
def test_a_folder_gives_the_bits_of_its_program(tmp_path, family, path):
    model, arrays = make(family, "masked_lm", awkward_norms=False)
    small = quantize(make_plan(model.config, "masked_lm", arrays, np.float32))
    save_quantized(small, tmp_path)
    batch = pack(texts(types=0))
    for head in ("masked_lm", "none"):
        for a, b in zip(load(tmp_path, head)(batch), NativeRunner(small, head)(batch), strict=True):
            np.testing.assert_array_equal(a, b)


def test_bad_word_tables():
    model, arrays = make("Bert", "none", awkward_norms=False)
    program = make_plan(model.config, "none", arrays, np.float32)
    words = int8_weight(program.embeddings.words, NONE)
    scale = words.scale.copy()
    scale[3] = np.nan
    bad = {
        "the word table's scale holds NaN": replace(words, scale=scale),
        "a weight's scale has 60 values; 61 are expected": replace(words, scale=scale[1:]),
        "a word table has no outlier columns": int8_weight(program.embeddings.words, np.array([1])),
        "int8 is expected, not float32": replace(words, values=words.values.astype(np.float32)),
    }
    for message, table in bad.items():
        with pytest.raises(CheckpointError, match=message):
            NativeRunner(with_words(program, table))
