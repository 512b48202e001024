from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_ends_as_one_that_is_left_alone(one_thread: dict[str, str]) -> None:
    script = Path(__file__).with_name("kill_and_resume.py")
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "3"], env=one_thread, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills: " in done.stdout
    assert "after the last epoch" in done.stdout
