"""Runge-Kutta methods of orders 1 to 4 with rational numbers."""

from duhamel.methods.tableaux.tableau import Tableau

# fmt: off
EULER = Tableau(
    name="Euler", order=1, error_order=None,
    c=(0.0,),
    a=((),),
    b=(1.0,),
    error=None, dense=None, dense_order=1, extra_c=(), extra_a=(), fsal=False,
    reference="L. Euler, Institutionum calculi integralis I (1768), section 650",
)

# The three methods of order 2 embed Euler's method, whose weights are (1, 0).
MIDPOINT = Tableau(
    name="Midpoint", order=2, error_order=1,
    c=(0.0, 1 / 2),
    a=((), (1 / 2,)),
    b=(0.0, 1.0),
    error=(-1.0, 1.0), dense=None, dense_order=2, extra_c=(), extra_a=(), fsal=False,
    reference="C. Runge, Math. Ann. 46 (1895) 167-178",
)

HEUN = Tableau(
    name="Heun", order=2, error_order=1,
    c=(0.0, 1.0),
    a=((), (1.0,)),
    b=(1 / 2, 1 / 2),
    error=(-1 / 2, 1 / 2), dense=None, dense_order=2, extra_c=(), extra_a=(), fsal=False,
    reference="K. Heun, Z. Math. Phys. 45 (1900) 23-38 (explicit trapezoidal rule)",
)

RALSTON = Tableau(
    name="Ralston", order=2, error_order=1,
    c=(0.0, 2 / 3),
    a=((), (2 / 3,)),
    b=(1 / 4, 3 / 4),
    error=(-3 / 4, 3 / 4), dense=None, dense_order=2, extra_c=(), extra_a=(), fsal=False,
    reference="A. Ralston, Math. Comp. 16 (1962) 431-437 (least error bound of order 2)",
)

RK4 = Tableau(
    name="RK4", order=4, error_order=None,
    c=(0.0, 1 / 2, 1 / 2, 1.0),
    a=((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
    b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    error=None, dense=None, dense_order=3, extra_c=(), extra_a=(), fsal=False,
    reference="W. Kutta, Z. Math. Phys. 46 (1901) 435-453",
)

# Its published dense output is the cubic Hermite polynomial itself.
BOSH3 = Tableau(
    name="Bosh3", order=3, error_order=2,
    c=(0.0, 1 / 2, 3 / 4, 1.0),
    a=((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    b=(2 / 9, 1 / 3, 4 / 9, 0.0),
    error=(-5 / 72, 1 / 12, 1 / 9, -1 / 8), dense=None, dense_order=3, extra_c=(), extra_a=(), fsal=True,
    reference="P. Bogacki, L. F. Shampine, Appl. Math. Lett. 2 (1989) 321-325",
)
# fmt: on
