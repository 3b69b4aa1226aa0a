"""The enhancer's model card: how good it is on scenes nothing was chosen on, and whether it looks at the picture.

    python -m benchmarks.baseline --corpus corpus/A --split eval --enhancer auricle/assets/enhancer --other audio-only=runs/audio-only/best

Rows: the mixture, the enhancer, the same with another scene's film, and in the dark; and other enhancers by name. Means, and below them the
difference to `enhanced` with its 95 % interval by bootstrap over speakers.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from auricle.enhancers.checkpoint import load_enhancer
from auricle.learning.validation import compare, load_clips, score_audio, score_enhancer
from auricle.scenes.layouts import list_scenes
from pipelines.pretrain import comparison_table


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baseline", description=__doc__, formatter_class=formatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", default="eval")
    parser.add_argument("--enhancer", type=Path, required=True, help="a checkpoint folder")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=FOLDER", help="more of them; audio-only ones are in the dark")
    arguments = parser.parse_args(argv)
    enhancer = load_enhancer(arguments.enhancer)
    clips = load_clips(list_scenes(arguments.corpus, arguments.split), enhancer)
    systems = {"noisy": score_audio([clip.mix for clip in clips], clips), "enhanced": score_enhancer(enhancer, clips)}
    systems["shuffled picture"] = score_enhancer(enhancer, clips, "shuffled")
    systems["no picture"] = score_enhancer(enhancer, clips, "none")
    for given in arguments.other:
        name, _, folder = given.partition("=")
        systems[name] = score_enhancer(load_enhancer(Path(folder)), clips)
    Console().print(comparison_table(compare(systems, clips, "enhanced"), f"{arguments.corpus}, {arguments.split} scenes"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
