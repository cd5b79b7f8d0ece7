"""A plan rewritten for a model that returns something else is the same method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.schedule import VP, Flow
from duhamel.rows.canonical import PREDICTIONS, canonical, difference
from duhamel.rows.host import march
from duhamel.rows.plan import Plan
from duhamel.rows.predict import predicting


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_canonical_form_stays(name):
    """Every sampler, for a model that returns the flow, in a form for data prediction: rewritten rows, not numbers."""
    schedule = Flow()
    plan = build(name, schedule, 5, terminal=False)
    other = build(name, schedule, 5, terminal=False, model="flow" if plan.prediction != "flow" else "velocity")
    assert other.prediction != plan.prediction and other.nfe == plan.nfe and other.copies == plan.copies
    forms = [canonical(p, "data", schedule.alpha, schedule.sigma) for p in (plan, other)]
    assert difference(*forms) < 1e-10


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_run_gives_the_same_samples(prediction):
    """On JAX, with a nonlinear model, down to sigma = 0 and with draws."""
    schedule, x = VP(), jnp.linspace(-2.0, 2.0, 6)[:, None]

    def model(target):
        def predict(t, y):
            alpha, sigma = schedule.alpha(t), schedule.sigma(t)
            D = jnp.tanh(y * (1 + t))
            eps = (y - alpha * D) / sigma
            said = {"data": D, "noise": eps, "score": -eps / sigma, "flow": eps - D}
            return {**said, "velocity": alpha * eps - sigma * D}[target]

        return predict

    for name, options in (("unipc", {"terminal": True}), ("heun", {"churn": 5.0}), ("sa-solver", {})):
        plan = build(name, schedule, 6, **options)
        other = build(name, schedule, 6, model=prediction, **options)
        key = jax.random.key(0) if plan.draws else None
        ends = [p.run(model(p.prediction), x, key=key) for p in (plan, other)]
        np.testing.assert_allclose(ends[1], ends[0], rtol=1e-9, atol=1e-10)


def test_an_invertible_plan_stays_invertible():
    schedule, x = VP(), np.linspace(-1.0, 1.0, 5)
    plan = build("bdia", schedule, 8, model="velocity")
    velocity = lambda t, y: schedule.alpha(t) * np.sin(y) - schedule.sigma(t) * np.tanh(y)  # noqa: E731
    *_, end = march(plan, [velocity], {"x": x})
    *_, back = march(plan.reversed(), [velocity], dict(end))
    np.testing.assert_allclose(back["x"], x, atol=1e-10)


def test_bad_input_is_one_sentence():
    plan = build("ddim", VP(), 3)
    with pytest.raises(ValueError, match="none of data, noise"):
        predicting(plan, "image", VP().alpha, VP().sigma)
    with pytest.raises(ValueError, match="vector field"):
        predicting(Plan("bare", plan.segments, plan.t), "noise", VP().alpha, VP().sigma)
    assert predicting(plan, "data", VP().alpha, VP().sigma) is plan
