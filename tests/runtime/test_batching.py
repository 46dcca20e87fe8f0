"""Batches, packing and reading ahead; and that text to answers needs no framework."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pocketbert
from pocketbert.errors import InputError, PrecisionError
from pocketbert.runtime.batching import PackedBatch, Row, batches, chunks, groups, pack, run_rows

SOURCE = Path(pocketbert.__file__).parent
LENGTHS = st.lists(st.integers(1, 60), max_size=40)


@given(LENGTHS, st.integers(1, 200))
def test_batches_hold_every_row_once_within_the_budget(lengths, budget):
    groups = batches(lengths, budget)
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[row] for row in group) <= budget
    order = [lengths[row] for group in groups for row in group]
    assert order == sorted(lengths, reverse=True)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=7), min_size=1, max_size=9))
def test_packing_lays_rows_end_to_end(rows):
    batch = pack([Row(row) for row in rows])
    assert [part.tolist() for part in np.split(batch.input_ids, batch.cu_seqlens[1:-1])] == rows
    assert batch.lengths.tolist() == [len(row) for row in rows]
    assert len(batch) == len(rows)
    assert batch.token_type_ids is None
    assert batch.positions is None


def test_packing_fills_what_some_rows_leave_out():
    batch = pack([Row([5, 6], [0, 1]), Row([7, 8, 9], positions=[2])])
    assert batch.token_type_ids is not None
    assert batch.token_type_ids.tolist() == [0, 1, 0, 0, 0]
    assert batch.positions is not None
    assert [places.tolist() for places in batch.positions] == [[0, 1], [2]]


@given(LENGTHS, st.integers(1, 100))
def test_results_come_back_in_order(lengths, budget):
    rows = [Row([index] * length) for index, length in enumerate(lengths)]

    def runner(batch: PackedBatch):
        return [part[:1].astype(np.float32) for part in np.split(batch.input_ids, batch.cu_seqlens[1:-1])]

    assert [int(output[0]) for output in run_rows(runner, rows, budget)] == list(range(len(lengths)))


def test_outputs_that_are_not_finite_are_refused():
    with pytest.raises(PrecisionError, match="a row of 2 tokens is not finite"):
        run_rows(lambda batch: [np.array([np.nan], np.float32)], [Row([1, 2])], 8)


def test_no_more_is_read_than_a_chunk_holds():
    pulled = []
    source = (pulled.append(item) or item for item in range(100))
    ahead = chunks(source, lambda item: 1, lookahead=8, limit=1000)
    assert next(ahead) == list(range(8))
    assert len(pulled) == 8
    assert next(chunks(iter(range(9)), lambda item: 10, lookahead=8, limit=25)) == [0, 1, 2]


def test_first_chunks_are_short_where_the_source_may_be_slow():
    sizes = [len(chunk) for chunk in chunks(range(30), lambda item: 1, lookahead=8, limit=1000, ramp=True)]
    assert sizes == [1, 2, 4, 8, 8, 7]


@pytest.mark.parametrize("value", [0, -1, True, 2.0, None])
def test_lookahead_is_checked(value):
    with pytest.raises(InputError, match="lookahead="):
        next(chunks([1], len, lookahead=value, limit=1))


def test_text_to_answers_imports_no_framework():
    files = [SOURCE / "runtime" / "batching.py", *(SOURCE / "tasks").glob("*.py"), *(SOURCE / "tokenizer").glob("*.py")]
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in {"torch", "tensorflow", "keras", "transformers", "jax"}, file
                assert not name.startswith(("pocketbert.torch", "pocketbert.keras")), file


def test_every_room_loads_without_a_framework():
    names = [f"pocketbert.tasks.{file.stem}" for file in (SOURCE / "tasks").glob("*.py") if file.stem != "__init__"]
    code = (
        "import importlib, sys\n"
        f"for name in {['pocketbert.runtime.batching', *names]!r}: importlib.import_module(name)\n"
        "assert not {'torch', 'tensorflow', 'keras', 'transformers'} & set(sys.modules), 'a framework was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_groups_hold_little_padding_and_are_bounded():
    lengths = [500, 10, 480, 11, 12, 470, 10]
    found = groups(lengths)
    assert sorted(row for group in found for row in group) == list(range(len(lengths)))
    assert found == [[0, 2, 5], [4, 3, 1, 6]]
    assert [len(group) for group in groups([512] * 20)] == [8, 8, 4]
    assert groups([9000, 9000]) == [[0], [1]]
