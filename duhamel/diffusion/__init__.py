"""Diffusion models as differential equations. Names are loaded when first used, so plans need NumPy alone."""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
