"""Which runtime is fastest on this machine: ``bench(folder)`` measures those that are installed."""

from __future__ import annotations

from pocketbert.bench.bench_report import EngineResult, Memory, Report, Settings, Trial
from pocketbert.bench.run import bench

__all__ = ["EngineResult", "Memory", "Report", "Settings", "Trial", "bench"]
