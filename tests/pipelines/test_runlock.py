import subprocess
import sys
from pathlib import Path

import pytest

from corpus.errors import TreatyStanceError
from pipelines.runlock import RunLock, free_runs


def test_a_lock_is_held_by_one_and_freed_at_the_end(tmp_path: Path) -> None:
    with RunLock(tmp_path, "a"):
        assert not RunLock(tmp_path, "a").take()
        assert free_runs(tmp_path, ["a", "b"]) == ["b"]
        with pytest.raises(TreatyStanceError, match="wait for the other collector"), RunLock(tmp_path, "a"):
            pass
    assert free_runs(tmp_path, ["a", "b"]) == ["a", "b"]


def test_a_killed_holder_frees_its_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from pipelines.runlock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1]), 'a'); lock.take(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert free_runs(tmp_path, ["a"]) == []
        process.kill()
        process.wait()
    assert free_runs(tmp_path, ["a"]) == ["a"]
