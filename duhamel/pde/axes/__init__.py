"""One axis of a box: its points, its quadrature, and the modes in which d^2/dx^2 is a number each.

    u(x_j) = sum_m a_m phi_m(x_j),    phi_m'' = square_m phi_m  with the conditions at both ends

`Sine` and `Cosine` are those modes for u = 0 and u' = 0 at the ends, by fast transforms. `Legendre` has any linear
condition at either end: the modes are polynomials, eigenvectors of d^2/dx^2 in Galerkin's sense, orthonormal in L2, so
the transforms are two matrices and a smooth field converges faster than any power of the number of modes. Whatever
needs a linear part with one number per mode (exponential and implicit-explicit methods, Poisson solvers) takes any
product of these axes. `Fourier` is the periodic axis of such products; a wholly periodic box is a `Grid`.
"""
