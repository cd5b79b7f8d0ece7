"""DC-Solver: ratio 1 is UniPC, other ratios do what a loop with a buffer does; ratios predicted and read."""

import json

import numpy as np
import pytest

from duhamel.core.quadrature import lagrange
from duhamel.diffusion.plans.compensated import Cascade, compensated, dc_solver, read_ratios
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VP, Cosine
from duhamel.rows.canonical import distance
from duhamel.rows.host import march

RATIOS = np.array([1.0, 1.0, 1.4, 0.7, 1.2, 0.9])


@pytest.mark.parametrize("schedule", [VP(), EDM(), Cosine()], ids=str)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_ratio_one_is_unipc(schedule, order):
    variants: list[dict] = [{}, {"lower_final": True}, {"corrector": False}, {"prediction": "noise"}]
    for options in variants:
        base = build("unipc", schedule, 7, order=order, **options)
        assert distance(dc_solver(schedule, base.t, order, **options), base) < 1e-14


def test_a_loop_with_a_buffer_does_the_same():
    """UniPC of order 2 written as its authors do, the buffer's last entry replaced before the predictor."""
    schedule = VP()
    base = build("unipc", schedule, 6, order=2, grid="t", lower_final=True)
    D = lambda t, x: np.tanh(1.5 * x) * (1 - 0.5 * t) + 0.1 * t  # noqa: E731
    x = np.linspace(-2.0, 2.0, 5)
    lam, alpha, sigma = schedule.lam(base.t), schedule.alpha(base.t), schedule.sigma(base.t)
    state, last, buffer = x, x, []
    for n in range(6):
        value = D(base.t[n], state)
        if n:  # correct the step that led here: through one value at order 1, two at order 2
            h, p = lam[n] - lam[n - 1], min(2, n)
            p = min(p, 6 - (n - 1))
            B = np.expm1(-h)
            moved = sigma[n] / sigma[n - 1] * last - alpha[n] * B * buffer[-1]
            if p == 1:
                state = moved - alpha[n] * B * 0.5 * (value - buffer[-1])
            else:
                r = (lam[n - 2] - lam[n - 1]) / h
                phi2 = (B / -h - 1) / -h
                phi3 = (phi2 - 0.5) / -h
                b = np.array([-h * phi2, -2 * h * phi3]) / B
                rho = np.linalg.solve(np.array([[1.0, 1.0], [r, 1.0]]), b)
                change = rho[0] * (buffer[-2] - buffer[-1]) / r + rho[1] * (value - buffer[-1])
                state = moved - alpha[n] * B * change
        buffer.append(value)
        last = state
        if n >= 2:
            t = RATIOS[n] * base.t[n] + (1 - RATIOS[n]) * base.t[n - 1]
            buffer[-1] = lagrange(base.t[[n, n - 1, n - 2]], t) @ np.array([buffer[-1], buffer[-2], buffer[-3]])
        h, p = lam[n + 1] - lam[n], min(2, n + 1, 6 - n)
        B = np.expm1(-h)
        newest = buffer[-1]
        slope = 0.0 if p == 1 else (buffer[-2] - newest) / ((lam[n - 1] - lam[n]) / h)
        state = sigma[n + 1] / sigma[n] * state - alpha[n + 1] * B * (newest + 0.5 * slope)
    *_, end = march(compensated(base, RATIOS), D, {"x": x})
    np.testing.assert_allclose(end["x"], state, rtol=1e-11)
    *_, without = march(base, D, {"x": x})
    assert np.max(np.abs(without["x"] - state)) > 1e-3


def test_predictors_alone_may_be_compensated():
    base = build("dpmpp-2m", VP(), 6)
    plan = compensated(base, RATIOS)
    assert plan.nfe == 6 and distance(plan, base) > 1e-3


def test_a_cascade_is_found_again_from_its_ratios():
    rng = np.random.default_rng(0)
    planted = Cascade(0.3 * rng.standard_normal((3, 3, 3)))
    known = {(n, s): planted.ratios(n, s) for n in (5, 6, 8, 10) for s in (1.0, 3.0, 7.5)}
    found = Cascade.fit(known, degree=2, ridge=1e-14)
    np.testing.assert_allclose(found.ratios(7, 5.0), planted.ratios(7, 5.0), atol=1e-5)
    np.testing.assert_array_equal(planted.ratios(5, 1.0)[:2], 1)


def test_the_published_layout(tmp_path):
    """coefficients[i, j, k] of (step / nfe)^i (scale / 12)^(2 - j) (nfe / 50)^(2 - k), flattened in the file."""
    c = np.random.default_rng(1).standard_normal((5, 3, 3))
    np.save(tmp_path / "sd.npy", c.ravel())
    ratios = Cascade.load(tmp_path / "sd.npy").ratios(8, 7.5)
    by = np.einsum("ijk,j,k->i", c, [(7.5 / 12) ** 2, 7.5 / 12, 1], [(8 / 50) ** 2, 8 / 50, 1])
    for step in range(3, 9):
        assert np.isclose(ratios[step - 1], np.polyval(by[::-1], step / 8))


def test_files_that_hold_something_else_get_a_sentence(tmp_path):
    path = tmp_path / "ratios.json"
    path.write_text(json.dumps(RATIOS.tolist()))
    np.testing.assert_array_equal(read_ratios(path), RATIOS)
    path.write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"holds no ratios .* a JSON list of one number a step"):
        read_ratios(path)
    with pytest.raises(ValueError, match="holds no cascade of ratios"):
        Cascade.load(path)


def test_bad_ratios_get_a_sentence():
    base = build("unipc", VP(), 6)
    for ratios in (np.ones(5), np.full(6, 0.9)):
        with pytest.raises(ValueError, match="give 6, one for each step, the first two 1"):
            compensated(base, ratios)
    with pytest.raises(ValueError, match=r"plan '.*heun' is not a multistep sampler"):
        compensated(build("heun", EDM(), 6), np.ones(6))
    with pytest.raises(ValueError, match=r"map \(nfe, scale\) to nfe ratios"):
        Cascade.fit({(5, 1.0): np.ones(4)})
