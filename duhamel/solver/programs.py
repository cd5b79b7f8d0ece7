"""How many compiled programs are kept."""

from typing import Any

# A program of `solve` takes about 4 MB. A field that is written anew for every solve, such as a lambda in a loop, is
# compiled anew, and without a bound every one of them would be kept for ever: 2.7 GB after 578.
MOST = 256


def bounded(compiled: Any) -> None:
    """Forget the programs of an `equinox.filter_jit` function when there are too many; what is used again compiles
    again. What differs between solves belongs into args=, and one program serves them all."""
    programs = getattr(compiled, "_cached", None)  # not public; where it goes, so does the bound
    count = getattr(programs, "_cache_size", None)
    if programs is not None and count is not None and count() > MOST:
        programs.clear_cache()
