"""Imported at its start by every Python process whose PYTHONPATH has this folder: one that is about to make a certain rename stops there.

AURICLE_FREEZE = MARKER|N|PATTERN: before its N-th rename `from -> to` that PATTERN is found in, a process touches MARKER and does nothing
more, for a test to kill all of the job at that very moment. It is an audit hook: nothing of the job is changed or replaced.
"""

import os
import re
import sys
import time

if POINT := os.environ.get("AURICLE_FREEZE"):
    MARKER, NUMBER, PATTERN = POINT.split("|", 2)
    left = [int(NUMBER)]

    def watch(event: str, arguments: tuple) -> None:
        """Counts, and stops."""
        if event == "os.rename" and re.search(PATTERN, f"{arguments[0]} -> {arguments[1]}"):
            left[0] -= 1
            if not left[0]:
                os.close(os.open(MARKER, os.O_CREAT | os.O_WRONLY))
                while True:
                    time.sleep(60)

    sys.addaudithook(watch)
