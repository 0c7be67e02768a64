"""Compiled programs on disk: a command that compiles what another one has compiled before loads it instead.

JAX keeps the cache; this chooses its folder, and makes it safe for several processes that run at once and are killed.
Entries hold machine code of this processor, so each kind of processor has a folder of its own.
"""

import hashlib
import os
import platform
from pathlib import Path

import filelock
import jax

from align_jax.errors import UserError
from align_jax.runtime.paths import local_path

# The least recently used entries go first. A ResNet-50's round takes some 10 MB.
MOST_BYTES = 4 * 2**30
OFF = "off"
# JAX's own names in its folder: the lock under which it reads and writes, an entry, and when that was last used, which
# is written last.
LOCK, ENTRY, USED = ".lockfile", "-cache", "-atime"
# Another process holds the lock while it reads or writes one entry.
LOCK_S = 10


def use_compilation_cache(choice: str | None, with_names: bool = False) -> Path | None:
    """Makes JAX keep compiled programs on disk; call it before anything is compiled.

    Args:
      choice: `off`; a folder; or None for the user's cache folder, unless `JAX_COMPILATION_CACHE_DIR` names one to JAX.
      with_names: programs that differ only in the names of their parts are different entries. Otherwise a profile may
        show the names of an earlier version, which compiled the same program.

    Returns:
      The folder, or None where there is no cache of this function's making: it is off, JAX was told of another one, or
      the user's cache folder cannot be written.

    Raises:
      UserError: a folder that was asked for cannot be written.
    """
    jax.config.update("jax_compilation_cache_include_metadata_in_key", with_names)
    if choice == OFF:
        jax.config.update("jax_enable_compilation_cache", False)
        return None
    if choice is None and "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    folder = (default_folder() if choice is None else local_path(choice, "--compilation_cache")) / processor()
    try:
        # What lies there is run as it is: nobody else may write it.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_unfinished(folder)
    except (OSError, filelock.Timeout) as error:
        if choice is None:
            return None
        raise UserError(
            f"--compilation_cache {choice} cannot be written ({error}); give another folder, or {OFF}."
        ) from error
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    # Every program: a run has dozens of small ones, and compiling one takes longer than reading it.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def default_folder() -> Path:
    """`align-jax` in the user's cache folder, `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "align-jax"


def processor() -> str:
    """A name for this kind of processor: an entry that was compiled for another one may not run here."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            told = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:  # another system than Linux
        told = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _remove_unfinished(folder: Path) -> None:
    """Removes entries that a killed process did not finish: JAX would neither load nor replace them."""
    with filelock.FileLock(folder / LOCK, timeout=LOCK_S):
        for entry in folder.glob(f"*{ENTRY}"):
            if not entry.with_name(entry.name.removesuffix(ENTRY) + USED).exists():
                entry.unlink()
