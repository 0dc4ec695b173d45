"""What a number in the configuration may be, so that a nonsensical one is refused when it is read."""

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Interval = Annotated[float, Meta(ge=0)]
"""Seconds between two rounds of something; 0: never."""
