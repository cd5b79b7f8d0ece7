"""Ctrl-C: the program ends, and soon.

Compiled programs run in threads that Python does not know. If the interpreter winds itself up while one computes, the
process dies of a segmentation fault; if the main thread waits for one, an interrupt waits with it. Every file of ours
is written whole or not at all, so the process may end at any moment.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from typing import NoReturn

STOPPED = 130  # what shells expect of a program that Ctrl-C ended
GRACE = 5.0  # seconds in which an interrupt may end the work in its own way
SENTENCE = "\nStopped. The same command goes on where it can."


def leave() -> NoReturn:
    """End the process at once: nothing is torn down under threads that still compute."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(STOPPED)


def never_wait_long() -> None:
    """From now on an interrupt ends the process after `GRACE` seconds, whatever the main thread waits for."""
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def watch() -> None:
        while os.read(heard, 1) != bytes([signal.SIGINT]):
            pass
        time.sleep(GRACE)
        show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar hides it
        print(show_cursor + SENTENCE, file=sys.stderr)
        leave()

    threading.Thread(target=watch, daemon=True).start()
