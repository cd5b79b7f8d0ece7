"""Plans against the papers' algorithms, written as plain loops from the formulas as they are printed there.

The model is any nonlinear function: a plan and its algorithm must agree on all of them, to rounding.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from duhamel.diffusion.adaptive import dpm_solver_adaptive
from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VE, VP
from duhamel.rows.canonical import distance
from duhamel.rows.checks import consistency
from duhamel.rows.host import march

X = np.array([0.7, -1.3, 2.1])


def D(t, x):
    """Stands for a denoiser: smooth, nonlinear, different at every time."""
    return np.tanh(x * (1 + 0.3 * t)) + 0.2 * np.cos(3 * t)


def eps_of(schedule):
    return lambda t, x: (x - schedule.alpha(t) * D(t, x)) / schedule.sigma(t)


def run(plan, schedule, draws=None):
    models = {"data": D, "noise": eps_of(schedule), "score": lambda t, x: -eps_of(schedule)(t, x) / schedule.sigma(t)}
    draw = None if draws is None else (lambda n, d: draws[n, d])
    *_, last = march(plan, models[plan.prediction], {"x": X}, draw=draw)
    return last["x"]


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


def test_dpm_solver_2_and_3_as_printed():
    s = VP()
    for order in (2, 3):
        plan, x, eps = build("dpm-solver", s, 6, order=order, t_min=0.01), X, eps_of(s)
        for a, b in zip(plan.t[:-1], plan.t[1:], strict=True):
            h, e0 = s.lam(b) - s.lam(a), eps(a, x)

            def at(r, a=a, h=h):
                return s.t_of_lam(s.lam(a) + r * h)

            base = s.alpha(b) / s.alpha(a) * x - s.sigma(b) * np.expm1(h) * e0
            if order == 2:
                m = at(0.5)
                u = s.alpha(m) / s.alpha(a) * x - s.sigma(m) * np.expm1(h / 2) * e0
                x = s.alpha(b) / s.alpha(a) * x - s.sigma(b) * np.expm1(h) * eps(m, u)
                continue
            r1, r2 = 1 / 3, 2 / 3
            t1, t2 = at(r1), at(r2)
            d1 = eps(t1, s.alpha(t1) / s.alpha(a) * x - s.sigma(t1) * np.expm1(r1 * h) * e0) - e0
            u2 = s.alpha(t2) / s.alpha(a) * x - s.sigma(t2) * np.expm1(r2 * h) * e0
            u2 -= s.sigma(t2) * r2 / r1 * (np.expm1(r2 * h) / (r2 * h) - 1) * d1
            x = base - s.sigma(b) / r2 * (np.expm1(h) / h - 1) * (eps(t2, u2) - e0)
        close(run(plan, s), x)


def test_dpmpp_2m_and_3m_as_printed():
    """3M with D2 = 2 (D1_0 - D1_1) / (r0 + r1), and as code has it, without the 2."""
    s = EDM()
    for name in ("dpmpp-2m", "dpmpp-3m", "dpmpp-3m-as-shipped"):
        factor = 1 if name == "dpmpp-3m-as-shipped" else 2
        plan, x, old = build(name, s, 8), X, []
        lam = s.lam(plan.t)
        for n, (a, b) in enumerate(zip(plan.t[:-1], plan.t[1:], strict=True)):
            old = [D(a, x), *old]
            h = lam[n + 1] - lam[n]
            base, phi1 = s.sigma(b) / s.sigma(a) * x, -np.expm1(-h)
            if n == 0:
                x = base + s.alpha(b) * phi1 * old[0]
            elif n == 1 or name == "dpmpp-2m":
                r = (lam[n] - lam[n - 1]) / h
                x = base + s.alpha(b) * phi1 * ((1 + 1 / (2 * r)) * old[0] - old[1] / (2 * r))
            else:
                r0, r1 = (lam[n] - lam[n - 1]) / h, (lam[n - 1] - lam[n - 2]) / h
                d10, d11 = (old[0] - old[1]) / r0, (old[1] - old[2]) / r1
                d1, d2 = d10 + r0 / (r0 + r1) * (d10 - d11), factor * (d10 - d11) / (r0 + r1)
                phi2 = -phi1 / h + 1
                phi3 = phi2 / h - 0.5
                x = base + s.alpha(b) * (phi1 * old[0] + phi2 * d1 - phi3 * d2)
        close(run(plan, s), x)


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_as_printed(order, variant, prediction):
    """R rho = b with b_i = i! hh phi_(i+1)(hh) / B, and rho = 1/2 where one difference is left."""
    s = VP()
    plan, x, noise = build("unipc", s, 7, order=order, variant=variant, prediction=prediction), X, prediction == "noise"
    F, lam = (eps_of(s) if noise else D), s.lam(plan.t)

    def weights(r, hh):
        k = len(r)
        B = hh if variant == "bh1" else np.expm1(hh)
        if k == 1:
            return B * np.array([0.5])
        moments = [quad(lambda u, i=i: np.exp((1 - u) * hh) * u**i, 0, 1, epsabs=1e-15)[0] for i in range(1, k + 1)]
        R = np.vander(r, k, increasing=True).T
        return np.linalg.solve(R, hh * np.array(moments))

    def update(n, x, values, r):
        """From t_n to t_(n+1): values[0] at t_n, the others at relative places r."""
        h = lam[n + 1] - lam[n]
        hh = h if noise else -h
        a, b = plan.t[n], plan.t[n + 1]
        carry, scale = (s.alpha(b) / s.alpha(a), s.sigma(b)) if noise else (s.sigma(b) / s.sigma(a), s.alpha(b))
        out = carry * x - scale * np.expm1(hh) * values[0]
        if len(r):
            differences = [(v - values[0]) / q for v, q in zip(values[1:], r, strict=True)]
            out = out - scale * np.tensordot(weights(np.array(r), hh), differences, 1)
        return out

    def places(n, k):
        return [(lam[n - j] - lam[n]) / (lam[n + 1] - lam[n]) for j in range(1, k)]

    values, corrected = [F(plan.t[0], x)], X
    for n in range(7):
        k = min(order, n + 1)
        x = update(n, corrected, values[:k], places(n, k))
        if n < 6:
            new = F(plan.t[n + 1], x)
            corrected = update(n, corrected, [*values[:k], new], [*places(n, k), 1.0])
            values = [new, *values]
    close(run(plan, s), x)


def test_edm_heun_with_churn_as_in_algorithm_2():
    s, N, rng = EDM(), 9, np.random.default_rng(0)
    plan, z = build("heun", s, N, churn=4.0, s_min=0.05, s_max=50.0, s_noise=1.003), rng.normal(size=(N, 1, 3))
    i = np.arange(N)
    t = (80 ** (1 / 7) + i / (N - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    t = np.append(t, 0.0)
    close(plan.t, t)
    x = X
    for n in range(N):
        gamma = min(4.0 / N, np.sqrt(2) - 1) if 0.05 <= t[n] <= 50 else 0.0
        t_hat = t[n] * (1 + gamma)
        x_hat = x + np.sqrt(t_hat**2 - t[n] ** 2) * 1.003 * z[n, 0]
        d = (x_hat - D(t_hat, x_hat)) / t_hat
        x = x_hat + (t[n + 1] - t_hat) * d
        if t[n + 1] > 0:
            x = x_hat + (t[n + 1] - t_hat) * 0.5 * (d + (x - D(t[n + 1], x)) / t[n + 1])
    close(run(plan, s, z), x)


def test_deis_by_scipys_quadrature_in_t():
    """C_j = alpha_t int_s^t rho'(u) l_j(u) du with rho' = g^2 / (2 alpha sigma)."""
    s = VP()
    plan, x, old, eps = build("deis-tab", s, 6, order=2, t_min=0.02), X, [], eps_of(s)
    for n, (a, b) in enumerate(zip(plan.t[:-1], plan.t[1:], strict=True)):
        old = [eps(a, x), *old][:3]
        nodes = plan.t[n - np.arange(len(old))]
        x = s.alpha(b) / s.alpha(a) * x
        for j, e in enumerate(old):
            others = np.delete(nodes, j)

            def integrand(u, others=others, node=nodes[j]):
                return s.g2(u) / (2 * s.alpha(u) * s.sigma(u)) * np.prod((u - others) / (node - others))

            x = x + s.alpha(b) * quad(integrand, a, b, epsabs=1e-14, epsrel=1e-12)[0] * e
    close(run(plan, s), x)


def test_the_variable_step_ipndm_as_shipped_is_adams_and_bashforth_only_here_and_there():
    """Orders 1 and 2 everywhere, order 3 on equal steps in rho, order 4 nowhere: on EDM's grid it is not consistent."""
    s = EDM()
    for order in (1, 2, 3, 4):
        for grid in ("t", "karras"):
            shipped = build("ipndm-v-as-shipped", s, 6, order=order, grid=grid)
            adams = build("deis-rho-ab", s, 6, order=order - 1, grid=grid)
            gap = distance(shipped, adams, s.alpha, s.sigma)
            assert gap < 1e-12 if order < 3 or (order == 3 and grid == "t") else gap > 1e-3
    errors = [consistency(build("ipndm-v-as-shipped", s, 10, order=k), s.alpha, s.sigma) for k in (3, 4)]
    assert errors[0] < 1e-12 and errors[1] > 1e-3


def test_f_pndm_as_published():
    s = VP()
    plan, x, old, eps = build("f-pndm", s, 6), X, [], eps_of(s)

    def transfer(x, e, a, b):
        return s.alpha(b) * (x / s.alpha(a) + (s.rho(b) - s.rho(a)) * e)

    for n, (a, b) in enumerate(zip(plan.t[:-1], plan.t[1:], strict=True)):
        e1 = eps(a, x)
        if n < 3:
            m = 0.5 * (a + b)
            e2 = eps(m, transfer(x, e1, a, m))
            e3 = eps(m, transfer(x, e2, a, m))
            e4 = eps(b, transfer(x, e3, a, b))
            e = (e1 + 2 * e2 + 2 * e3 + e4) / 6
        else:
            e = (55 * e1 - 59 * old[0] + 37 * old[1] - 9 * old[2]) / 24
        x, old = transfer(x, e, a, b), [e1, *old]
    close(run(plan, s), x)


def test_sde_dpmpp_2m_as_printed():
    s, N = VP(), 7
    plan, z, x, before = build("sde-dpmpp-2m", s, N), np.random.default_rng(1).normal(size=(N, 1, 3)), X, None
    lam = s.lam(plan.t)
    for n, (a, b) in enumerate(zip(plan.t[:-1], plan.t[1:], strict=True)):
        h, D0 = lam[n + 1] - lam[n], D(a, x)
        x = s.sigma(b) / s.sigma(a) * np.exp(-h) * x - s.alpha(b) * np.expm1(-2 * h) * D0
        if before is not None:
            x -= 0.5 * s.alpha(b) * np.expm1(-2 * h) * (D0 - before) / ((lam[n] - lam[n - 1]) / h)
        x, before = x + s.sigma(b) * np.sqrt(-np.expm1(-2 * h)) * z[n, 0], D0
    close(run(plan, s, z), x)


@pytest.mark.parametrize("name", ["euler-maruyama", "reverse-diffusion", "ancestral"])
def test_reverse_sde_steps_as_in_score_sde(name):
    for s in (VP(), VE()):
        N, x = 8, X
        options = {"variance": "forward" if isinstance(s, VP) else "posterior"} if name == "ancestral" else {}
        plan, z = build(name, s, N, **options), np.random.default_rng(2).normal(size=(N, 1, 3))
        for n, (a, b) in enumerate(zip(plan.t[:-1], plan.t[1:], strict=True)):
            score, noise = -eps_of(s)(a, x) / s.sigma(a), z[n, 0] * (n < N - 1)
            if name == "euler-maruyama":
                drift, dt = s.f(a) * x - s.g2(a) * score, b - a
                x = x + drift * dt + np.sqrt(s.g2(a) * -dt) * noise
                continue
            if isinstance(s, VP):
                beta = 1 - (s.alpha(a) / s.alpha(b)) ** 2
                mean = (2 - np.sqrt(1 - beta)) * x + beta * score
                if name == "ancestral":
                    mean = (x + beta * score) / np.sqrt(1 - beta)
                x = mean + np.sqrt(beta) * noise
                continue
            gap = s.sigma(a) ** 2 - s.sigma(b) ** 2
            std = np.sqrt(gap) if name == "reverse-diffusion" else np.sqrt(s.sigma(b) ** 2 * gap / s.sigma(a) ** 2)
            x = x + gap * score + std * noise
        close(run(plan, s, z), x)


@pytest.mark.parametrize("order", [2, 3])
def test_adaptive_dpm_solver_keeps_its_tolerance_sample_by_sample(order):
    data = Mixture1D(VP(), np.array([0.4, 0.6]), np.array([-1.0, 1.0]), np.array([0.1, 0.2]))
    x = jnp.linspace(-2, 2, 9)[:, None]
    exact, errors = data.quantile_map(x, 1.0, 1e-3), []
    for tolerance in (1e-2, 1e-4):
        found = dpm_solver_adaptive(
            lambda t, x: data.denoiser(t[:, None], x), VP(), x, order=order, rtol=tolerance, atol=tolerance / 10
        )
        assert bool(jnp.all(found.arrived)) and bool(jnp.all(found.nfe % order == 0))
        errors.append(float(np.max(np.abs(found.x - exact))))
    assert errors[1] < 0.2 * errors[0] and errors[1] < 5e-3, errors
    few = dpm_solver_adaptive(lambda t, x: data.denoiser(t[:, None], x), VP(), x[:2], order=order, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(few.x, found.x[:2], rtol=1e-9)
    np.testing.assert_array_equal(few.nfe, found.nfe[:2])


def test_adaptive_dpm_solver_says_when_a_sample_did_not_arrive():
    found = dpm_solver_adaptive(lambda t, x: jnp.nan * x, VP(), jnp.ones((2, 1)), max_steps=20)
    assert not np.any(np.asarray(found.arrived))
    with pytest.raises(ValueError, match="knows 2 and 3"):
        dpm_solver_adaptive(D, VP(), jnp.ones((2, 1)), order=4)
    with pytest.raises(ValueError, match="lambda is infinite"):
        dpm_solver_adaptive(D, VP(), jnp.ones((2, 1)), t_min=0.0)
