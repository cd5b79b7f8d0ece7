"""A mistake of the user is one sentence and exit code 2; a mistake of ours is a traceback that says whose it is."""

import dis
import os
import sys
from collections.abc import Callable
from pathlib import Path

import duhamel

from .interrupt import SENTENCE, STOPPED

PACKAGE = Path(duhamel.__file__).parent
OURS = (
    "This is a mistake in duhamel, not in what you asked for. Please report the lines above with the command that led "
    "to them; what was computed before, and every checkpoint, is kept."
)


def guarded(run: Callable[[], int]) -> int:
    """Run a command; the exit code. DUHAMEL_TRACEBACK=1 shows where a sentence came from."""
    try:
        return run()
    except KeyboardInterrupt:
        print(SENTENCE, file=sys.stderr)
        return STOPPED
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            error.add_note(OURS)
            raise
        if os.environ.get("DUHAMEL_TRACEBACK"):
            raise
        print(f"duhamel: {' '.join(sentence.split())}", file=sys.stderr)
        return 2


def sentence_of(error: Exception) -> str | None:
    """What the user should read; None when the error is a mistake of ours.

    Ours is what nobody raised on purpose: `None + 1` inside the package has the type and the file of a sentence, but
    not the `raise` statement.
    """
    if isinstance(error, OSError):
        return str(error) if _on_purpose(error) or not error.filename else f"{error.filename}: {error.strerror}."
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "the memory of this machine is not enough for what was asked; ask for fewer points, samples or frames."
    told = ValueError | TypeError | RuntimeError | ArithmeticError | ImportError
    return str(error) if isinstance(error, told) and _on_purpose(error) else None


def _on_purpose(error: Exception) -> bool:
    """Whether a `raise` statement of our own code raised it: then its message names the cause and the remedy."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or PACKAGE not in Path(last.tb_frame.f_code.co_filename).parents:
        return False
    return dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] in ("RAISE_VARARGS", "RERAISE")
