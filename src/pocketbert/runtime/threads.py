"""How many threads this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from pocketbert.errors import InputError

__all__ = ["MOST_THREADS", "available_threads", "check_threads"]

MOST_THREADS = 256
_CGROUPS = Path("/sys/fs/cgroup")


def available_threads(cgroups: Path = _CGROUPS) -> int:
    """Return the CPUs that this process may run on, or fewer where its control group's time limit allows fewer."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _cgroup_limit(cgroups)
    return max(1, min(count, MOST_THREADS, math.ceil(limit) if limit else count))


def check_threads(threads: int | None) -> int:
    """Return ``threads``, or as many as are available where it is None.

    Raises:
        InputError: it is no whole number in 1 .. ``MOST_THREADS``.
    """
    if threads is None:
        return available_threads()
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
        raise InputError(f"threads={threads!r} must be a whole number in 1 .. {MOST_THREADS}")
    return threads


def _cgroup_limit(root: Path) -> float | None:
    """Return the CPUs' worth of time that a control group (version 2, then 1) grants, or None without a limit."""
    try:
        quota, period = (root / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        granted = int(quota) / int(period)  # "max", or -1 in version 1, is no limit
    except (ValueError, ZeroDivisionError):
        return None
    return granted if granted > 0 else None
