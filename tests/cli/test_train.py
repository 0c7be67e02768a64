"""A user's mistake is answered in one line, with the value, the valid choices, and no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from align_jax.cli.arguments import split_profile
from align_jax.cli.train import main, parse
from align_jax.configuration import check, default_config
from align_jax.errors import UserError
from align_jax.training.plan import durations

ROOT = Path(__file__).parents[2]
QUICKSTART = f"--config={ROOT / 'configs' / 'quickstart.py'}"


def answer(*arguments):
    with pytest.raises(UserError) as caught:
        check(parse(["main.py", *arguments])[0])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_typed_overrides():
    config, workdir = parse(
        ["main.py", QUICKSTART, "--workdir=a/b", "--config.seed=1", "--config.optim.lr=3e-4", "--config.compare=()",
         "--config.masker.widths=(4,8)", "--config.classifier.freeze_batch_norm=true"]
    )  # fmt: skip
    assert (config.seed, config.optim.lr, config.compare) == (1, 3e-4, ())
    assert config.masker.widths == (4, 8)
    assert config.classifier.freeze_batch_norm is True
    assert workdir == Path("a/b")
    check(config)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("erm,dre", ("erm", "dre")),
        ("erm", ("erm",)),
        ("erm,", ("erm",)),
        ("(erm, dre)", ("erm", "dre")),
        ("[erm,dre]", ("erm", "dre")),
        ("('erm','dre')", ("erm", "dre")),
        ("'erm',\"dre\"", ("erm", "dre")),
        ("", ()),
        ("()", ()),
    ],
)
def test_a_tuple_of_names_may_be_written_in_any_obvious_way(text, names):
    config, workdir = parse(["main.py", QUICKSTART, f"--config.compare={text}"])
    assert config.compare == names
    assert workdir == Path("runs/quickstart" if names else "runs/quickstart/align/fluent3d/seed0")
    check(config)


@pytest.mark.parametrize("text", ["4,8", "(4,8)", "[4, 8]", "(4, 8,)"])
def test_a_tuple_of_numbers_may_be_written_in_any_obvious_way(text):
    assert parse(["main.py", QUICKSTART, f"--config.masker.widths={text}"])[0].masker.widths == (4, 8)
    repeated = ["--config.masker.widths=4", "--config.masker.widths=8"]
    assert parse(["main.py", QUICKSTART, *repeated])[0].masker.widths == (4, 8)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([QUICKSTART, "--workdir=x", "--config.optim.rate=1"], ["no field 'rate'", "lr, name, schedule, weight_decay"]),
        ([QUICKSTART, "--workdir=x", "--config.optimizer.lr=1"], ["config has no field 'optimizer'", "optim"]),
        ([QUICKSTART, "--workdir=x", "--config.optim.lr.x=1"], ["config.optim.lr has no field 'x'"]),
        ([QUICKSTART, "--workdir=x", "--config.optim=1"], ["--config.optim is a group of fields", "lr"]),
        ([QUICKSTART, "--workdir=x", "--config.optim.lr"], ["has no value"]),
        ([QUICKSTART, "--workdir=x", "--config.optim.lr=fast"], ["config.optim.lr", "fast"]),
        ([QUICKSTART, "--workdir=x", "--config.seed=1.5"], ["config.seed", "1.5"]),
        ([QUICKSTART, "--workdir=x", "--config.optim.lr=-1"], ["config.optim.lr is -1.0", "between 1e-30 and"]),
        ([QUICKSTART, "--workdir=x", "--config.optim.lr=nan"], ["config.optim.lr is nan", "between 1e-30 and"]),
        ([QUICKSTART, "--workdir=x", "--config.algorithm=alighn"], ["config.algorithm is 'alighn'", "align, erm"]),
        ([QUICKSTART, "--workdir=x", "--config.compare=('dro',)"], ["'dro'", "align, erm"]),
        ([QUICKSTART, "--workdir=x", "--config.compare=erm,dro"], ["'dro'", "align, erm"]),
        ([QUICKSTART, "--workdir=x", "--config.compare=erm;dre"], ["'erm;dre'", "align, erm"]),
        ([QUICKSTART, "--workdir=x", "--config.masker.widths=4,x"], ["('4', 'x')", "whole numbers"]),
        (
            [QUICKSTART, "--workdir=x", "--config.guidance=masks"],
            ["'masks'", "method, learned, true, folder, grey, none"],
        ),
        ([QUICKSTART, "--workdir=x", "--config.classifier.name=vit"], ["'vit'", "resnet18", "resnet_small"]),
        ([QUICKSTART, "--workdir=x", "--config.data.image_size=50"], ["image_size is 50", "multiple of"]),
        ([QUICKSTART, "--workdir=x", "--config.schedule.warmup=7"], ["schedule.warmup is 7.0", "between 0 and 1"]),
        ([QUICKSTART, "--workdir=x", "--config.explain.fill=grey"], ["'grey'", "mean, image_mean, blur, black"]),
        ([QUICKSTART, "--workdir=x", "--wrkdir=y"], ["wrkdir"]),
        ([QUICKSTART, "--workdir=x", "stray"], ["'stray' is not a flag"]),
        (["--workdir=x"], ["--config is missing"]),
        (["--config=nowhere.py", "--workdir=x"], ["config file cannot be read", "nowhere.py"]),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments, parts):
    text = answer(*arguments)
    for part in parts:
        assert part in text, text


@pytest.mark.parametrize("given", ["0", "-1", "1001", "1e3", "ten", "٣", "9" * 5000])
def test_a_profile_has_from_1_to_1000_steps(given, capsys):
    assert main(["main.py", QUICKSTART, f"--profile={given}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--profile is '" in line
    assert "it must be the number of updates to trace, from 1 to 1000" in line
    assert main(["main.py", QUICKSTART, "--profile"]) == 2
    assert "--profile has no value; write --profile=STEPS, from 1 to 1000." in capsys.readouterr().err


def test_the_flag_of_a_profile_is_taken_from_the_others():
    assert split_profile(["main.py", "--profile=7", "--workdir=x"], 1000) == (7, ["main.py", "--workdir=x"])
    assert split_profile(["main.py", "-profile=7", "--profile=1000"], 1000) == (1000, ["main.py"])
    assert split_profile(["main.py", "--config.profile=7"], 1000) == (0, ["main.py", "--config.profile=7"])


def test_the_command_prints_the_line_and_nothing_else(tmp_path):
    command = [sys.executable, str(ROOT / "launch" / "main.py"), QUICKSTART, f"--workdir={tmp_path}"]
    result = subprocess.run([*command, "--config.optim.rate=1"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stderr.startswith("error: --config.optim.rate: config.optim has no field 'rate'")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("--config.data.domain=emoji", ["'emoji'", "noto, twemoji, openmoji, fluent3d"]),
        ("--config.data.correlation=0.4", ["correlation 0.4", "0.0, 0.3, 0.5, 0.7, 0.9"]),
        ("--config.data.image_size=40", ["size 40", "32, 64, 96, 128"]),
        ("--config.schedule.batch_size=50", ["50", "3 training domains", "multiple of 3"]),
    ],
)
def test_mistakes_that_only_the_data_show(tmp_path, capsys, override, parts, monkeypatch):
    from align_jax.data.datasets.emoji_scenes import emoji_scenes

    def unprepared(root, *arguments):
        """A builder with names but without images: these mistakes are found before an image is read."""
        return emoji_scenes.EmojiScenes(config=emoji_scenes.config_name(*arguments), data_dir=tmp_path)

    monkeypatch.setattr(emoji_scenes, "prepare", unprepared)
    monkeypatch.setattr("align_jax.data.records.Records.__init__", lambda self, builder, split: None)
    monkeypatch.setattr("align_jax.data.records.Records.__len__", lambda self: 60)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    status = main(["main.py", QUICKSTART, f"--workdir={tmp_path / 'run'}", override, "--config.compare=()"])
    error = capsys.readouterr().err
    assert status == 2
    for part in parts:
        assert part in error, error
    assert not (tmp_path / "run").exists(), "the folder would refuse the corrected config"


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    (tmp_path / "file").write_text("not a folder")
    override = f"--config.data.prepared={tmp_path / 'file' / 'data'}"
    assert main(["main.py", QUICKSTART, f"--workdir={tmp_path / 'run'}", override]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "config.data.prepared" in error


def test_a_machine_whose_accelerator_jax_cannot_use_is_refused(monkeypatch):
    from align_jax.runtime import devices

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(devices.jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(devices, "present_accelerator", lambda: "cuda")
    with pytest.raises(UserError, match=r"accelerator \(cuda\).*pip install 'jax\[cuda13\]==.*JAX_PLATFORMS=cpu"):
        devices.check_accelerator()
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    devices.check_accelerator()


def test_a_tpu_that_another_process_holds_is_not_answered_with_an_installation(monkeypatch):
    from align_jax.runtime import devices

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(devices.jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(devices, "present_accelerator", lambda: "tpu")
    with pytest.raises(UserError, match=r"pip install 'jax\[tpu\]=="):
        devices.check_accelerator()
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: name == "libtpu")
    with pytest.raises(UserError, match=r"another process holds it.*lsof") as caught:
        devices.check_accelerator()
    assert "pip install" not in str(caught.value)


def test_durations_in_every_unit():
    schedule = default_config().schedule
    schedule.length, schedule.unit = 300, "epochs"
    schedule.warmup, schedule.warmup_unit = 200.0, "epochs"
    assert durations(schedule, steps_per_epoch=10) == (3000, 2000)
    schedule.warmup, schedule.warmup_unit = 0.4, "fraction"
    assert durations(schedule, steps_per_epoch=10) == (3000, 1200)
    schedule.warmup, schedule.warmup_unit = 3001.0, "steps"
    with pytest.raises(UserError, match="3001 steps, but the whole run has 3000"):
        durations(schedule, steps_per_epoch=10)
    schedule.length = 10**9
    with pytest.raises(UserError, match="1000000000 epochs, which are 10000000000 steps; a run has at most 10000000"):
        durations(schedule, steps_per_epoch=10)


def test_without_a_workdir_the_run_goes_where_a_sweep_would_put_it():
    vlcs = f"--config={ROOT / 'configs' / 'vlcs.py'}:leave_one_out"
    assert parse(["main.py", vlcs, "--config.seed=3", "--config.algorithm=erm"])[1] == Path(
        "runs/vlcs/erm/VOC2007/seed3"
    )
    assert parse(["main.py", QUICKSTART])[1] == Path("runs/quickstart")


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize(
    "program", sorted(path.stem for path in (ROOT / "launch").glob("*.py")), ids=lambda program: program
)
def test_every_program_says_how_it_is_used(program, flag):
    command = [sys.executable, str(ROOT / "launch" / f"{program}.py"), flag]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert f"{program}.py" in result.stdout
    assert result.stderr == ""
