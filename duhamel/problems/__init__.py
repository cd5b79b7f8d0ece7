"""Problems whose answers are known: what a method is tested and timed on.

    from duhamel.problems.detest import DETEST
    from duhamel.problems.bari import BARI

    b5 = DETEST["B5"]
    sol = dh.solve(b5.problem, b5.x0, b5.t1)
    b5.error(sol.x)

`detest` has the 25 non-stiff problems of Hull et al., `bari` those of the Bari test set, `orbits` the Arenstorf orbit
and the Lorenz ensemble of the GPU papers, `stochastic` equations with exact solutions.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
