"""The command `duhamel`: argument parsing, and nothing else."""


def main() -> None:
    """The entry point of the script `duhamel`."""
    import sys

    from .errors import guarded
    from .interrupt import STOPPED, leave, never_wait_long
    from .parse import parse

    never_wait_long()
    code = guarded(lambda: parse(sys.argv[1:]))
    if code == STOPPED:
        leave()
    sys.exit(code)
