"""Forward of the Keras models under tf.function, with XLA off and on, against transformers' TensorFlow classes.

    python benchmarks/keras_forward.py [--shapes 1x32 1x128 1x384 8x128] [--instances 4] [--rounds 10] [--threads N]

Random weights of the real sizes, the same on both sides, float32. Both take turns; the figures are medians, and the
ratio is the peer's time over ours (above 1: ours is faster). The speed of one model depends on where its weights happen
to lie in memory, so each figure is over several instances, built in either order. Needs transformers below 5 (the
``dev`` extra) and tf-keras, which its TensorFlow classes are built on.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # what transformers asks for; Keras 3 is not concerned

import numpy as np
import tensorflow as tf
import transformers
from rich.console import Console
from rich.table import Table
from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

import pocketbert
from pocketbert.bench.timing import interleaved
from pocketbert.keras.loading import arrays, assign
from pocketbert.runtime.threads import available_threads

SIZES: dict[str, dict[str, Any]] = {"DistilBert": {}, "MobileBert": {"classifier_activation": False}}

Times = dict[str, list[float]]


def encoder(family: str) -> Any:
    """Return our encoder with random weights, always the same."""
    config = getattr(pocketbert, f"{family}Config")(**SIZES[family])
    ours = getattr(pocketbert, f"TF{family}Model")(config)
    generator = np.random.default_rng(0)
    for parameter in ours.parameters_on_disk():
        noise = generator.standard_normal(parameter.shape, dtype=np.float32) * 0.02
        assign(ours, parameter, noise + 1 if parameter.kind == "norm_scale" else noise)
    return ours


def models(family: str, *, peer_first: bool = False) -> dict[str, Any]:
    """Return our encoder and the peer's with the same weights, in memory in either order."""
    ours = encoder(family)
    peer = getattr(transformers, f"TF{family}Model")(getattr(transformers, f"{family}Config")(**SIZES[family]))
    load_pytorch_state_dict_in_tf2_model(peer, arrays(ours), tf_inputs=peer.dummy_inputs, allow_missing_keys=False)
    return {"pocketbert": encoder(family) if peer_first else ours, "transformers": peer}


def compiled(model: Any, inputs: dict[str, tf.Tensor], *, xla: bool) -> Callable[[], np.ndarray]:
    """Return a call of the model as one graph."""

    def forward(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return model(inputs, training=False)[0]

    function = tf.function(forward, jit_compile=xla, autograph=False)
    return lambda: function(inputs).numpy()


def measure(calls: dict[str, Callable[[], np.ndarray]], rounds: int) -> Times:
    """Return each call's times in seconds; their results must agree."""
    results = [call() for call in calls.values()]
    np.testing.assert_allclose(results[0], results[1], atol=1e-4 * np.abs(results[1]).max(), rtol=0)
    return interleaved(calls, rounds, warmups=2)


def instance(family: str, shapes: list[str], rounds: int, *, peer_first: bool) -> dict[tuple[str, bool], Times]:
    """Return the times of a new pair of models, by shape and XLA."""
    found = models(family, peer_first=peer_first)
    results = {}
    for shape in shapes:
        size = tuple(map(int, shape.split("x")))
        ids = tf.constant(np.random.default_rng(1).integers(1000, 30000, size, dtype=np.int32))
        inputs = {"input_ids": ids, "attention_mask": tf.ones_like(ids)}
        for xla in (False, True):
            calls = {name: compiled(model, inputs, xla=xla) for name, model in found.items()}
            results[shape, xla] = measure(calls, rounds)
    return results


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["1x32", "1x128", "1x384", "8x128"], metavar="BATCHxTOKENS")
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--families", nargs="+", choices=sorted(SIZES), default=sorted(SIZES))
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    table = Table(title=f"milliseconds, {arguments.threads} threads, TensorFlow {tf.__version__}")
    for column in ("model", "batch x tokens", "XLA", "pocketbert", "transformers", "transformers / ours"):
        table.add_column(column, justify="right" if column[0] == "t" or column == "pocketbert" else "left")
    for family in arguments.families:
        instances = [
            instance(family, arguments.shapes, arguments.rounds, peer_first=number % 2 == 1)
            for number in range(arguments.instances)
        ]
        for shape, xla in instances[0]:
            medians = {
                name: 1e3 * statistics.median(time for times in instances for time in times[shape, xla][name])
                for name in ("pocketbert", "transformers")
            }
            ratio = medians["transformers"] / medians["pocketbert"]
            cells = (f"{value:.1f}" for value in medians.values())
            table.add_row(family, shape, "on" if xla else "off", *cells, f"{ratio:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
