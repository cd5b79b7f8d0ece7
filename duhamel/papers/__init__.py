"""One card per published system: its claim, and a check that measures it.

A card is a module named like its id, `duhamel/papers/dpm_solver_pp.py`, with `card = Card(id="dpm-solver-pp", ...)`,
and the word "carded" in systems.tsv.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
