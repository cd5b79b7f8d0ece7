"""Conservation laws on boxes of cells: finite volumes, Riemann solvers. Names are loaded when they are first used."""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
