"""A disk without room, for this process: writing beyond a size fails, as it does where the disk is full."""

import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_file_larger_than(nbytes: int) -> Generator[None]:
    """For every file that is written meanwhile. Python ignores the signal, so that the write itself fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
