"""A disk that is full, or becomes read-only: one sentence, and the run goes on once there is room.

The disk is a file system in memory, which needs the right to mount one.
"""

import os
import subprocess

import pytest

from tests.processes import finish, same_results, start, wait_for

pytestmark = pytest.mark.storm


@pytest.fixture
def disk(tmp_path):
    """Mounts a file system in memory of the given size, and changes its options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)], check=True)
        return folder

    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    yield mount
    while os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remounted(folder, *options):
    subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(folder)], check=True)


def ended(process):
    """What a run said that had to end: an error of one line, as the last one."""
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    line = errors.strip().splitlines()[-1]
    assert line.startswith("error: "), errors
    return line


@pytest.mark.parametrize("kibibytes", [4, 64, 256, 512])
def test_a_full_disk_is_said_and_with_more_room_the_run_goes_on(uninterrupted, disk, kibibytes):
    folder = disk(f"size={kibibytes}k")
    line = ended(start(folder / "run"))
    print(f"{kibibytes} KiB: {line}")
    assert "No space left on device" in line or "room" in line
    remounted(folder, "size=64m")
    finish(folder / "run")
    same_results(folder / "run", uninterrupted)


def test_a_read_only_disk_is_said_before_anything_is_trained(disk):
    folder = disk("size=64m,ro")
    line = ended(start(folder / "run"))
    assert "Read-only file system" in line
    assert str(folder) in line


def test_a_disk_that_becomes_full_while_a_run_trains(uninterrupted, disk):
    folder = disk("size=64m")
    process = start(folder / "run")
    wait_for((folder / "run" / "checkpoints" / "2").is_dir, process)
    with (folder / "ballast").open("wb") as ballast:
        try:
            while True:
                ballast.write(bytes(2**16))
                ballast.flush()
        except OSError:
            pass
    print(ended(process))
    (folder / "ballast").unlink()
    finish(folder / "run")
    same_results(folder / "run", uninterrupted)
