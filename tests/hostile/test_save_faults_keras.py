"""A Keras model's save, like the others in ``test_save_faults``, is the old folder or the new one."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("keras.ops", exc_type=ImportError)

from helpers import KERAS_OWN
from helpers.faults import check_every_fault
from helpers.pairs import keras_twin, torch_model
from pocketbert.checkpoint.opened import open_model

pytestmark = [
    pytest.mark.slow,  # TensorFlow takes long to start
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process with threads may not fork"),
    *(pytest.mark.filterwarnings(warning) for warning in KERAS_OWN),
]


def test_a_keras_model_over_one_in_shards(tmp_path):
    target = tmp_path / "model"
    torch_model("DistilBert", "ForMaskedLM").save_pretrained(target, max_shard_size="40KB")
    twin = keras_twin(torch_model("DistilBert", changes={"n_layers": 1}))
    check_every_fault(lambda: twin.save_pretrained(target), target, lambda: open_model(target).weights.arrays())
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "model.safetensors"]
