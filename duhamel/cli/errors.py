"""A mistake of the user is one sentence and exit code 2; a mistake of ours is a traceback."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import duhamel

PACKAGE = Path(duhamel.__file__).parent


def guarded(run: Callable[[], int]) -> int:
    """Run a command; the exit code. DUHAMEL_TRACEBACK=1 shows where a sentence came from."""
    try:
        return run()
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where it can.", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("DUHAMEL_TRACEBACK") or not _is_sentence(error):
            raise
        print(f"duhamel: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _is_sentence(error: Exception) -> bool:
    """Whether our own code raised it on purpose: then its message names the cause and the remedy."""
    if isinstance(error, OSError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and PACKAGE in Path(frames[-1].filename).parents
    return ours and isinstance(error, ValueError | TypeError | RuntimeError | ArithmeticError | ImportError)
