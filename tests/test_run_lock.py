"""One job at a time in a run's folder, also after one was killed."""

import subprocess
import sys

import pytest

from auricle.errors import ConfigError
from pipelines.run_lock import only_job_in

HOLD = """
import sys, time
from pathlib import Path
from pipelines.run_lock import only_job_in
with only_job_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_job_is_refused_by_name_and_a_killed_one_leaves_the_folder_free(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(ConfigError, match=f"process {other.pid} on "), only_job_in(tmp_path):
                pass
        finally:
            other.kill()
    with only_job_in(tmp_path):
        pass
    with only_job_in(tmp_path):
        pass
