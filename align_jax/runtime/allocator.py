"""Freed memory is kept for the next step, in place of being handed back to the kernel and cleared again.

XLA's buffers on a CPU are large, and the GNU C library gives each of them pages of its own, which the kernel must clear
anew at every step: 10,000 page faults a step at 64 pixels, a tenth of the time (docs/costs.md has the measurement). The
same buffers come again at every step, so that to keep them costs little memory. No number changes.
"""

import ctypes
import os
import platform

# Of <malloc.h>: above how many free bytes at its end the heap shrinks, and how many blocks may have pages of their own.
TRIM_THRESHOLD, MOST_MAPPED = -1, -4
MOST_FREE = 2**31 - 1
# With one of these a person has chosen.
CHOSEN = (
    *("GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"),
    "LD_PRELOAD",
)


def keep_freed_memory() -> bool:
    """Tells the allocator to keep what is freed; call it before JAX allocates.

    Returns:
      Whether it was told. It is not where the C library is another one, or the environment chooses its settings.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in CHOSEN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(TRIM_THRESHOLD, MOST_FREE) and mallopt(MOST_MAPPED, 0))
