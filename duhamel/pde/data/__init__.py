"""Data of partial differential equations: initial conditions, trajectories, files in published layouts, streams.

Names are loaded when they are first used; files need the extra `data` (h5py, zarr, xarray), the rest does not.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
