"""Where and when something was measured: without it, a number in milliseconds says little."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from typing import Any

import llvmlite.binding
import numba
import numpy as np

import minidarknet


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return name


def describe(threads: int) -> dict[str, Any]:
    """Everything that a results file says about its machine."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "instructions": numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name(),
        "cores": cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            "numba": numba.__version__,
            "numpy": np.__version__,
            "minidarknet": minidarknet.__version__,
        },
    }


def in_words(facts: dict[str, Any]) -> str:
    """The same in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['processor']} ({facts['instructions']}), {facts['threads']} of {facts['cores']} cores; "
        f"{versions}; {facts['date']}"
    )
