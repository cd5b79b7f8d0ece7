"""What a person may have meant by a name that does not exist."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """ "did you mean a or b?", or, when nothing is near, `otherwise`, or the list of what exists."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return otherwise or f"there is {', '.join(known)}."
