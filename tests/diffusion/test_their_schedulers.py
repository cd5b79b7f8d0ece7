"""Where diffusers' own schedulers (0.42.1) are not right, and a plan is. What each test measures:

    DPMSolverMultistep, order 3         half of the second-derivative term: the factor 2 is lacking, so it is of order 2
    the same, sde-dpmsolver++           a sign: the term is -5.9 times what it should be
    the same, sde-dpmsolver, order 3    UnboundLocalError in step
    UniPC to sigma = 0 without lower_order_final    order 2: not finite; order 3: a singular matrix
    PNDM                                51 calls for 50 steps, one time twice
    a generator for a whole batch       the noise of a sample depends on its batch-mates
    Karras' levels, 100 of them         99 times: two levels are given to the network as one

A fault that is gone makes its test fail: the table is then to be shortened.
"""

import numpy as np
import pytest
from scipy.integrate import quad

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from duhamel.torch import PlanScheduler

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs
AT = 10  # the step that is looked at, of 20
Multistep = diffusers.DPMSolverMultistepScheduler


def increment(scheduler, rate, power=2, **given):
    """What step AT adds to x / alpha, and what it should, for D = (lam - lam_AT)^power, without noise.

    x_t = e^(-(rate - 1) h) sigma_t / sigma_s x_s + alpha_t int rate e^(rate (lam - lam_t)) D dlam
    """
    scheduler.set_timesteps(20)
    rho = np.exp(-scheduler.schedule.lam(scheduler.plan.t[:-1])) if isinstance(scheduler, PlanScheduler) else None
    rho = np.asarray(scheduler.sigmas.double())[:-1] if rho is None else rho
    alpha, lam = 1 / np.sqrt(1 + rho**2), -np.log(rho)
    x, before = torch.zeros(1, 1, 1, 1, dtype=torch.float64), 0.0
    for n, t in enumerate(scheduler.timesteps[: AT + 1]):
        before = float(x)
        x = scheduler.step(torch.full_like(x, (lam[n] - lam[AT]) ** power), t, x, **given).prev_sample
    s, t = lam[AT], lam[AT + 1]
    carried = np.exp(-(rate - 1) * (t - s)) * (alpha * rho)[AT + 1] / (alpha * rho)[AT] * before
    exact = quad(lambda v: rate * np.exp(rate * (v - t)) * (v - s) ** power, s, t, epsrel=1e-12)[0]
    return (float(x) - carried) / alpha[AT + 1], exact


def test_their_third_order_lacks_its_factor_two():
    theirs = Multistep(solver_order=3, prediction_type="sample")
    found, exact = increment(theirs, 1.0)
    assert abs(found / exact - 0.5) < 1e-4
    assert abs(np.divide(*increment(theirs, 1.0, power=1)) - 1) < 1e-4  # the first derivative is right
    found, exact = increment(PlanScheduler.from_config(theirs.config, plan="dpmpp-3m"), 1.0)
    assert abs(found / exact - 1) < 1e-3


def test_their_stochastic_third_order_has_a_wrong_sign():
    still = {"variance_noise": torch.zeros(1, 1, 1, 1, dtype=torch.float64)}
    theirs = Multistep(solver_order=3, algorithm_type="sde-dpmsolver++", prediction_type="sample")
    found, exact = increment(theirs, 2.0, **still)
    assert exact > 0 and abs(found / exact + 5.88) < 0.05
    assert abs(np.divide(*increment(theirs, 2.0, power=1, **still)) - 1) < 1e-4


def test_their_other_stochastic_third_order_stops():
    with pytest.raises(UnboundLocalError):
        increment(Multistep(solver_order=3, algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"), 2.0)


def last(scheduler, n=2, steps=10, **given):
    scheduler.set_timesteps(steps)
    x = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4).repeat(n, 1, 1, 1)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.tanh(x), t, x, **given).prev_sample
    return x


def test_their_unipc_does_not_reach_sigma_zero_by_itself():
    make = lambda order: diffusers.UniPCMultistepScheduler(  # noqa: E731
        solver_order=order, final_sigmas_type="zero", lower_order_final=False
    )
    assert not torch.all(torch.isfinite(last(make(2))))
    with pytest.raises(RuntimeError, match="singular"):
        last(make(3))
    for order in (2, 3):
        ours = PlanScheduler.from_config(make(order).config, plan="unipc", options={"order": order})
        assert torch.all(torch.isfinite(last(ours)))


def test_their_pndm_counts_one_call_too_many():
    theirs, ours = diffusers.PNDMScheduler(skip_prk_steps=True), PlanScheduler(plan="ipndm")
    for s in (theirs, ours):
        s.set_timesteps(50)
    assert (len(theirs.timesteps), len(set(theirs.timesteps.tolist()))) == (51, 50)
    assert (len(ours.timesteps), len(set(ours.timesteps.tolist()))) == (50, 50)


def test_their_noise_belongs_to_the_batch():
    """With one generator, as most call it; a list of generators is right in both."""
    g = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    one, two = (last(diffusers.DDPMScheduler(), n, generator=g()) for n in (1, 2))
    assert float((one - two[:1]).abs().max()) > 0.1
    ours = lambda gs: last(PlanScheduler(plan="ancestral"), len(gs), generator=gs)  # noqa: E731
    both = [torch.Generator().manual_seed(s) for s in (1, 2)]
    alone = [torch.Generator().manual_seed(2)]
    assert float((ours(both)[1:] - ours(alone)).abs().max()) < 1e-5


def test_their_levels_share_a_time():
    theirs = Multistep(use_karras_sigmas=True)
    theirs.set_timesteps(100)
    assert (len(theirs.timesteps), len(set(theirs.timesteps.tolist()))) == (100, 99)
    ours = PlanScheduler.from_config(theirs.config)
    ours.set_timesteps(100)
    assert len(set(ours.timesteps.tolist())) == 100
