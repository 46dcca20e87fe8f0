"""A checkpoint as a program of fused layers: plain arrays that any runtime can run. Needs numpy only.

program = plan_checkpoint(folder)       # NoNorms folded, projections merged, in float32
small = quantize(program)               # int8 weights; small.measured says how near it is
save_plan(small, folder)                # one safetensors file; load_plan reads it
"""

from __future__ import annotations

from pocketbert.plan.build import make_plan, plan_checkpoint
from pocketbert.plan.check import check_program
from pocketbert.plan.executor import ReferenceRunner, Result, run
from pocketbert.plan.file import load_plan, save_plan
from pocketbert.plan.int8.center import centre
from pocketbert.plan.int8.equalize import equalise
from pocketbert.plan.int8.weights import agreement, quantize
from pocketbert.plan.structure import Program

__all__ = [
    "Program",
    "ReferenceRunner",
    "Result",
    "agreement",
    "centre",
    "check_program",
    "equalise",
    "load_plan",
    "make_plan",
    "plan_checkpoint",
    "quantize",
    "run",
    "save_plan",
]
