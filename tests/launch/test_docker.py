"""The Dockerfile copies what is there and what it needs, in the lock file's versions. Nothing builds it here."""

import fnmatch
import re
import shlex
import tomllib

from tests.launch.rehearsal import ROOT, accepted, checkout, rehearse

TEXT = (ROOT / "launch/docker/Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def instructions():
    """Each instruction of the Dockerfile as its name and the rest, on one line."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in lines.splitlines() if line.strip()]


INSTRUCTIONS = instructions()
COPIED = [source for name, rest in INSTRUCTIONS if name == "COPY" for source in shlex.split(rest)[:-1]]


def test_what_is_copied_is_there_and_is_sent_to_the_builder():
    assert IGNORED[1] == "*", "all is left out, but for the following lines"
    sent = {line[1:] for line in IGNORED if line.startswith("!")}
    assert sent == set(COPIED)
    for source in COPIED:
        assert (ROOT / source).exists(), source
    assert not [line for line in IGNORED[2:] if not line.startswith("!") and line != "**/__pycache__"]
    assert not fnmatch.filter(COPIED, ".*")


def test_all_that_the_installation_reads_comes_before_it():
    (at,) = [number for number, (_, rest) in enumerate(INSTRUCTIONS) if "--editable" in rest]
    before = {word for name, rest in INSTRUCTIONS[:at] if name == "COPY" for word in shlex.split(rest)[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["tool"]["setuptools"]["dynamic"]["optional-dependencies"].values()
    read = {project["project"]["readme"], *project["project"]["license-files"]}
    read |= {name for extra in extras for name in extra["file"]}
    assert read | {"align_jax", "pyproject.toml"} <= before


def test_the_versions_are_the_lock_files(tmp_path):
    (install,) = [rest for name, rest in INSTRUCTIONS if name == "RUN" and "requirements.txt" in rest]
    (jax,) = [rest.partition("=")[2] for name, rest in INSTRUCTIONS if name == "ARG"]
    done = rehearse(install, checkout(tmp_path), {"JAX": jax})
    (version,) = re.findall(r"^jax==(.*)$", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    assert done.of("pip") == [
        ["install", "--no-cache-dir", "--requirement", "requirements.txt", f"jax[cuda13]=={version}"]
    ]
    assert dict(INSTRUCTIONS)["FROM"].startswith("nvidia/cuda:13.")


def test_it_does_not_run_as_root_and_its_folders_are_its_own():
    names = [name for name, _ in INSTRUCTIONS]
    (user,) = [rest for name, rest in INSTRUCTIONS if name == "USER"]
    assert int(user) > 0
    assert "RUN" not in names[names.index("USER") :]
    assert f"--uid={user} " in TEXT
    made = re.findall(r"install --directory --owner=align --group=align (.*)", TEXT)[0].split()
    assert re.findall(r"--volume=[\w-]+:(\S+)", TEXT) == made


def test_its_commands_are_ones_that_the_project_takes():
    assert dict(INSTRUCTIONS)["ENTRYPOINT"] == '["python"]'
    assert dict(INSTRUCTIONS)["CMD"] == '["launch/main.py", "--help"]'
    example = re.findall(r"^#   docker run (.*\n#.*)$", TEXT, flags=re.MULTILINE)[0].replace("\\\n#", " ")
    words = shlex.split(example)
    command = words[words.index("align-jax") + 1 :]
    assert accepted(command).workdir.is_relative_to("/runs")
    assert "--config.data.prepared=/data" in command
