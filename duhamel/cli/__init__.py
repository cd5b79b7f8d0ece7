"""The command `duhamel`: argument parsing, and nothing else."""


def main() -> None:
    """The entry point of the script `duhamel`."""
    import sys

    from .errors import guarded
    from .parse import parse

    sys.exit(guarded(lambda: parse(sys.argv[1:])))
