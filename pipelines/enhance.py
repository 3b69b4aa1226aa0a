"""`auricle enhance FILE -o FILE`: cleans an audio file or a film of any length."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from auricle.enhancers.assets import default_enhancer
from auricle.enhancers.checkpoint import load_enhancer
from auricle.enhancers.chunks import enhance_long
from auricle.enhancers.interface import Enhancer
from auricle.enhancers.recording import Recording, read_recording, write_recording
from auricle.errors import EnvironmentSetupError, MediaError
from auricle.mouth import frame_crops
from auricle.progress import Progress
from auricle.signals import resample
from auricle.video import VIDEO_SUFFIXES
from pipelines.best_of import BestOf
from pipelines.command import run_verb, verb_parser
from pipelines.run_folder import RunFolder
from pipelines.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = verb_parser(
        "enhance",
        "Clean an audio file or a video. A video comes back with its picture untouched. Length, rate and channels stay as they are: one\n"
        "mask, made from the mean of the channels, goes over each of them. What lies above half the enhancer's rate (8 kHz) is lost.",
        [
            "auricle enhance interview.mp4 -o clean.mp4",
            "auricle enhance meeting.wav -o meeting-clean.flac --checkpoint runs/mine",
            "auricle enhance S00001_mix.wav --face S00001_silent.mp4 -o S00001.wav",
            "auricle enhance meeting.wav -o clean.wav --best-of 8 --judge gsrm        # a judge picks one of eight",
        ],
    )
    parser.add_argument("file", type=Path, help="audio or video")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where to write; its suffix chooses the format")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="an enhancer's folder, or a run's: its best checkpoint (default: the one that comes with Auricle)",
    )
    parser.add_argument("--face", type=Path, help="video of the talker's face, for an audio file (default: FILE's own picture)")
    parser.add_argument("--audio-only", action="store_true", help="do not look at the picture")
    parser.add_argument(
        "--channels", choices=["keep", "mono"], default="keep", help="keep all channels, or write their mean (default: keep)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda... (default: cuda where there is one)")
    parser.add_argument(
        "--best-of", type=int, default=1, metavar="N", help="draw N - 1 explored enhancements beside the plain one; keep the best"
    )
    parser.add_argument("--judge", metavar="NAME", help="who picks: a judge of the panel, or another by kind (default: gsrm)")
    parser.add_argument("--force", action="store_true", help="overwrite the output file")
    return run_verb(parser, _story, argv)


def _enhancer_folder(named: Path | None) -> Path:
    """The enhancer's folder itself, that in a checkpoint, or that of a run's best checkpoint (its last one where none passed the guard)."""
    if named is None:
        return default_enhancer()
    if (named / "config.toml").exists():
        run = RunFolder.open(named)
        if found := run.best_checkpoint() or run.last_checkpoint():
            named = found[1]
    inside = named / "enhancer"
    return inside if inside.is_dir() and not (named / "config.json").exists() else named


def _story(arguments: argparse.Namespace, settings: Settings) -> None:
    check_paths(arguments.file, arguments.output, force=arguments.force)
    enhancer = load_enhancer(_enhancer_folder(arguments.checkpoint), device=choose_device(arguments.device))
    recording = read_recording(arguments.file)
    picker = None if arguments.best_of <= 1 else BestOf(settings, arguments.judge or "gsrm", arguments.best_of)
    if arguments.output.suffix.lower() in VIDEO_SUFFIXES and not recording.has_picture:
        raise MediaError(f"{arguments.output}: a video was asked for, but {arguments.file} has no picture; choose .wav or .flac")
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        face = None if arguments.audio_only else arguments.face or (arguments.file if recording.has_picture else None)
        frames = None
        if face is not None:
            task = progress.add_task("finding the mouth", total=None)
            frames = look(face, enhancer)
            progress.remove_task(task)
        task = progress.add_task("enhancing", total=1)
        enhanced = enhance_recording(
            enhancer,
            recording,
            frames,
            settings,
            mono=arguments.channels == "mono",
            enhance=picker or enhance_long,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    keeps_picture = recording.has_picture and arguments.output.suffix.lower() in VIDEO_SUFFIXES
    clipped = write_recording(arguments.output, enhanced, recording.sample_rate_hz, arguments.file if keeps_picture else None)
    print(summary(arguments.output, recording, enhanced, seen=frames is not None, keeps_picture=keeps_picture, clipped=clipped))
    if picker is not None:
        print(picker.told())


def check_paths(source: Path, output: Path, *, force: bool) -> None:
    """Raises MediaError before any work is done: for a source that is not there, and an output that is."""
    if not source.is_file():
        raise MediaError(f"{source}: no such file", fault="missing")
    if output.is_dir():
        raise MediaError(f"{output}: is a folder; name a file in it, such as {output / source.name}")
    if output.exists() and not force:
        raise MediaError(f"{output}: exists already; give --force to overwrite it, or another name")


def choose_device(name: str) -> torch.device:
    """`auto` is cuda where there is one. Raises EnvironmentSetupError for a device that torch does not have."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EnvironmentSetupError(f"--device {name}: not usable here ({reason}); try --device cpu") from error


def look(face: Path, enhancer: Enhancer) -> torch.Tensor:
    """What the enhancer sees of a video, at its size and rate. Says so where a face was looked for and not found."""
    crops = frame_crops(face, enhancer.frame_rate_hz, enhancer.frame_size_px, enhancer.crop)
    if enhancer.crop == "mouth" and not crops.face_found:
        print(
            f"auricle enhance: {face}: no face was found; looking below the picture's middle instead (or give --audio-only)",
            file=sys.stderr,
        )
    return torch.from_numpy(crops.frames)


def enhance_recording(
    enhancer: Enhancer,
    recording: Recording,
    frames: torch.Tensor | None,
    settings: Settings,
    *,
    mono: bool,
    on_progress: Callable[[int, int], None],
    enhance: Callable[..., torch.Tensor] = enhance_long,
) -> np.ndarray:
    """Sound of [channels, samples] at the recording's own rate and of its own length. enhance: `enhance_long`, or a `BestOf`."""
    audio = recording.audio.mean(axis=0, keepdims=True) if mono else recording.audio
    device = next(enhancer.parameters()).device
    mix = torch.from_numpy(np.stack([resample(channel, recording.sample_rate_hz, enhancer.sample_rate_hz) for channel in audio])).to(device)
    enhanced = enhance(enhancer, mix, None if frames is None else frames.to(device), settings.enhance, on_progress).cpu().numpy()
    back = np.stack([resample(channel, enhancer.sample_rate_hz, recording.sample_rate_hz) for channel in enhanced])
    samples = audio.shape[1]
    return np.pad(back[:, :samples], ((0, 0), (0, max(0, samples - back.shape[1]))))


def summary(output: Path, recording: Recording, enhanced: np.ndarray, *, seen: bool, keeps_picture: bool, clipped: int) -> str:
    """One line that tells what was written."""
    parts = [
        f"{recording.audio.shape[1] / recording.sample_rate_hz:.1f} s",
        f"{recording.sample_rate_hz} Hz",
        f"{enhanced.shape[0]} channel" + ("s" if enhanced.shape[0] > 1 else ""),
        "heard and seen" if seen else "heard only",
    ]
    parts += ["picture copied"] * keeps_picture + [f"{clipped} samples clipped"] * (clipped > 0)
    return f"{output}: " + ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
