"""A method is rows; a plan is a method tabulated on a grid. Names are loaded when they are first used, without JAX."""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
