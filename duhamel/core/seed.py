"""Seeds, which are 32 bits wide: what lies outside would wrap, and draw the samples of another seed."""

import operator
from typing import Any

LIMIT = 2**32


def check_seed(seed: Any, name: str = "seed", more: int = 1) -> int:
    """The seed as an int, or one sentence. more: how many seeds are used from it on, seed, seed + 1, ..."""
    try:
        found = operator.index(seed)
    except TypeError:
        found = -1
    if not 0 <= found <= LIMIT - more:
        most = f"{LIMIT - more:_} = 2^32 - {more}".replace("_", " ")
        raise ValueError(f"{name} = {seed}; a seed is a whole number from 0 to {most}.")
    return found
