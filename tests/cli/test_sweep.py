"""Sweeps: which cells there are, what is refused, and that neither a crash nor a kill loses or repeats a run.

Most tests use a program that pretends to train; the last test uses the real one.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from align_jax.cli import train as cli
from align_jax.cli.sweep import main, parse
from align_jax.errors import UserError
from align_jax.runs.folder import write_config
from align_jax.runtime.interruption import StopRequest
from align_jax.runtime.locks import lock
from align_jax.sweeping.cells import SweepCell, grid, remaining_s, share
from align_jax.sweeping.record import record
from align_jax.sweeping.slurm import slurm_script
from align_jax.sweeping.subprocesses import Queue, core_shares, last_error, state
from tests.tiny_config import get_config

ROOT = Path(__file__).parents[2]
TINY = f"--config={ROOT / 'tests' / 'tiny_config.py'}"
FOUR_CELLS = ("--methods=align,erm", "--domains=dark,bright")


def complete(run):
    """Makes a run's folder look complete: the summary, and the page, which comes last."""
    (run / "report").mkdir(parents=True, exist_ok=True)
    (run / "summary.json").write_text("{}")
    (run / "report" / "index.html").write_text("")


PRETENDED = """
import fcntl, json, os, signal, sys, time
from pathlib import Path

flags = dict(argument.lstrip("-").partition("=")[::2] for argument in sys.argv[1:])
run, method, domain = Path(flags["workdir"]), flags["config.algorithm"], flags["config.data.domain"]
alone = (run / "alone").open("w")
fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where two of them are in one folder
asked = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: asked.append(number))
with (run / "starts").open("a") as starts:
    starts.write(f"{os.getpid()}\\n")
config = json.loads(Path(__file__).with_name("tiny.json").read_text())
config |= {"algorithm": method, "seed": int(flags["config.seed"]), "data": config["data"] | {"domain": domain}}
(run / "config.json").write_text(json.dumps(config))
if flags.get("pretend_failing") == method:
    print("ValueError: no such luck")
    print("a line that says nothing")
    sys.exit(3)
gate = flags.get("pretend_gate")
patience = time.monotonic() + 120  # after a test that failed, nobody opens the gate
while gate and domain == "bright" and not Path(gate).exists() and not asked and time.monotonic() < patience:
    time.sleep(0.01)
if asked:
    patience = time.monotonic() + (60 if "pretend_slow" in flags else 0.5)
    while len(asked) < 2 and time.monotonic() < patience:
        time.sleep(0.01)
    (run / "signals").write_text(str(len(asked)))
    sys.exit(128 + asked[0])
time.sleep(0.1)
(run / "summary.json").write_text(json.dumps({"arguments": sys.argv}))
(run / "report").mkdir()
(run / "report" / "index.html").write_text("")
"""


@pytest.fixture
def pretended(tmp_path):
    """A program that takes launch/main.py's flags and leaves a summary."""
    path = tmp_path / "pretended.py"
    path.write_text(PRETENDED)
    # The config.json of a run, except for the fields that a cell sets.
    (tmp_path / "tiny.json").write_text(get_config().to_json())
    return sys.executable, str(path)


def sweep(workdir, *arguments, program=("nothing",)):
    return main(["sweep.py", TINY, f"--workdir={workdir}", *arguments], program)


def start(workdir, *arguments, program):
    """A sweep in a process, and in a process group, of its own."""
    code = f"import sys; from align_jax.cli.sweep import main; sys.exit(main(sys.argv, {program!r}))"
    with said(workdir).open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", code, TINY, f"--workdir={workdir}", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=errors, start_new_session=True,
        )  # fmt: skip


def said(workdir):
    """What the last sweep that was started here wrote to the terminal."""
    return workdir.with_name("said.txt")


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def starts(run):
    """The processes that were ever started in a cell."""
    return [int(line) for line in (run / "starts").read_text().split()]


def test_the_grid_has_every_combination_once():
    cells = grid(["align", "erm"], ["a", "b"], [0, 1, 2], {"optim.lr": ["1e-4", "1e-3"], "align.fill": ["mean"]})
    assert len(cells) == len(set(cells)) == 2 * 2 * 3 * 2
    assert cells[0] == SweepCell("align", "a", 0, (("align.fill", "mean"), ("optim.lr", "1e-4")))
    assert cells[0].path == "align,align.fill=mean,optim.lr=1e-4/a/seed0"
    assert SweepCell("erm", "b", 2).path == "erm/b/seed2"
    assert {cell.record()["method"] for cell in cells} == {"align", "erm"}


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 12, 40])
def test_the_shares_of_all_workers_have_each_cell_once(workers):
    cells = grid(["align", "erm"], ["a", "b"], [0, 1, 2], {})
    shares = [share(cells, worker, workers) for worker in range(workers)]
    assert sorted((cell for mine in shares for cell in mine), key=cells.index) == cells
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_no_two_cells_share_a_folder_and_none_leaves_the_sweep():
    domains = ["a", "a/b", "a%2Fb", "a b", "a_b", "..", ".", ".git", "%2E.", "Bär", "/etc", "a,b=1"]
    domains += ["x" * 300, "x" * 301]
    values = ["1", "1,optim.lr=2", "(4, 8)", "(4,8)", "../../..", ""]
    cells = grid(["align", "align,a=1"], domains, [0, 1], {"a": values})
    paths = {cell.path for cell in cells}
    assert len(paths) == len(cells)
    for path in paths:
        parts = path.split("/")
        assert len(parts) == 3
        for part in parts:
            assert part.isascii()
            assert part == part.strip()
            assert 0 < len(part) <= 255
            assert not part.startswith(".")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--methods=align,dro"], ["config.algorithm is 'dro'", "align, erm"]),
        (["--methods=align,,erm"], ["--methods=align,,erm", "empty value"]),
        (["--seeds=0,one"], ["--seeds is '0,one'", "whole numbers"]),
        (["--seeds=0,-1"], ["config.seed is -1"]),
        (["--seeds=0,0"], ["same run twice (align/bright/seed0)"]),
        (["--methods=erm,erm"], ["same run twice (erm/bright/seed0)"]),
        (["--vary=optim.lr=1e-4,0.0001"], ["same run twice", "optim.lr=1e-4", "optim.lr=0.0001"]),
        (["--domains=Art,art"], ["Art/seed0", "art/seed0", "differ only in case"]),
        (["--vary=optim.rate=1"], ["config.optim has no field 'rate'", "weight_decay"]),
        (["--vary=optim=1"], ["group of fields"]),
        (["--vary=optim.lr=1e-3,fast"], ["optim.lr", "fast"]),
        (["--vary=optim.lr=1e-3,-1"], ["config.optim.lr is -1.0", "between"]),
        (["--vary=optim.lr"], ["--vary=optim.lr has no values"]),
        (["--vary=optim.lr=1", "--vary=optim.lr=2"], ["optim.lr is given twice"]),
        (["--vary=optim.lr=1", "--config.optim.lr=2"], ["both --vary and --config.optim.lr"]),
        (["--vary=seed=1,2"], ["swept by --seeds"]),
        (["--seeds=1", "--config.seed=2"], ["leave out --config.seed"]),
        (["--methods=align", "--config.compare=('erm',)"], ["leave out --config.compare"]),
        (["--config.optim.rate=1"], ["no field 'rate'"]),
        (["--config.data.domain="], ["config.data.domain is empty", "--domains"]),
        (["--jobs=0"], ["--jobs is 0", "at least 1"]),
        (["--jobs=many"], ["jobs", "many"]),
        (["--worker=2/2"], ["--worker is '2/2'", "0 to n - 1"]),
        (["--worker=-1/2"], ["--worker is '-1/2'"]),
        (["--worker=1"], ["--worker is '1'"]),
        (["--worker=1/" + "1" * 5000], ["--worker is '1/1111"]),
        (["--seeds=" + "1" * 5000], ["--seeds is '1111"]),
        (["--seeds=" + ",".join(map(str, range(1000))), "--vary=optim.lr=" + ",".join("1" * 101)], ["101000 cells"]),
        (["--worker=0/2", "--slurm=x.sbatch"], ["leave out one of the two"]),
        (["--seed=1"], ["--seed is not a flag", "launch/sweep.py"]),
        (["stray"], ["'stray' is not a flag"]),
    ],
)
def test_mistakes_are_answered_in_one_line_before_anything_runs(tmp_path, capsys, arguments, parts):
    assert sweep(tmp_path / "sweep", *arguments) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    for part in parts:
        assert part in error, error
    assert not (tmp_path / "sweep").exists()


def test_without_flags_the_configs_own_values_are_swept():
    own = parse(["sweep.py", TINY, "--workdir=x", "--config.seed=4", "--config.compare=('erm',)"])
    assert [cell.path for cell in own.cells] == ["align/bright/seed4", "erm/bright/seed4"]
    varied = parse(["sweep.py", TINY, "--workdir=x", "--vary=masker.widths=(4,8),(8,)", "--config.optim.lr=0.5"])
    assert [cell.overrides for cell in varied.cells] == [(("masker.widths", "(4,8)"),), (("masker.widths", "(8,)"),)]
    assert {"--config.optim.lr=0.5", "--config.masker.widths=(8,)", "--config.compare=()"} <= set(
        varied.flags(varied.cells[1])
    )


def test_a_cell_with_another_config_is_refused_not_skipped(tmp_path, capsys):
    asked = parse(["sweep.py", TINY, f"--workdir={tmp_path}"])
    config, run = cli.parse(["main.py", *asked.flags(asked.cells[0])])
    write_config(config, run)
    complete(run)
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path, "--config.optim.lr=0.5") == 2
    assert "config.optim.lr was 0.01, is 0.5" in capsys.readouterr().err


def test_the_record_is_extended_and_another_file_is_refused(tmp_path):
    first, second = SweepCell("align", "a", 0), SweepCell("erm", "a", 0, (("optim.lr", "1e-4"),))
    path = tmp_path / "sweep.json"
    record(tmp_path, [first])
    before = path.stat().st_mtime_ns
    record(tmp_path, [first])
    assert path.stat().st_mtime_ns == before, "several workers should not write the same again and again"
    record(tmp_path, [second])
    assert json.loads(path.read_text()) == {
        "cells": [
            {"path": "align/a/seed0", "method": "align", "domain": "a", "seed": 0, "overrides": {}},
            {
                "path": "erm,optim.lr=1e-4/a/seed0",
                "method": "erm",
                "domain": "a",
                "seed": 0,
                "overrides": {"optim.lr": "1e-4"},
            },
        ]
    }
    for content in ("[]", "{", '{"cells": [1]}', '{"cells": [{}]}', '{"cells": {"path": 1}}'):
        path.write_text(content)
        with pytest.raises(UserError, match="not the record of a sweep"):
            record(tmp_path, [first])
        assert path.read_text() == content


def test_the_time_that_is_left():
    assert remaining_s([], [1.0], 3, 1) is None
    assert remaining_s([10.0, 20.0], [], 4, 2) == 30.0
    assert remaining_s([10.0], [4.0, 12.0], 0, 2) == 3.0
    assert remaining_s([10.0], [], 1, 8) == 10.0


def test_the_last_error_of_a_log():
    log = (
        "$ python main.py\nTraceback (most recent call last):\n  File x\njax.errors.JaxRuntimeError: out\n----\nnote\n"
    )
    assert last_error(log) == "jax.errors.JaxRuntimeError: out"
    assert last_error("error: --config.x\nbye\n") == "error: --config.x"
    assert last_error("Segmentation fault\n\n") == "Segmentation fault"
    assert last_error("$ python main.py\n") == ""


def test_a_sweep_runs_every_cell_once_and_at_most_so_many_at_a_time(tmp_path, pretended, capsys):
    arguments = (*FOUR_CELLS, "--seeds=0,1", "--jobs=2", "--vary=optim.lr=1e-3")
    workdir = tmp_path / "sweep"
    (workdir / "align,optim.lr=1e-3/dark/seed0").mkdir(parents=True)
    complete(workdir / "align,optim.lr=1e-3/dark/seed0")
    assert sweep(workdir, *arguments, program=pretended) == 0
    out, err = capsys.readouterr()
    assert "8 of 8 cells are complete" in out
    assert "1 of 8 cells are complete and not repeated" in err
    assert len([line for line in err.splitlines() if ": begins" in line]) == 7
    assert re.search(r"complete in \d:\d\d:\d\d", err)
    assert re.search(r"about \d:\d\d:\d\d", err)
    cells = json.loads((workdir / "sweep.json").read_text())["cells"]
    assert len(cells) == 8
    for cell in cells[1:]:
        assert len(starts(workdir / cell["path"])) == 1
        given = json.loads((workdir / cell["path"] / "summary.json").read_text())["arguments"]
        assert {
            f"--config.algorithm={cell['method']}", f"--config.data.domain={cell['domain']}", "--config.compare=()",
            f"--config.seed={cell['seed']}", "--config.optim.lr=1e-3",
        } <= set(given)  # fmt: skip
    # Seed 0 is complete before the last of seed 1 begins.
    order = [line.split(":")[0] for line in err.splitlines() if ": begins" in line]
    assert order.index("[sweep] erm,optim.lr=1e-3/bright/seed0") < order.index("[sweep] align,optim.lr=1e-3/dark/seed1")


@pytest.mark.parametrize("jobs", [1, 3])
def test_as_many_run_at_a_time_as_asked_and_no_more(tmp_path, pretended, jobs, capsys):
    assert sweep(tmp_path / "s", *FOUR_CELLS, "--seeds=0,1", f"--jobs={jobs}", program=pretended) == 0
    running = most = 0
    for line in capsys.readouterr().err.splitlines():
        running += (": begins" in line) - (": complete in" in line)
        most = max(most, running)
    assert most == jobs


def test_processes_at_the_same_time_have_cores_of_their_own(tmp_path):
    assert core_shares({4, 2, 3, 9}, 2) == [{2, 4}, {3, 9}]
    assert core_shares({1, 2}, 1) == [{1, 2}]
    assert core_shares({1, 2}, 3) == [{1, 2}] * 3
    available = os.sched_getaffinity(0)
    if len(available) < 2:
        pytest.skip("this machine has one core")
    code = "import os, pathlib, sys, time; time.sleep(0.2); "
    code += "(run,) = (flag.partition('=')[2] for flag in sys.argv if flag.startswith('--workdir=')); "
    code += "pathlib.Path(run, 'cores').write_text(repr(sorted(os.sched_getaffinity(0))))"
    # They write no report, so they fail. A program that cannot be started frees its cores, too.
    assert sweep(tmp_path / "s", *FOUR_CELLS, "--jobs=2", program=(sys.executable, "-c", code)) == 1
    found = [set(json.loads(path.read_text())) for path in (tmp_path / "s").rglob("cores")]
    assert len(found) == 4
    assert set.union(*found) == available
    assert all(cores in map(set, core_shares(available, 2)) for cores in found)
    assert sweep(tmp_path / "t", *FOUR_CELLS, "--jobs=2", program=(str(tmp_path / "nowhere"),)) == 1


def test_workers_share_the_cells_and_record_them_all(tmp_path, pretended):
    for worker, done in ((0, 2), (1, 3), (2, 4)):
        assert sweep(tmp_path / "s", *FOUR_CELLS, f"--worker={worker}/3", program=pretended) == 0
        assert len(json.loads((tmp_path / "s/sweep.json").read_text())["cells"]) == 4
        assert len(list(tmp_path.glob("s/*/*/*/summary.json"))) == done
    assert all(len(starts(run)) == 1 for run in tmp_path.glob("s/*/*/seed0"))


def test_a_failed_cell_stops_no_other_and_is_reported(tmp_path, pretended, capsys):
    workdir = tmp_path / "sweep"
    assert sweep(workdir, *FOUR_CELLS, program=(*pretended, "--pretend_failing=align")) == 1
    out, err = capsys.readouterr()
    assert "2 of 4 cells are complete" in out
    last = err.splitlines()[-2:]
    for line, domain in zip(last, ("dark", "bright"), strict=True):
        assert f"failed: align/{domain}/seed0, exit status 3: ValueError: no such luck" in line
        assert f"align/{domain}/seed0/log.txt" in line
    # After the cause is fixed, only those two run again, and the log has both attempts.
    assert sweep(workdir, *FOUR_CELLS, program=pretended) == 0
    assert len(starts(workdir / "erm/dark/seed0")) == 1
    assert len(starts(workdir / "align/dark/seed0")) == 2
    log = (workdir / "align/dark/seed0/log.txt").read_text()
    assert log.count("$ ") == 2
    assert "no such luck" in log


def test_a_program_that_cannot_be_started_or_leaves_nothing_is_a_failure(tmp_path, capsys):
    assert sweep(tmp_path / "a", program=(str(tmp_path / "nowhere"),)) == 1
    assert "nowhere" in capsys.readouterr().err
    assert sweep(tmp_path / "b", program=(sys.executable, "-c", "")) == 1
    assert "without a report" in capsys.readouterr().err
    assert sweep(tmp_path / "c", program=(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")) == 1
    assert "killed by signal 9 (Killed)" in capsys.readouterr().err


def test_killed_in_the_middle_it_loses_nothing_and_repeats_nothing(tmp_path, pretended):
    """kill -9 of the sweep and of one of two cells; the other cell continues, and the next sweep waits for it."""
    workdir, gate = tmp_path / "sweep", tmp_path / "gate"
    program = (*pretended, f"--pretend_gate={gate}")
    orphan, killed = workdir / "align/bright/seed0", workdir / "erm/bright/seed0"
    dark = [workdir / method / "dark/seed0" for method in ("align", "erm")]
    process = start(workdir, *FOUR_CELLS, "--jobs=3", program=program)
    wait_for(
        lambda: (
            all((run / "summary.json").exists() for run in dark)
            and all((run / "config.json").exists() for run in (orphan, killed))
        )
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.kill(starts(killed)[0], signal.SIGKILL)
    wait_for(lambda: state(killed) == "incomplete")
    assert [state(run) for run in (*dark, orphan)] == ["complete", "complete", "running"]

    again = start(workdir, *FOUR_CELLS, "--jobs=3", program=program)
    wait_for(lambda: "align/bright/seed0: still running in another process" in said(workdir).read_text())
    wait_for(lambda: len(starts(killed)) == 2)
    gate.touch()
    assert again.wait(timeout=120) == 0, said(workdir).read_text()
    assert "erm/bright/seed0: resumes" in said(workdir).read_text()
    assert "align/bright/seed0: complete, by another process" in said(workdir).read_text()
    assert [len(starts(run)) for run in (*dark, orphan, killed)] == [1, 1, 1, 2]
    assert all(state(run) == "complete" for run in (*dark, orphan, killed))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_it_lets_the_cells_save_and_says_how_to_go_on(tmp_path, pretended, number):
    workdir, gate = tmp_path / "sweep", tmp_path / "gate"
    program = (*pretended, f"--pretend_gate={gate}")
    arguments = ("--methods=align,erm", "--domains=bright", "--seeds=0,1", "--jobs=2")
    process = start(workdir, *arguments, program=program)
    running = [workdir / method / "bright/seed0" for method in ("align", "erm")]
    wait_for(lambda: all((run / "config.json").exists() for run in running))
    # Like a terminal, this signals the whole group; no cell must get the signal twice.
    os.killpg(process.pid, number)
    status = process.wait(timeout=120)
    errors = said(workdir).read_text()
    assert status == 128 + number, errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert "failed" not in errors
    assert [(run / "signals").read_text() for run in running] == ["1", "1"]
    assert not list(workdir.glob("*/*/seed1/starts")), "something began after the signal"
    gate.touch()
    assert sweep(workdir, *arguments, program=program) == 0


@pytest.mark.parametrize(
    ("status", "began", "failed"), [(1, False, False), (2, False, True), (1, True, True), (130, True, False)]
)
def test_a_cell_that_was_stopped_as_it_started_has_not_failed(tmp_path, status, began, failed):
    """Python's own start-up, and an import, can end otherwise than by the signal that was passed on."""
    cell, ready, lines = SweepCell("erm", "dark", 0), tmp_path / "ready", []
    run = tmp_path / cell.path
    code = (
        f"import pathlib, signal, sys, time; signal.signal(signal.SIGINT, lambda *_: sys.exit({status})); "
        f"{began} and pathlib.Path({str(run / 'config.json')!r}).touch(); pathlib.Path({str(ready)!r}).touch(); "
        "time.sleep(100)"
    )

    class Stop(StopRequest):
        signal = property(lambda _: signal.SIGINT if ready.exists() else None, lambda _, none: None)

    command = lambda _: [sys.executable, "-c", code]  # noqa: E731
    failures = Queue([cell], tmp_path, command, jobs=1, stop=Stop(), say=lines.append).run()
    assert (list(failures), "stopped after" in lines[-1]) == ([cell] * failed, not failed)


def test_a_second_interrupt_ends_the_cells_at_once(tmp_path, pretended):
    workdir = tmp_path / "sweep"
    run = workdir / "align/bright/seed0"
    process = start(workdir, program=(*pretended, f"--pretend_gate={tmp_path / 'gate'}", "--pretend_slow"))
    wait_for(lambda: (run / "config.json").exists())
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "SIGINT: saving" in said(workdir).read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    errors = said(workdir).read_text()
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert "failed" not in errors
    assert state(run) == "incomplete", "the cell's process still runs"
    assert not (run / "signals").exists()


def test_a_process_that_inherits_a_lock_holds_it_until_it_ends(tmp_path):
    with lock(tmp_path / "lock") as held:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(held,))
    with lock(tmp_path / "lock") as second:
        assert second is None
    process.kill()
    process.wait()
    with lock(tmp_path / "lock") as third:
        assert third is not None


def test_the_slurm_script_survives_bash_with_every_argument_whole(tmp_path):
    folder = tmp_path / "it's a $HOME folder"
    folder.mkdir()
    command = ["python", "launch/sweep.py", "--config.data.root=/a b/$(rm x)/'y'", '--vary=masker.widths=(4,8),"']
    script = tmp_path / "sweep.sbatch"
    script.write_text(slurm_script(command, 12, folder, "vlcs"))
    subprocess.run(["bash", "-n", str(script)], check=True)
    # A function named exec replaces exec: it prints the folder and the command that would run there.
    shown = subprocess.run(
        ["bash", "-c", f"exec() {{ printf '%s\\n' \"$PWD\" \"$@\"; }}; source {shlex.quote(str(script))}"],
        env=os.environ | {"SLURM_ARRAY_TASK_ID": "7"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.splitlines() == [str(folder), *command, "--worker=7/12"]
    directives = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --array=0-11" in directives
    assert {"#SBATCH --requeue", "#SBATCH --signal=B:TERM@120"} <= set(directives)
    assert "#SBATCH --array=0-999" in slurm_script(command, 2500, folder, "vlcs")


def test_slurm_writes_the_script_and_the_record_and_runs_nothing(tmp_path, capsys):
    arguments = (
        *FOUR_CELLS,
        "--seeds=0,1",
        "--vary=optim.lr=1e-4,1e-3",
        "--config.tensorboard=true",
    )
    script = tmp_path / "sweep.sbatch"
    assert sweep(tmp_path / "s", *arguments, f"--slurm={script}") == 0
    assert "16 cells in 16 jobs" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "s/sweep.json").read_text())["cells"]) == 16
    assert not list(tmp_path.glob("s/*/"))
    line = next(line for line in script.read_text().splitlines() if line.startswith("exec"))
    written = [word for word in shlex.split(line)[3:] if not word.startswith("--worker")]
    assert parse(["sweep.py", *written]).cells == parse(["sweep.py", TINY, f"--workdir={tmp_path}/s", *arguments]).cells
    assert "--config.tensorboard=true" in written


def test_a_summary_without_a_page_is_not_complete(tmp_path):
    """Killed between the two: `launch/main.py` writes the page when it is started again."""
    complete(tmp_path)
    assert state(tmp_path) == "complete"
    (tmp_path / "report" / "index.html").unlink()
    assert state(tmp_path) != "complete"


def test_a_dry_run_shows_every_state_and_leaves_nothing(tmp_path, capsys):
    assert sweep(tmp_path / "s", *FOUR_CELLS, "--dry_run") == 0
    assert not (tmp_path / "s").exists()
    done, incomplete, running = (tmp_path / "s" / f"{cell}/seed0" for cell in ("align/dark", "erm/dark", "erm/bright"))
    for run in (done, incomplete, running):
        run.mkdir(parents=True)
    complete(done)
    (incomplete / "metrics.jsonl").write_text("")
    capsys.readouterr()
    with lock(running / ".lock"):
        assert sweep(tmp_path / "s", *FOUR_CELLS, "--dry_run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {tuple(line.rsplit(maxsplit=1)) for line in lines[:4]} == {
        ("complete", "align/dark/seed0"), ("not started", "align/bright/seed0"),
        ("not started", "erm/dark/seed0"), ("running", "erm/bright/seed0"),
    }  # fmt: skip


def test_a_real_sweep_of_two_cells(tmp_path, capsys):
    arguments = (
        "--methods=erm", "--domains=dark", "--seeds=3,4", "--jobs=2", "--config.schedule.length=2",
        "--config.schedule.warmup=1", "--config.evaluation.every=2", "--config.explain.images=2",
        "--config.explain.steps=1", "--config.evaluation.gallery_images=1",
    )  # fmt: skip
    command = [sys.executable, str(ROOT / "launch" / "sweep.py"), TINY, f"--workdir={tmp_path}", *arguments]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    logs = "".join(path.read_text() for path in tmp_path.glob("*/*/*/log.txt"))
    assert result.returncode == 0, result.stderr + logs
    for seed in (3, 4):
        run = tmp_path / f"erm/dark/seed{seed}"
        summary = json.loads((run / "summary.json").read_text())
        assert (summary["algorithm"], summary["seed"]) == ("erm", seed)
        assert summary["train_domains"] == ["grey", "bright"]
        assert (run / "report" / "index.html").exists()
        assert "Report: " in (run / "log.txt").read_text()
    # What the runs wrote agrees with what the sweep checks: nothing is refused, and nothing begins again.
    assert sweep(tmp_path, *arguments) == 0
    assert "2 of 2 cells are complete and not repeated" in capsys.readouterr().err
