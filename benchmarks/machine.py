"""On what a result was measured: enough to judge it, nothing that names the machine or its owner."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.environments import HOME, ROOT


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _filesystem(path: Path) -> str:
    """The kind of file system that holds `path`."""
    best, kind = "", "unknown"
    mounts = Path("/proc/mounts")
    for line in mounts.read_text().splitlines() if mounts.exists() else []:
        _device, point, found, *_ = line.split()
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run([git, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def describe() -> dict[str, str | int | bool]:
    """The machine, its software, and the commit."""
    HOME.mkdir(parents=True, exist_ok=True)
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": _memory_mib(),
        "kernel": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "architecture": platform.machine(),
        "filesystem": _filesystem(HOME),
        "python": sys.version.split()[0],
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--", "src")),
    }


def kind() -> str:
    """A word for the kind of machine, for file names: `linux-x86_64-2cores`."""
    return f"{platform.system().lower()}-{platform.machine()}-{len(os.sched_getaffinity(0))}cores"
