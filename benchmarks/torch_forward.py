"""Forward, and forward + backward, of the PyTorch models against transformers (eager and sdpa).

    python benchmarks/torch_forward.py [--lengths 32 128 384] [--rounds 15] [--threads N]

Random weights of the real sizes, float32, batch 1. Engines take turns; the figures are medians, and the ratio is the
peer's time over ours (above 1: ours is faster). Needs transformers (the ``dev`` extra).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
import transformers
from rich.console import Console
from rich.table import Table

import pocketbert
from pocketbert.bench.timing import interleaved, medians

SIZES = {"DistilBert": {}, "MobileBert": {"classifier_activation": False}}
PEERS = {"DistilBert": ("eager", "sdpa"), "MobileBert": ("eager", "sdpa")}


def models(family: str) -> dict[str, torch.nn.Module]:
    """Return ours and the peers' encoders with the same weights."""
    ours = getattr(pocketbert, f"{family}Model")(getattr(pocketbert, f"{family}Config")(**SIZES[family]))
    found = {"pocketbert": ours}
    for implementation in PEERS[family]:
        config = getattr(transformers, f"{family}Config")(**SIZES[family])
        try:
            peer = transformers.AutoModel.from_config(config, attn_implementation=implementation)
        except ValueError:
            continue  # transformers has no such form of this model
        peer.load_state_dict(ours.state_dict())
        found[f"transformers {implementation}"] = peer
    return found


def forward(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> Callable[[], None]:
    """Return a call of the model in eval mode."""

    def call() -> None:
        model.eval()
        with torch.inference_mode():
            model(**inputs)

    return call


def forward_backward(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> Callable[[], None]:
    """Return a training step's forward and backward, with the configuration's dropout."""

    def call() -> None:
        model.train()
        model.zero_grad(set_to_none=True)
        model(**inputs).last_hidden_state.square().mean().backward()

    return call


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 128, 384])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--families", nargs="+", choices=sorted(SIZES), default=sorted(SIZES))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    table = Table(title=f"milliseconds, batch 1, {arguments.threads} threads, torch {torch.__version__}")
    peers = ("transformers eager", "transformers sdpa")
    for column in ("model", "tokens", "pass", "pocketbert", *peers, "best peer / ours"):
        table.add_column(column, justify="left" if column in ("model", "pass") else "right")
    for family in arguments.families:
        found = models(family)
        for tokens in arguments.lengths:
            ids = torch.randint(1000, 30000, (1, tokens))
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            for name, kind in (("forward", forward), ("forward + backward", forward_backward)):
                calls = {label: kind(model, inputs) for label, model in found.items()}
                times = medians(interleaved(calls, arguments.rounds, warmups=2))
                cells = [f"{times[peer] * 1e3:.1f}" if peer in times else "-" for peer in peers]
                ratio = min(times[peer] for peer in peers if peer in times) / times["pocketbert"]
                table.add_row(family, str(tokens), name, f"{times['pocketbert'] * 1e3:.1f}", *cells, f"{ratio:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
