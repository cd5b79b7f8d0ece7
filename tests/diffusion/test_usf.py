"""Samplers that decide at every step: uniform decisions are the known samplers; tables of others are read as plans."""

import numpy as np
import pytest

from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.plans.grid import time_grid
from duhamel.diffusion.plans.published import read_neural_solver, read_usf
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.plans.usf import Decision, Taylor, nearest, uniform, usf
from duhamel.diffusion.schedule import EDM, VP, Flow
from duhamel.rows.canonical import distance
from duhamel.rows.checks import consistency, order
from duhamel.rows.host import march

KNOWN = [
    ({"order": 1}, "ddim", {}),
    ({"order": 1, "prediction": "noise"}, "ddim", {}),
    ({"order": 2, "relax": "bh2"}, "dpmpp-2m", {}),
    ({"order": 2, "relax": "bh2", "lower_final": True}, "dpmpp-2m", {"lower_final": True}),
    ({"order": 3, "relax": "bh2"}, "dpmpp-3m", {}),
    *(({"order": q + 1, "prediction": "noise", "variable": "t"}, "deis-tab", {"order": q}) for q in range(4)),
    *(({"order": q + 1, "prediction": "noise", "variable": "rho"}, "deis-rho-ab", {"order": q}) for q in range(4)),
    *(
        ({"order": p, "prediction": kind, "corrector": True, "relax": None if v == "exact" else v},)
        + ("unipc", {"order": p, "prediction": kind, "variant": v})
        for p in (1, 2, 3)
        for kind in ("data", "noise")
        for v in ("bh1", "bh2", "exact")
    ),
]


@pytest.mark.parametrize("schedule", [VP(), EDM()], ids=str)
@pytest.mark.parametrize(("forced", "name", "options"), KNOWN, ids=str)
def test_uniform_decisions_are_the_known_samplers(schedule, forced, name, options):
    """Every coefficient, to rounding: the series is integrated here, the polynomial there."""
    ts = time_grid(schedule, 7)
    ours, theirs = usf(schedule, ts, uniform(7, **forced)), build(name, schedule, ts=ts, **options)
    assert distance(ours, theirs, schedule.alpha, schedule.sigma) < 1e-11


def mixed(steps):
    """Another choice at every step, as a search would make."""
    choices = [
        Decision("data", nearest(2, relax=0.1), nearest(3, ahead=True)),
        Decision("noise", Taylor(2, ((1, 2),)), Taylor(2, ((-1, 1),), relax="bh1")),
        Decision("noise", nearest(3, variable="t")),
        Decision("data", Taylor(3, ((1,), (1, 2)), relax="minus-half"), nearest(2, ahead=True, relax="bh2")),
    ]
    first = [Decision("noise", correct=nearest(2, ahead=True)), Decision("data", nearest(2, relax="half"))]
    return [*first, *(choices[n % 4] for n in range(steps - 3)), Decision("noise", nearest(2))]


def test_any_decisions_keep_constant_data_and_noise():
    for schedule in (VP(), EDM()):
        plan = usf(schedule, time_grid(schedule, 12, "karras"), mixed(12))
        assert consistency(plan, schedule.alpha, schedule.sigma) < 1e-11
        assert plan.nfe == 12 and plan.copies == 1


def test_a_mixed_schedule_as_its_algorithm_is_printed():
    """The published loop, with derivatives from a linear system in lambda and phi functions in closed form."""
    schedule, steps = VP(), 9
    ts = time_grid(schedule, steps, "t", t_min=0.02)
    in_lam = lambda d: Taylor(d.predict.order, d.predict.points, d.predict.relax)  # noqa: E731
    decisions = [Decision(d.prediction, in_lam(d), d.correct) for d in mixed(steps)]
    alpha, sigma, lam = schedule.alpha, schedule.sigma, schedule.lam
    D = lambda t, x: np.tanh(x * (1 + 0.3 * t)) + 0.2 * np.cos(3 * t)  # noqa: E731

    def update(x, s, t, values, kind, series):
        h = lam(t) - lam(s)
        z = h if kind == "noise" else -h
        phi = [np.exp(z)]
        for k in range(series.order):
            phi.append((phi[-1] - 1 / np.prod(np.arange(1, k + 1))) / z)
        scale = -sigma(t) if kind == "noise" else alpha(t)
        out = (alpha(t) / alpha(s) if kind == "noise" else sigma(t) / sigma(s)) * x + scale * h * phi[1] * values[s]
        for k, back in enumerate(series.points, start=1):
            start = int(np.flatnonzero(ts == s)[0])
            times = [ts[start - b] for b in back]
            gap = np.array([lam(u) - lam(s) for u in times])
            powers = np.arange(1, len(back) + 1)[:, None]
            factorials = np.cumprod(powers, axis=0)
            a = np.linalg.solve(gap**powers / factorials, np.eye(len(back))[k - 1])
            d = sum(c * (values[u] - values[s]) for c, u in zip(a, times, strict=True))
            if k == 1 and series.relax is not None:
                e, kind_of = np.expm1(z), series.relax
                known = {"bh1": 0.5 * z * z / (e - z), "bh2": 0.5 * z * e / (e - z)}
                known |= {"half": 1 + 0.5 * e, "minus-half": 1 - 0.5 * e}
                d = d * (known[kind_of] if isinstance(kind_of, str) else 1 + kind_of * h)
            out = out + scale * h ** (k + 1) * phi[k + 1] * d
        return out

    x, data, noise = np.array([0.7, -1.3, 2.1]), {}, {}

    def evaluate(t, x):
        data[t] = D(t, x)
        noise[t] = (x - alpha(t) * data[t]) / sigma(t)

    evaluate(ts[0], x)
    for n, d in enumerate(decisions):
        values, s, t = (noise if d.prediction == "noise" else data), ts[n], ts[n + 1]
        before, x = x, update(x, s, t, values, d.prediction, d.predict)
        if n < steps - 1:
            evaluate(t, x)
        if d.correct is not None:
            x = update(before, s, t, values, d.prediction, d.correct)
    *_, last = march(usf(schedule, ts, decisions), D, {"x": np.array([0.7, -1.3, 2.1])})
    np.testing.assert_allclose(last["x"], x, rtol=1e-10)


def test_mixing_predictions_keeps_the_order():
    """Noise and data in turn, order 2 each, against the quantile map."""
    schedule = VP()
    data = Mixture1D(schedule, np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 1.5]), np.array([0.25, 0.36, 0.16]))
    end = schedule.t_of_rho(0.05)
    x = data.quantile((np.arange(50) + 0.5) / 50, schedule.t_max)

    def plan(n):
        turns = [Decision("noise" if k % 2 else "data", nearest(min(2, k + 1))) for k in range(n)]
        return usf(schedule, time_grid(schedule, n, t_min=end), turns)

    model = lambda t, x: np.asarray(data.denoiser(t, x))  # noqa: E731
    slopes = order(plan, model, x, data.quantile_map(x, schedule.t_max, end), (80, 160, 320))
    assert abs(slopes[-1] - 2) < 0.2, slopes


def test_the_first_value_may_be_free():
    schedule = VP()
    ts = time_grid(schedule, 6)
    whole = usf(schedule, ts, uniform(6, 3, corrector=True))
    mean = usf(schedule, ts, uniform(6, 3, corrector=True), first="mean")
    zero = usf(schedule, ts, uniform(6, 3, corrector=True), first="zero")
    assert (whole.nfe, mean.nfe, zero.nfe) == (6, 5, 5)
    x, c = np.array([0.3, -1.0]), np.array([0.2, 0.2])
    D = lambda t, x: np.where(t == ts[0], c, np.sin(3 * t + x))  # noqa: E731
    ends = [list(march(whole, D, {"x": x}))[-1]["x"], list(march(mean, D, {"x": x}, consts={"mean": c}))[-1]["x"]]
    np.testing.assert_allclose(*ends, rtol=1e-13)
    end = list(march(zero, D, {"x": x}))[-1]["x"]
    np.testing.assert_allclose(end, list(march(mean, D, {"x": x}, consts={"mean": 0 * c}))[-1]["x"], rtol=1e-13)


def published(prediction="noise_prediction"):
    """A schedule of six steps in the format in which they are published."""
    torch = pytest.importorskip("torch")
    none = {"type": "no_corrector", "start_point": None, "taylor_order": None, "derivative_type": None}
    one = lambda *p, **k: {"estimate": f"Difference_{len(p)}", "active_points": list(p), "relaxation": None, **k}  # noqa: E731
    pseudo = lambda order, *d: {"type": "pseudo", "start_point": -2, "taylor_order": order, "derivative_type": list(d)}  # noqa: E731
    linear = {"relaxation": "linear", "relaxation_coefficient": -0.03}
    return {
        "timesteps": torch.tensor([1.0, 0.8, 0.5, 0.3, 0.1, 0.05, 0.001], dtype=torch.float64),
        "orders": [1, 2, 3, 2, 3, 1],
        "prediction_types": ["data_prediction", prediction, "noise_prediction", *["data_prediction"] * 3],
        "start_points": [-1] * 6,
        "derivative_types": [
            [],
            [one(-2, **linear)],
            [one(-3, -2), one(-3, -2)],
            [one(-2, -3)],
            [one(-2), one(-2, -3)],
            [],
        ],
        "corrector_types": [pseudo(2, one(-1)), none, pseudo(3, one(-3, -1), one(-3, -1)), none, none, none],
        "afs": "zero_x0",
        "skip_coefficients": torch.ones(15),
    }


def test_a_published_schedule_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    facts, schedule = published(), VP()
    torch.save([facts, np.float64(35.06)], tmp_path / "solver.pth")
    plan = read_usf(tmp_path / "solver.pth", schedule)
    meant = [
        Decision("data", correct=nearest(2, ahead=True)),
        Decision("noise", Taylor(2, ((1,),), -0.03)),
        Decision("noise", nearest(3), nearest(3, ahead=True)),
        Decision("data", Taylor(2, ((1, 2),))),
        Decision("data", Taylor(3, ((1,), (1, 2)))),
        Decision("data"),
    ]
    ts = facts["timesteps"].numpy()
    assert distance(plan, usf(schedule, ts, meant, first="zero"), schedule.alpha, schedule.sigma) < 1e-14
    assert plan.nfe == 5 and plan.info["source"] == "USF" and "skip_coefficients" not in plan.info


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prediction_types": ["dpmsolver_v3_prediction"] * 6}, "needs statistics of the model"),
        ({"orders": [1, 2]}, "orders has 2 entries for 6 steps"),
        ({"afs": "guess"}, "afs = 'guess' is not known"),
        ({"start_points": [-2] * 6}, "starts 2 states back"),
    ],
)
def test_what_cannot_be_read_is_said(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_usf(published() | change, VP())


def test_files_that_are_something_else_are_refused(tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(FileNotFoundError, match="no solver schedule"):
        read_usf(tmp_path / "nothing.pth", VP())
    (tmp_path / "text.pth").write_text("{}")
    with pytest.raises(ValueError, match="is not a solver schedule, or is damaged"):
        read_usf(tmp_path / "text.pth", VP())
    with pytest.raises(ValueError, match="it lacks timesteps"):
        read_usf({}, VP())


def test_a_table_of_neural_solver_without_memory_is_euler_s_method():
    """Zero coefficients: x += dt v for a flow; on the data form, DDIM on the same times."""
    h = np.array([0.1, 0.2, 0.3, 0.4])
    plan = read_neural_solver({"timedeltas": h, "coeffs": np.zeros((4, 4))}, Flow())
    x, velocity = np.array([0.4, -1.0]), lambda t, x: np.sin(3 * (1 - t)) - x  # their v at our t
    *_, last = march(plan, lambda t, x: -velocity(t, x), {"x": x})
    t = 0.0
    for dt in h:
        x, t = x + dt * velocity(1 - t, x), t + dt
    np.testing.assert_allclose(last["x"], x, rtol=1e-12)
    plan = read_neural_solver({"timedeltas": [0.3, 0.3, 0.3], "coeffs": np.zeros((3, 3))}, VP())
    same = build("ddim", VP(), ts=plan.t)
    assert distance(plan, same, VP().alpha, VP().sigma) < 1e-12


def test_a_table_of_neural_solver_keeps_constants_and_mistakes_are_said(tmp_path):
    c = np.array([[0, 0, 0], [-1.26, 0, 0], [1.38, -2.26, 0]])
    for schedule, alpha, sigma in ((Flow(), lambda t: 1 - t, lambda t: t), (VP(), VP().alpha, VP().sigma)):
        plan = read_neural_solver({"timedeltas": [0.3, 0.3, 0.3], "coeffs": c}, schedule)
        assert plan.nfe == 3 and consistency(plan, alpha, sigma) < 1e-12
    with pytest.raises(ValueError, match="strictly lower triangle"):
        read_neural_solver({"timedeltas": [0.5, 0.5], "coeffs": np.eye(2)}, Flow())
    (tmp_path / "table.json").write_text("[")
    with pytest.raises(ValueError, match="not a table of NeuralSolver"):
        read_neural_solver(tmp_path / "table.json", Flow())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Taylor(2), "needs the points of 1 derivatives, got 0"),
        (lambda: Taylor(3, ((1, 2), (1,))), "derivative 2 is estimated from points"),
        (lambda: nearest(2, relax="bh3"), "relax = 'bh3'"),
        (lambda: Decision("score"), "prediction = 'score'"),
        (lambda: Decision("data", nearest(2, ahead=True)), "a predictor cannot use the value ahead"),
        (lambda: usf(VP(), time_grid(VP(), 3), uniform(4)), "4 decisions for 3 steps"),
        (lambda: usf(VP(), time_grid(VP(), 2), [Decision("data", nearest(2))] * 2), "step 0 is estimated from"),
        (
            lambda: usf(VP(), time_grid(VP(), 1), [Decision(correct=nearest(2, ahead=True))]),
            "the last step is corrected",
        ),
        (lambda: usf(VP(), time_grid(VP(), 3, terminal=True), uniform(3, 2)), "infinitely long in lambda"),
        (lambda: usf(VP(), time_grid(VP(), 3), first="none"), "first = 'none'"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
