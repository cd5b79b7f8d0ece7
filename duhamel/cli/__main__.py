"""`python -m duhamel.cli` is `duhamel`."""

from . import main

main()
