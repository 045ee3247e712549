"""What compiled kernels rely on: blocks that move, and one process that compiles for all."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from apportion.core.handle import move
from apportion.core.jit import JIT_DISABLED, kernel

COMPILE = "from apportion.core.calendar import next_reset; print(next_reset(1, 0))"


@kernel
def moved(column, to, start, n):
    move(column, to, start, n)


@pytest.mark.parametrize("shape", [(20,), (20, 3)])
@pytest.mark.parametrize(("to", "start", "n"), [(3, 5, 9), (5, 3, 9), (0, 11, 9), (4, 4, 9), (7, 2, 0), (19, 0, 1)])
def test_blocks_move_as_if_they_were_copied_first(shape, to, start, n):
    column = np.arange(np.prod(shape)).reshape(shape)
    expected = column.tolist()
    expected[to : to + n] = column.tolist()[start : start + n]
    moved(column, to, start, n)
    assert column.tolist() == expected


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled without the JIT")
def test_one_process_compiles_a_kernel_and_the_others_find_it(tmp_path):
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DEBUG_CACHE": "1"}
    command = [sys.executable, "-c", COMPILE]
    first = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=300)[0] for process in first]
    said.append(subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=300).stdout)
    assert [process.returncode for process in first] == [0, 0, 0]
    assert sum(text.count("data saved") for text in said) == 1
    assert sum(text.count("data loaded") for text in said) == 3


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled without the JIT")
def test_folders_of_old_versions_go_when_something_is_compiled(tmp_path):
    day = 86_400
    now = int(time.time())
    ours = {"kernels-0123456789abcdef": 31, "kernels-fedcba9876543210-checked": 31, "kernels-00000000000000aa": 29}
    others = {"kernels-mine": 99, "kernels-0123456789abcdef0": 99, "elsewhere": 99}
    for name, days in (ours | others).items():
        (tmp_path / name / "core_1").mkdir(parents=True)
        (tmp_path / name / "apportion.core.easy.lock").touch()
        (tmp_path / name / "core_1" / "easy.nbi").touch()
        os.utime(tmp_path / name, (now - days * day,) * 2)
    no_lock = tmp_path / "kernels-00000000000000bb"
    no_lock.mkdir()
    os.utime(no_lock, (now - 99 * day,) * 2)
    (tmp_path / "kernels-00000000000000cc").symlink_to("elsewhere")
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", COMPILE], env=env, check=True, capture_output=True, timeout=300)
    left = {path.name for path in tmp_path.iterdir()}
    kept = {*others, "kernels-00000000000000aa", "kernels-00000000000000bb", "kernels-00000000000000cc"}
    (current,) = left - kept
    assert kept < left
    assert (tmp_path / "elsewhere" / "core_1" / "easy.nbi").exists()
    # Who only loads dates the folder that it uses, and looks no further.
    os.utime(tmp_path / current, (now - 31 * day,) * 2)
    os.utime(tmp_path / "kernels-00000000000000aa", (now - 62 * day,) * 2)
    subprocess.run([sys.executable, "-c", COMPILE], env=env, check=True, capture_output=True, timeout=300)
    assert (tmp_path / current).stat().st_mtime >= now
    assert (tmp_path / "kernels-00000000000000aa").exists()


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled without the JIT")
def test_a_cache_folder_without_room_for_locks_is_no_hindrance(tmp_path):
    (tmp_path / "cache").mkdir()
    code = "from apportion.core import jit; jit.Path = lambda *_: (_ for _ in ()).throw(OSError); " + COMPILE
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
