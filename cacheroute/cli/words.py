"""Errors in words, one line for each thing that an operator should know; and numbers of things."""


def problems_of(error: Exception) -> list[str]:
    """The lines of an expected error; a file's error begins with the file, a group's are those of its members."""
    if isinstance(error, ExceptionGroup):
        return [line for member in error.exceptions for line in problems_of(member)]
    if isinstance(error, OSError) and error.filename is not None:
        return [f"{error.filename}: {(error.strerror or str(error)).lower()}"]
    return list(getattr(error, "problems", ())) or [str(error) or type(error).__name__]


def counted(number: int, noun: str) -> str:
    """`1 block`, `2 blocks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
