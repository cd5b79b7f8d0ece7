"""Steady equations on boxes by finite differences: -div(a grad u) + c u = f. Names are loaded when first used.

from duhamel.pde import elliptic as el
box = el.box((64, 64), 1.0)
system = el.discretise(box, el.Dirichlet(0.0), a=1.0)
found = el.solve(system, lambda x, y: 1.0 + 0 * x * y, el.Multigrid())
found.u, found.iterations, found.residual, found.status
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
