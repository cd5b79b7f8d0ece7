"""Solving: `duhamel.solve`, `duhamel.ensemble` and `duhamel.steady_state`, and what they take."""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
