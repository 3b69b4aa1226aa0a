"""The machine that the set-up finds, and why it may not do: one line a fault, with the cure. Standard library only."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SUPPORTED = ((3, 11), (3, 12))
DISK_GIB = {"cpu": 7, "gpu": 20}  # 1.5 times what the finished environment takes (cpu: 4.7 GiB measured; gpu: CUDA wheels)
MEMORY_GIB = 6
PROBE = """
import importlib.util as u, json, os, sys, sysconfig
print(json.dumps({"version": sys.version_info[:3], "path": sys.executable,
    "venv": bool(u.find_spec("venv") and u.find_spec("ensurepip")),
    "headers": os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))}))
"""


class Python(NamedTuple):
    """An interpreter that answered."""

    version: tuple[int, ...]
    path: str
    venv: bool
    headers: bool


class Machine(NamedTuple):
    """What `faults` judges."""

    system: str
    architecture: str
    python: Python | None
    compiler: bool
    free_gib: float
    memory_gib: float
    extra: str


def probe(command: str) -> Python | None:
    """The interpreter behind a command; None where it does not run (a missing file, a shim without a version)."""
    try:
        done = subprocess.run([command, "-c", PROBE], capture_output=True, text=True, timeout=30)
        return Python(**json.loads(done.stdout)) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def find_python(wish: str | None) -> Python | None:
    """The first supported interpreter: AURICLE_PYTHON alone where set, else this one, then python3.11, then python3.12."""
    for command in [wish] if wish else [sys.executable, "python3.11", "python3.12", "/usr/bin/python3.11", "/usr/bin/python3.12"]:
        found = probe(command)
        if found and tuple(found.version[:2]) in SUPPORTED:
            return found
    return None


def memory_gib() -> float:
    """The machine's memory, or the container's limit where that is lower."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return min(limits) / 2**30


def sees_gpu() -> bool:
    """Whether an NVIDIA driver lists a device."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU" in done.stdout


def survey(root: Path, extra: str) -> Machine:
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        python=find_python(os.environ.get("AURICLE_PYTHON")),
        compiler=any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang")),
        free_gib=(shutil.disk_usage(root).free + venv_bytes(root)) / 2**30,
        memory_gib=memory_gib(),
        extra=extra,
    )


def venv_bytes(root: Path) -> int:
    """What a .venv that is there already takes: disk that need not be free any more."""
    return sum(path.lstat().st_size for path in (root / ".venv").rglob("*") if path.is_file() and not path.is_symlink())


def faults(machine: Machine) -> list[str]:
    """Why the set-up cannot work here: one line each, with the cure. Empty: go ahead."""
    found = []
    if machine.system != "Linux":
        found.append(
            f"this is {machine.system}; Auricle runs on Linux (vLLM's and DeepSpeed's wheels do). Use a Linux machine or container."
        )
    elif machine.architecture != "x86_64":
        found.append(
            f"this is {machine.architecture}; Auricle is tested on x86-64. vLLM publishes aarch64 wheels, but this is untried there: "
            "to try, set AURICLE_ANY_ARCHITECTURE=1."
        )
    if machine.python is None:
        wish = os.environ.get("AURICLE_PYTHON")
        where = f"AURICLE_PYTHON={wish} is not one" if wish else f"python3 is {platform.python_version()}, and no other was found"
        found.append(
            f"Python 3.11 or 3.12 is needed: {where}. Debian/Ubuntu: apt install python3.11 python3.11-venv, or set AURICLE_PYTHON."
        )
    else:
        name = "python{}.{}".format(*machine.python.version[:2])
        if not machine.python.venv:
            found.append(f"{machine.python.path} cannot make virtual environments. Debian/Ubuntu: apt install {name}-venv.")
        if not machine.python.headers:
            found.append(f"{machine.python.path} has no C headers, which pesq is compiled against. Debian/Ubuntu: apt install {name}-dev.")
    if not machine.compiler:
        found.append("no C compiler, which pesq is compiled with. Debian/Ubuntu: apt install gcc libc6-dev.")
    if machine.free_gib < DISK_GIB[machine.extra]:
        found.append(
            f"{machine.free_gib:.1f} GiB of disk are free here; the {machine.extra} environment needs {DISK_GIB[machine.extra]}. Free some."
        )
    if machine.memory_gib < MEMORY_GIB:
        found.append(
            f"{machine.memory_gib:.1f} GiB of memory; the stream and its judges need {MEMORY_GIB}. Use a larger machine or container."
        )
    if os.environ.get("AURICLE_ANY_ARCHITECTURE"):
        found = [fault for fault in found if "AURICLE_ANY_ARCHITECTURE" not in fault]
    return found
