"""Every sampler of the registry does what it claims: orders, start-up included, and rows that are exact on polynomials.

Orders are slopes of the error against the exact quantile map of a one-dimensional mixture, without noise, or of the
variance of Gaussian data, with it.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.plans.claims import claimed_order, polynomial_defect, values
from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.schedule import EDM, VP, Flow
from duhamel.rows.canonical import distance
from duhamel.rows.checks import noise_variance, order

W, M, S = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 1.5]), np.array([0.5, 0.6, 0.4])


@dataclass(frozen=True)
class Loud(VP):
    """VP that starts at rho = 2.3e4, where the first value says all that start-up can know. Its formulas are written
    again here: half a million calls are too many for annotations that are checked."""

    beta_max: float = 40.0

    def log_alpha(self, t):
        return -t * (0.25 * (self.beta_max - self.beta_min) * t + 0.5 * self.beta_min)

    def alpha(self, t):
        return np.exp(self.log_alpha(t))

    def rho(self, t):
        return np.sqrt(np.expm1(-2 * self.log_alpha(t)))

    def sigma(self, t):
        return np.sqrt(-np.expm1(2 * self.log_alpha(t)))

    def lam(self, t):
        return -np.log(self.rho(t))

    def t_of_rho(self, rho):
        B = np.log1p(rho * rho)
        return 2 * B / (np.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * B) + self.beta_min)

    def t_of_lam(self, lam):
        return self.t_of_rho(np.exp(-lam))


LOUD = Loud()
OTHER_LAWS = {  # of those without an order, as their error does not go to zero with the grid; and where they are held
    "predictor-corrector": "the variances of its Langevin steps, in closed form: test_sampler_constants",
    "consistency": "it keeps a law whose consistency function is known: test_stochasticity",
}


def model(schedule, prediction):
    """The exact mixture by Bayes's rule in NumPy: an independent truth."""

    def predict(t, x):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        variance, residual = (alpha * S) ** 2 + sigma**2, x[:, None] - alpha * M
        joint = W / np.sqrt(variance) * np.exp(-0.5 * residual**2 / variance)
        D = np.sum(joint * (M + alpha * S**2 / variance * residual), axis=1) / np.sum(joint, axis=1)
        eps = (x - alpha * D) / sigma
        return {"data": D, "noise": eps, "score": -eps / sigma, "flow": eps - D, "velocity": alpha * eps - sigma * D}[
            prediction
        ]

    return predict


def slopes(name, steps, schedule=LOUD, **options):
    end = float(schedule.t_of_rho(0.05))
    data = Mixture1D(schedule, W, M, S**2)
    x = data.quantile((np.arange(50) + 0.5) / 50, schedule.t_max)
    ends = {} if name == "dpm-solver-fast" else {"grid": "lam", "terminal": False}
    plan = lambda n: build(name, schedule, n, t_min=end, **ends, **options)  # noqa: E731
    assert not plan(9).draws or name == "restart", "an order is claimed without noise: say in `still` how to stop it"
    exact = data.quantile_map(x, schedule.t_max, end)
    return order(plan, model(schedule, plan(9).prediction), x, exact, steps)


CLAIMS = [
    pytest.param(name, k, p, marks=[pytest.mark.slow] if p > 4 else [])  # the highest want the most steps
    for name, sampler in SAMPLERS.items()
    for k, p in sampler.orders.items()
]


@pytest.mark.parametrize(("name", "k", "claim"), CLAIMS)
def test_the_order_that_is_claimed_is_the_order_that_is_measured(name, k, claim):
    steps = (120, 240) if claim < 3 else (160, 320) if claim == 3 else (320, 640)
    if name == "dpm-solver-fast":  # counted in evaluations; order 2 is that of its last steps alone
        steps = (300, 600)
    options = dict(SAMPLERS[name].still) | ({} if k is None else {"order": k})
    assert claimed_order(name, options) == claim
    found = slopes(name, steps, **options)
    assert abs(found[-1] - claim) < 0.2, found


# Options that change a method; the registry claims orders for the defaults alone.
VARIANTS = [
    ("unip", {"order": 2, "variant": "bh1"}, 2),
    ("unipc", {"order": 2, "variant": "bh1"}, 3),
    ("unipc", {"order": 2, "prediction": "noise"}, 3),
    ("sa-solver", {"tau": 0.0, "evaluate": "PECE"}, 4),
    ("er-sde", {"scale": "ode", "derivatives": "published"}, 2),  # not 3
    ("ghvb", {"order": 2, "beta": 0.5}, 2),
    ("bdia", {"gamma": 0.5}, 1),
]


@pytest.mark.parametrize(("name", "options", "claim"), VARIANTS, ids=str)
def test_orders_of_variants(name, options, claim):
    found = slopes(name, (120, 240), **options)
    assert abs(found[-1] - claim) < 0.2, found
    assert claimed_order(name, options) is None


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_claims_an_order_or_has_a_reason(name):
    sampler = SAMPLERS[name]
    assert bool(sampler.orders or sampler.weak is not None) != (name in OTHER_LAWS)
    if build(name, VP(), 9).draws and name not in OTHER_LAWS:
        assert sampler.still or sampler.weak is not None


@pytest.mark.parametrize("name", [name for name, sampler in SAMPLERS.items() if sampler.weak is not None])
def test_the_weak_order_by_the_variance_of_gaussian_data(name):
    """The error of the variance of N(0, 0.3), which every plan carries along linearly, in exact arithmetic."""
    schedule, errors = VP(), []
    own = {
        "euler-maruyama",
        "sde-exponential",
        "reverse-diffusion",
        "ancestral",
    }  # they leave the noise of their last step out
    for n in (160, 320):
        options = {"final_noise": True} if name in own else {}
        plan = build(name, schedule, n, grid="lam", t_min=float(schedule.t_of_rho(0.05)), **options)
        errors.append(noise_variance(plan, schedule.alpha, schedule.sigma, [0.3]))
    assert abs(np.log2(errors[0] / errors[1]) - SAMPLERS[name].weak) < 0.2, errors


EXACT = [(name, k) for name, sampler in SAMPLERS.items() if sampler.exact for k in sampler.orders]


@pytest.mark.parametrize("schedule", [VP(), Flow()], ids=str)
@pytest.mark.parametrize(("name", "k"), EXACT)
def test_rows_are_exact_on_polynomials_and_on_no_others(name, k, schedule):
    """The table alone: a row of k values integrates degree k - 1, by SciPy's quadrature, and not degree k."""
    sampler = SAMPLERS[name]
    plan = build(name, schedule, 9, t_min=0.01, **sampler.still, **({} if k is None else {"order": k}))
    if name in ("unip", "unipc") and k <= 2:  # B(h) in place of the integral where a straight line is meant
        plan = build(name, schedule, 9, t_min=0.01, order=k, variant="exact")
    for row in ("x_next", "corrected"):
        if count := values(plan, row):
            found = [polynomial_defect(plan, schedule, sampler.exact, d, row) for d in range(count + 1)]
            assert max(found[:-1]) < 1e-9 and found[-1] > 1e-6, (row, found)


PREDICTED = ("data", "noise", "score", "flow", "velocity")


@pytest.mark.parametrize("basis", ["lam", "rho", "t", np.arctan], ids=str)
@pytest.mark.parametrize("prediction", [p for p in PREDICTED if p != "score"])  # whose noise is the polynomial
def test_a_multistep_sampler_of_any_prediction_is_exact_in_its_variable(prediction, basis):
    """On polynomials of degree 2 through three values, and on no others (VP, where alpha^2 + sigma^2 = 1)."""
    plan = build("unip", VP(), 9, t_min=0.01, basis=basis, prediction=prediction, variant="vary")
    defects = [polynomial_defect(plan, VP(), basis, degree) for degree in range(4)]
    assert max(defects[:3]) < 1e-9 and defects[3] > 1e-7, defects


ANY = [("score", "t"), ("flow", "lam"), ("velocity", "lam"), ("velocity", np.arctan), ("data", np.arctan)]


@pytest.mark.parametrize(("prediction", "basis"), ANY, ids=str)
def test_a_multistep_sampler_of_any_prediction_in_any_variable_has_its_order(prediction, basis):
    found = slopes("unip", (160, 320), order=3, basis=basis, prediction=prediction, variant="vary")
    assert abs(found[-1] - 3) < 0.2, found


def test_a_score_plan_is_the_noise_plan_for_a_model_that_returns_the_score():
    schedule = EDM()
    for options in ({"variant": "bh2"}, {"variant": "vary", "basis": "t"}):
        a, b = (build("unipc", schedule, 7, prediction=p, **options) for p in ("noise", "score"))
        assert distance(a, b, schedule.alpha, schedule.sigma) < 1e-12


def test_a_users_variable_may_be_one_of_ours():
    """-log rho is lambda; on a grid down to sigma = 0 its last step has one value, and arctan's has as many as ever."""
    schedule = VP()
    for terminal in (False, True):
        a = build("unipc", schedule, 7, terminal=terminal, variant="vary")
        b = build("unipc", schedule, 7, terminal=terminal, variant="vary", basis=lambda rho: -np.log(rho))
        assert distance(a, b) < 1e-12
    c = build("unipc", schedule, 7, terminal=True, basis=np.arctan)
    assert np.count_nonzero([c.segments[0].coef[k][-1] for k in range(1, len(c.segments[0].coef))]) > 3
    assert c.info["basis"] == "arctan" and a.info["basis"] == "lam"
