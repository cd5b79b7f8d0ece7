"""Partial differential equations on boxes, periodic or with walls. Names are loaded when first used."""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
