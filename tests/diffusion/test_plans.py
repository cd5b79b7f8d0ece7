"""Samplers as numbers: their laws, their orders against the exact quantile map, and which of them are the same."""

import numpy as np
import pytest
from scipy.integrate import quad

from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.plans.grid import check_steps
from duhamel.diffusion.plans.multistep import ddim, multistep, unipc
from duhamel.diffusion.plans.registry import SAMPLERS, build, schedule_of
from duhamel.diffusion.plans.singlestep import rho_rk
from duhamel.diffusion.plans.weights import weights
from duhamel.diffusion.schedule import EDM, VE, VP, Cosine, Flow, SubVP
from duhamel.methods.tableaux.low import EULER, HEUN, RK4
from duhamel.rows.canonical import distance
from duhamel.rows.checks import consistency, noise_variance, order
from duhamel.rows.host import march
from duhamel.rows.plan import Plan, Segment

SCHEDULES = [VP(), SubVP(), VE(), Cosine(), EDM(), Flow()]
INVERTIBLE = ("bdia", "o-belm")  # their grids end above sigma = 0
STOCHASTIC_EULER = (
    "euler-maruyama",
    "reverse-diffusion",
    "sde-exponential",
    "predictor-corrector",
)  # exact only in the limit, even on one data point
INCONSISTENT = ("ipndm-v-as-shipped",)  # its weights of order 4 do not add up to one
W, M, S = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 1.5]), np.array([0.5, 0.6, 0.4])


def model(schedule, prediction):
    """The exact mixture in NumPy, written again here: an independent truth, and proof that plans run without JAX."""

    def denoise(t, x):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        variance, residual = (alpha * S) ** 2 + sigma**2, x[:, None] - alpha * M
        joint = W / np.sqrt(variance) * np.exp(-0.5 * residual**2 / variance)
        D = np.sum(joint * (M + alpha * S**2 / variance * residual), axis=1) / np.sum(joint, axis=1)
        return D if prediction == "data" else (x - alpha * D) / sigma

    return denoise


def observed_order(name, schedule, steps, t_min, **options):
    data, t_end = Mixture1D(schedule, W, M, S**2), schedule.t_of_rho(t_min)
    x = data.quantile((np.arange(100) + 0.5) / 100, schedule.t_max)

    def plan(n):
        return build(name, schedule, n, t_min=t_end, terminal=False, **options)

    exact = data.quantile_map(x, schedule.t_max, t_end)
    return order(plan, model(schedule, plan(4).prediction), x, exact, steps)


def test_deis_of_degree_three_is_of_order_four_but_for_its_first_step():
    """Started on the exact solution its rows have order 4; its own start is of order 1, which shows below 1e-6."""
    data, schedule, end = Mixture1D(VP(), W, M, S**2), VP(), VP().t_of_rho(0.05)
    x = data.quantile((np.arange(100) + 0.5) / 100, 1.0)
    eps, errors = model(schedule, "noise"), []
    for n in (80, 160, 320):
        plan = build("deis-tab", schedule, n, t_min=end, order=3)
        (segment,) = plan.segments
        late = tuple(c[3:] if len(c) > 1 else c for c in segment.coef)
        rest = Plan("rest", (Segment(segment.pattern, late, segment.tau[3:]),), plan.t[3:], "noise")
        states = [data.quantile_map(x, 1.0, plan.t[k]) for k in range(4)]
        slots = {"x": states[3]} | {f"F{j}": eps(plan.t[3 - j], states[3 - j]) for j in (1, 2, 3)}
        *_, last = march(rest, eps, slots)
        errors.append(np.sqrt(np.mean((last["x"] - data.quantile_map(x, 1.0, end)) ** 2)))
    assert abs(np.log2(errors[1] / errors[2]) - 4) < 0.2, errors
    assert observed_order("deis-tab", schedule, (40, 80), 0.05, order=3)[0] > 3.2


@pytest.mark.parametrize("name", ["dpmpp-3m", "unipc"])
def test_order_does_not_depend_on_the_schedule(name):
    options = {} if name == "dpmpp-3m" else {"order": 2}
    for schedule in (EDM(), Cosine()):
        assert abs(observed_order(name, schedule, (160, 320, 640), 0.05, **options)[-1] - 3) < 0.2


def same(a, b, schedule):
    return distance(a, b, schedule.alpha, schedule.sigma)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_first_order_methods_are_all_ddim(schedule, terminal):
    grid = {"grid": "lam", "terminal": terminal}
    base = build("ddim", schedule, 7, **grid)
    for name, options in [
        ("unip", {"order": 1}),
        ("dpmpp-1", {}),
        ("dpm-solver", {"order": 1}),
        ("deis-tab", {"order": 0}),
        ("deis-rho-ab", {"order": 0}),
        ("ipndm", {"order": 1}),
    ]:
        assert same(base, build(name, schedule, 7, **grid, **options), schedule) < 1e-11, name
    assert same(base, rho_rk(schedule, base.t, EULER), schedule) < 1e-11


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_methods_that_are_one(schedule):
    def plan(name, **options):
        return build(name, schedule, 9, grid="lam", terminal=False, **options)

    assert same(plan("dpmpp-2m"), plan("unip", order=2), schedule) < 1e-12
    assert same(plan("dpmpp-3m"), plan("unip", order=3), schedule) < 1e-12
    assert same(plan("heun"), rho_rk(schedule, plan("heun").t, HEUN), schedule) < 1e-12
    assert same(plan("ddim", eta=1.0), plan("ancestral", final_noise=True), schedule) < 1e-10
    one = multistep("sde-1", schedule, plan("ddim").t, order=1, tau=1.0)
    assert same(plan("ddim", eta=1.0), one, schedule) < 1e-12


def test_methods_that_are_not_one():
    def plan(name, **options):
        return build(name, VP(), 9, grid="lam", **options)

    assert same(plan("dpmpp-2m"), plan("unip", order=2, variant="bh1"), VP()) > 1e-3
    assert same(plan("ddim"), plan("unipc", order=1), VP()) > 1e-3
    assert same(plan("unipc", prediction="noise"), plan("unipc"), VP()) > 1e-3


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("basis", ["t", "rho", "lam"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_weights_are_the_integral_of_polynomials_by_scipy(schedule, basis, prediction):
    """Steps of h = 0.03 and h = 3 in lambda; polynomials of every degree the nodes can carry; the SDE's rate too."""
    place = {"t": schedule.t_of_rho, "rho": lambda r: r, "lam": lambda r: -np.log(r)}[basis]
    nodes = np.array([1.0, 1.1, 1.3, 1.4])
    for rho_s, rho_t, rate in [(0.5, 0.485, 1.0), (4.0, 0.2, 1.0)] + [(1.0, 0.4, 2.0)] * (prediction == "data"):
        s, t = schedule.t_of_rho(rho_s), schedule.t_of_rho(rho_t)
        w = weights(schedule, schedule.t_of_rho(rho_s * nodes), s, t, basis, prediction, rate=rate)
        for degree in range(4):

            def values(rho, degree=degree, end=rho_t):
                return (place(rho) - place(end)) ** degree

            def integrand(rho, values=values, rate=rate, end=rho_t):
                return values(rho) * (-rate * (end / rho) ** rate / rho if prediction == "data" else 1.0)

            exact = schedule.alpha(t) * quad(integrand, rho_s, rho_t, epsabs=1e-15, epsrel=1e-13)[0]
            terms = w * values(rho_s * nodes)
            np.testing.assert_allclose(np.sum(terms), exact, rtol=0, atol=2e-11 * np.sum(np.abs(terms)))


@pytest.mark.parametrize(("corrector", "p"), [(False, 2), (False, 3), (True, 2), (True, 3)])
def test_the_rows_of_unipc_are_exact_on_polynomials_in_lambda(corrector, p):
    """The table itself, not a trajectory: predictor of degree p - 1, corrector of degree p (variant exact)."""
    schedule, ts = VP(), build("ddim", VP(), 6, t_min=0.01).t
    plan = unipc(schedule, ts, p, corrector=corrector, variant="exact")
    (segment,) = plan.segments
    row = {
        (out, read): c[4 if len(c) > 1 else 0]
        for (out, read), c in zip(segment.pattern.positions, segment.coef, strict=True)
    }
    lam = schedule.lam(ts)

    def integral(q, a, b):
        return schedule.sigma(ts[b]) * quad(lambda v: np.exp(v) * q(v), lam[a], lam[b], epsabs=0, epsrel=1e-13)[0]

    out, start, degrees = ("corrected", 3, p + 1) if corrector else ("x_next", 4, p)
    for degree in range(degrees):

        def q(v, k=degree):
            return (v - lam[4]) ** k

        names = {"F": 4, **{f"F{j}": 4 - j for j in range(1, 5)}}
        total = sum(row.get((out, name), 0.0) * q(lam[n]) for name, n in names.items())
        np.testing.assert_allclose(total, integral(q, start, start + 1), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("name", [n for n in SAMPLERS if n not in (*STOCHASTIC_EULER, *INCONSISTENT)])
def test_constant_data_and_noise_are_kept(name, schedule, terminal):
    terminal = terminal and name not in INVERTIBLE
    assert consistency(build(name, schedule, 11, terminal=terminal), schedule.alpha, schedule.sigma) < 1e-12


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_exponential_noise_keeps_the_variance_exactly(schedule):
    span = (0.1, 3.0)
    for name, options in [
        ("ddim", {"eta": 0.5}),
        ("ddim", {"eta": 1.0}),
        ("sde-dpmpp-2m", {}),
        ("er-sde", {}),
        ("sa-solver", {"tau": 0.7}),
        ("sa-solver", {"span": span, "evaluate": "PECE"}),
    ]:
        for terminal in (False, True):
            plan = build(name, schedule, 12, terminal=terminal, **options)
            assert noise_variance(plan, schedule.alpha, schedule.sigma) < 1e-12, name
    for tau in (0.3, 2.0):
        plan = multistep("sde", schedule, build("ddim", schedule, 12).t, order=2, tau=tau)
        assert noise_variance(plan, schedule.alpha, schedule.sigma) < 1e-12


@pytest.mark.parametrize(
    "name", ["euler-maruyama", "reverse-diffusion", "sde-exponential", "ancestral", "sde-dpmpp-2m"]
)
def test_variance_of_gaussian_data_converges(name):
    """For data N(0, 0.3) the error of the variance falls as 1 / steps (2M: faster)."""
    errors = [
        noise_variance(
            build(name, VP(), n, t_min=0.05, **({} if name == "sde-dpmpp-2m" else {"final_noise": True})),
            VP().alpha,
            VP().sigma,
            [0.3],
        )
        for n in (100, 200)
    ]
    assert errors[1] < 0.1 and errors[0] / errors[1] > 1.8, errors


def test_a_step_of_the_kept_score_is_the_solution_of_its_linear_sde():
    """dx = (f x - g^2 S) dt + g dw with S constant, by SciPy: what multiplies S, and the noise's variance."""
    for schedule in (VP(), EDM(), Cosine()):
        s, t = schedule.t_of_rho(1.7), schedule.t_of_rho(0.4)
        (segment,) = build("sde-exponential", schedule, ts=np.array([s, t]), final_noise=True).segments
        gain = lambda u, schedule=schedule, t=t: schedule.alpha(t) / schedule.alpha(u)  # noqa: E731
        mean = quad(lambda u, k=schedule, e=gain: e(u) * k.g2(u), t, s, epsrel=1e-11)[0]
        variance = quad(lambda u, k=schedule, e=gain: e(u) ** 2 * k.g2(u), t, s, epsrel=1e-11)[0]
        _, z, score, x = (float(c[0]) for c in segment.coef)
        np.testing.assert_allclose([x, score, z**2], [gain(s), mean, variance], rtol=1e-9)


def test_evaluations_and_copies_are_what_papers_count():
    n = 12
    counts = {name: build(name, VP(), n).nfe for name in SAMPLERS}
    expected = dict.fromkeys(SAMPLERS, n) | {
        "deis-rho-rk4": 4 * n,
        "dpm-solver": 3 * n,
        "dpmpp-2s": 2 * n,
        "sde-dpmpp-2s": 2 * n,
        "dpmpp-3s": 3 * n,
        "heun": 2 * n - 1,
        "restart": 2 * n - 1 + 2 * 4,
        "predictor-corrector": 2 * n,
        "s-pndm": n + 1,
        "f-pndm": n + 9,
    }
    assert counts == expected
    for nfe in range(1, 20):
        assert build("dpm-solver-fast", VP(), nfe).nfe == nfe
    for name in ("ddim", "deis-tab", "dpmpp-2m", "dpmpp-3m", "unipc", "sde-dpmpp-2m", "ipndm"):
        assert build(name, VP(), 40, terminal=True).copies == 1, name


@pytest.mark.parametrize(
    "name", [n for n in SAMPLERS if n not in ("dpm-solver-fast", "s-pndm", "f-pndm", "restart", *INVERTIBLE)]
)
def test_a_last_step_to_zero_noise_returns_the_denoised_state(name):
    """With one step x_0 = D(x_T); with more, the last row is finite and its noise is 0."""
    plan = build(
        name, VP(), 1, terminal=True, short=True, **({"final_noise": True} if name == "euler-maruyama" else {})
    )
    if name not in STOCHASTIC_EULER:
        x = np.array([0.3, -1.0])
        canonical = plan.canonical("data", VP().alpha, VP().sigma)
        assert abs(canonical.coefficient(None, "x")) < 1e-9, name
        np.testing.assert_allclose(canonical.coefficient(None, "F1") * x, x, rtol=1e-12)
    assert build(name, VP(), 5, terminal=True).t[-1] == 0


def test_lower_final_order_is_zeros_in_the_same_pattern():
    low, high = (build("dpmpp-3m", VP(), 8, lower_final=flag) for flag in (True, False))
    assert low.patterns == high.patterns
    columns = dict(zip(low.patterns[0].positions, low.segments[0].coef, strict=True))
    np.testing.assert_array_equal(columns["x_next", "F2"] != 0, [0, 0, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(columns["x_next", "F1"] != 0, [0, 1, 1, 1, 1, 1, 1, 0])


def test_churn_raises_the_noise_and_spares_the_rest():
    plan = build("heun", EDM(), 20, churn=10.0, s_min=0.05, s_max=50.0)
    assert plan.draws == ("z",) and plan.nfe == 39
    tau, t = plan.segments[0].tau[:, 0], plan.t[:-2]
    inside = (t >= 0.05) & (t <= 50)
    np.testing.assert_allclose(tau[inside], t[inside] * (1 + min(10 / 20, np.sqrt(2) - 1)), rtol=1e-14)
    np.testing.assert_array_equal(tau[~inside], t[~inside])
    assert noise_variance(plan, EDM().alpha, EDM().sigma) < 1e-12


def test_a_plan_knows_its_schedule_and_survives_the_disk(tmp_path):
    for schedule in SCHEDULES:
        plan = build("heun", schedule, 5, churn=1.0)
        assert schedule_of(plan) == schedule
        again = Plan.load(plan.save(tmp_path / "plan"))
        assert again == plan and schedule_of(again) == schedule
    with pytest.raises(ValueError, match="does not say on which schedule"):
        schedule_of(Plan("bare", plan.segments, plan.t))


def test_ddim_on_one_gaussian_has_the_closed_form_of_its_gain():
    """One number per eigenvalue: the product of the steps' gains, against the plan's own rows run on the host."""
    from duhamel.rows.checks import amplification, gaussian_gain

    c, plan = np.array([0.01, 1.0, 4.0]), ddim(VP(), build("ddim", VP(), 30).t)
    gain = gaussian_gain("data", VP().alpha, VP().sigma, c)
    a, s = VP().alpha(plan.t), VP().sigma(plan.t)
    steps = [s[k + 1] / s[k] + (a[k + 1] - a[k] * s[k + 1] / s[k]) * gain(plan.t[k]) for k in range(30)]
    np.testing.assert_allclose(amplification(plan, gain)[-1], np.prod(steps, axis=0), rtol=1e-12)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: build("dpmpp2m", VP(), 10), "did you mean 'dpmpp-2m'"),
        (lambda: build("uni-pc", VP(), 10), "did you mean 'unipc'"),
        (lambda: build("ddim", VP(), 0), "steps = 0"),
        (lambda: check_steps(2.5), "whole number"),
        (lambda: build("ddim", VP()), "needs steps"),
        (lambda: build("ddim", VP(), 5, ts=[1.0, 0.1]), "either steps or ts"),
        (lambda: build("ddim", VP(), ts=[0.1, 1.0]), "falling times"),
        (lambda: build("ddim", VP(), ts=[1.0, 0.5, 0.5, 0.1]), "no repeats"),
        (lambda: build("ddim", VP(), ts=[1.0, np.nan, 0.1]), "not finite"),
        (lambda: build("ddim", VP(), ts=[1.0, -0.5]), "does not cover"),
        (lambda: build("ddim", VP(), ts=[1.0]), "at least two times"),
        (lambda: build("ddim", VP(), 5, grid="lamda"), "Did you mean 'lam'"),
        (lambda: build("ddim", VP(), 5, t_min=0.0), "terminal=True"),
        (lambda: build("ddim", VP(), 5, t_min=2.0), "t_max"),
        (lambda: build("ddim", VP(), 5, eta=2.0), "eta = 2.0"),
        (lambda: build("deis-tab", VP(), 5, order=7), "degrees 0, 1, 2, 3"),
        (lambda: build("unipc", VP(), 5, order=0), "order = 0"),
        (lambda: build("unipc", VP(), 5, prediction="image"), "unipc knows data, noise"),
        (lambda: build("unipc", VP(), 5, variant="bh3"), "'bh1', 'bh2', 'vary'"),
        (lambda: weights(VP(), [0.2, 0.3], 0.2, 0.1, "lam", "flow", two_node="bh2"), "take 'exact'"),
        (lambda: weights(VP(), [0.2, 0.3], 0.2, 0.0, np.log), "in this variable"),
        (lambda: build("dpm-solver", VP(), 5, order=[3, 2]), "each of the 5 steps"),
        (lambda: build("f-pndm", VP(), 2, terminal=True), "sigma = 0 must come later"),
        (lambda: weights(VP(), [0.1, 0.2], 0.1, 0.0), "infinitely long"),
    ],
)
def test_bad_input_is_one_sentence(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()


def test_an_option_of_another_sampler_is_one_sentence():
    with pytest.raises(TypeError, match="ddim has no option 'corrector'"):
        build("ddim", VP(), 5, corrector=True)


def test_rk4_in_rho_is_named_after_its_tableau():
    assert rho_rk(EDM(), build("heun", EDM(), 4).t, RK4).name == "rho-rk4"
