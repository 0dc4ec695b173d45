"""For supervised children: end when the supervisor ends, even by SIGKILL. Linux; elsewhere it does nothing.

supervisord cannot tell its children that it was killed; the kernel can (prctl(2), PR_SET_PDEATHSIG). The
request outlives exec but not fork, so each child makes its own, first thing.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Asks the kernel for a SIGTERM at the parent's death; does nothing for a process that nobody supervises.

    Raises OSError if the kernel refuses.
    """
    if not sys.platform.startswith("linux") or "SUPERVISOR_ENABLED" not in os.environ:
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the kernel knew that we care
        os.kill(os.getpid(), signal.SIGTERM)
