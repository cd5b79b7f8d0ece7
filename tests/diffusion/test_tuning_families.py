"""Families hold the plan they start from, to rounding, and keep what they promise for every theta."""

import numpy as np
import pytest

from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.schedule import EDM, VP
from duhamel.diffusion.tuning.dense import dense, dense_table
from duhamel.diffusion.tuning.families import coefficients, table, times
from duhamel.rows.canonical import distance
from duhamel.rows.checks import consistency

SCHEDULES = [EDM(0.01, 30.0), VP()]
PLANS = [build(name, s, 5) for s in SCHEDULES for name in SAMPLERS if name != "restart"]
PLANS = [plan for plan in PLANS if not plan.draws]
RNG = np.random.default_rng(0)


def schedule_of_case(plan):
    return SCHEDULES[0] if plan.info["schedule"]["kind"] == "EDM" else SCHEDULES[1]


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.name}-{p.info['schedule']['kind']}")
def test_every_deterministic_plan_is_a_dense_table(plan):
    s = schedule_of_case(plan)
    form = dense(plan, s)
    assert form.copies == 1 and form.nfe == plan.nfe
    assert distance(plan, form, s.alpha, s.sigma) < 1e-12
    family, theta = table(form, s)
    assert distance(form, family(theta)) < 1e-12
    assert len(theta) == plan.nfe * (plan.nfe + 5) // 2


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.name}-{p.info['schedule']['kind']}")
def test_coefficients_keep_constant_data_and_noise(plan):
    s = schedule_of_case(plan)
    for start in (plan, dense(plan, s)):
        family, theta = coefficients(start, s, model_times=False)
        moved = family(theta + 0.1 * RNG.standard_normal(theta.shape))
        assert distance(family(theta), start) == 0
        if start is not plan:
            assert len(theta) == plan.nfe * (plan.nfe - 1) // 2
            assert distance(moved, start) > 1e-4
        # the states of a converted plan are its evaluation points, of which a corrector's are not its states' times
        if start is plan and plan.name != "ipndm-v-as-shipped":  # whose weights do not keep them
            assert consistency(moved, s.alpha, s.sigma) < 1e-10


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("name", ["dpmpp-2m", "unipc", "deis-tab", "ipndm", "heun"])
def test_times_start_at_the_plan_and_never_turn_back(name, terminal):
    s = VP()
    plan = build(name, s, 6, terminal=terminal)
    family, theta = times(name, s, plan.t)
    assert len(theta) == 5
    assert distance(family(theta), plan) < 1e-10
    for _ in range(5):
        t = family(theta + RNG.standard_normal(theta.shape)).t
        assert np.all(np.diff(t) < 0) and t[0] == plan.t[0] and t[-1] == plan.t[-1]


def test_what_is_no_table_says_so():
    s = VP()
    with pytest.raises(ValueError, match="draws noise"):
        dense(build("ancestral", s, 4), s)
    with pytest.raises(ValueError, match="not a dense table"):
        dense_table(build("ddim", s, 4))
