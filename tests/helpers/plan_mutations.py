"""Small random plans, and every way to change one in one place."""

from __future__ import annotations

import random
from dataclasses import fields, is_dataclass, replace

import numpy as np

from pocketbert import BertConfig, DistilBertConfig, MobileBertConfig
from pocketbert.architecture import families
from pocketbert.errors import CheckpointError
from pocketbert.plan import Plan, check_plan, make_plan
from pocketbert.plan.structure import Array, Span

COMMON = {"vocab_size": 31, "max_position_embeddings": 40}
CONFIGS = {
    "MobileBERT": MobileBertConfig(
        hidden_size=32, num_attention_heads=2, num_hidden_layers=2, intermediate_size=20, embedding_size=12,
        intra_bottleneck_size=16, **COMMON,
    ),
    "BERT": BertConfig(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=40, **COMMON),
    "DistilBERT": DistilBertConfig(dim=24, n_heads=4, n_layers=2, hidden_dim=40, **COMMON),
}  # fmt: skip


def program(name="MobileBERT", head="token_classification"):
    generator = np.random.default_rng(0)
    config = CONFIGS[name]
    arrays = {}
    for p in families.parameters(config, head):
        noise = generator.standard_normal(p.shape).astype(np.float32)
        size = 0.7 * p.shape[1] ** -0.5 if p.kind == "linear_weight" else 0.3
        arrays[p.name] = 1 + 0.1 * noise if p.kind == "norm_scale" else np.float32(size) * noise
    return make_plan(config, head, arrays)


def places(value, name=()):
    """Yield the path of every array, number and name in a program."""
    if is_dataclass(value):
        for field in fields(value):
            if field.name not in ("config", "measured"):
                yield from places(getattr(value, field.name), (*name, field.name))
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from places(inner, (*name, index))
    elif value is not None and not isinstance(value, dict):
        yield name


def changed(value, name, change):
    """Return a copy of a program with what stands at ``name`` changed."""
    if not name:
        return change(value)
    if isinstance(value, tuple):
        inner = changed(value[name[0]], name[1:], change)
        return (*value[: name[0]], inner, *value[name[0] + 1 :])
    return replace(value, **{name[0]: changed(getattr(value, name[0]), name[1:], change)})


def damage(chance: random.Random):
    def of(value):
        if isinstance(value, np.ndarray):
            return damaged_array(value, chance)
        if isinstance(value, bool):
            return not value
        if isinstance(value, (int, float)):
            return chance.choice((0, -1, 1, 7, value + 1, 2**31, 2**40, -(2**63)))
        return chance.choice(("", "x", "inner", "qkvr", "relu", "gelu", "masked_lm"))

    return of


def damaged_array(value: Array, chance: random.Random):
    kind = chance.randrange(8)
    if kind == 0:
        return value[:-1]
    if kind == 1:
        return value[..., :-1]
    if kind == 2:
        return value.astype(chance.choice((np.float64, np.int64, np.int32, np.float16, object)))
    if kind == 3:
        return value.ravel()
    if kind == 4:
        return chance.choice((None, value.tolist(), np.zeros((0, 0), value.dtype), np.zeros((), value.dtype)))
    if kind == 5:
        return np.asfortranarray(value)[::-1]
    other = value.copy()
    if other.size:
        extremes = (np.nan, np.inf, -np.inf, 3e38) if value.dtype.kind == "f" else (-128, 127, 0)
        other.flat[chance.randrange(other.size)] = chance.choice(extremes)
    return other


def rearranged(plan: Plan, chance: random.Random) -> Plan:
    """Return a plan with other spans, buffers, heads, or another order of its operations."""
    kind = chance.randrange(5)
    if kind == 0:
        name = chance.choice([*plan.buffers])
        columns = chance.choice((0, 1, plan.buffers[name] - 1, plan.buffers[name] + 1, 2**21))
        return replace(plan, buffers=plan.buffers | {chance.choice((name, "other")): columns})
    if kind == 1:
        index = chance.randrange(len(plan.layers))
        layer = plan.layers[index]
        ops = chance.choice((chance.sample(layer.ops, len(layer.ops)), layer.ops[1:], layer.ops[:-1], layer.ops * 2))
        return changed(plan, ("layers", index), lambda layer: replace(layer, ops=tuple(ops)))
    if kind == 2:
        return replace(plan, layers=chance.choice((plan.layers[::-1], plan.layers[:-1], plan.layers * 2, ())))
    spans = [name[:-1] for name in places(plan) if name[-1] == "buffer"]
    found = [_at(plan, name) for name in spans]
    where, other = chance.choice(spans), chance.choice(found)
    old = _at(plan, where)
    shift = chance.choice((-1, 1, old.width, -old.width))
    new = chance.choice(
        (other, Span(other.buffer, old.start, old.stop), Span(old.buffer, old.start + shift, old.stop + shift))
    )
    return changed(plan, where, lambda _: new)


def _at(value, name):
    for part in name:
        value = value[part] if isinstance(part, int) else getattr(value, part)
    return value


def is_refused(plan) -> bool:
    """Whether the check of plans refuses one."""
    try:
        check_plan(plan)
    except (CheckpointError, AttributeError, TypeError, ValueError, KeyError):  # all but the first: of another type
        return True
    return False


def mutated(plan, chance: random.Random, number: int):
    """Return a plan that is damaged in one place or, at odd numbers, rearranged."""
    if number % 2:
        return rearranged(plan, chance)
    return changed(plan, chance.choice(list(places(plan))), damage(chance))
