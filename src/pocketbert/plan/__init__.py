"""A checkpoint as a plan of fused operations: plain arrays that any runtime can run. Needs numpy only.

plan = plan_checkpoint(folder)    # NoNorms folded, projections merged, in float32
small = quantize(plan)            # int8 weights; small.measured is the agreement with float32
save_plan(small, path)            # one safetensors file; load_plan reads it
"""

from __future__ import annotations

from pocketbert.plan.build import make_plan, plan_checkpoint
from pocketbert.plan.check import check_plan
from pocketbert.plan.executor import ReferenceRunner, Result, run
from pocketbert.plan.int8.agreement import agreement
from pocketbert.plan.int8.center import center
from pocketbert.plan.int8.equalize import equalize
from pocketbert.plan.int8.narrow import quantize
from pocketbert.plan.plan_file import load_plan, save_plan
from pocketbert.plan.structure import Plan

__all__ = [
    "Plan",
    "ReferenceRunner",
    "Result",
    "agreement",
    "center",
    "check_plan",
    "equalize",
    "load_plan",
    "make_plan",
    "plan_checkpoint",
    "quantize",
    "run",
    "save_plan",
]
