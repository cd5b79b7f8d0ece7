"""Which sampler for six network calls? Check, compare, tune, export; then one number, held against the exact flow.

The model is a formula (a mixture of three Gaussians in one dimension), so that every error below is against the truth:
the probability flow keeps the order of points, and is the quantile map. With a network, nothing changes but the line
that makes the denoiser. Less than a minute on one core.

    python examples/few_step_sampler.py
"""

import tempfile
from pathlib import Path

import numpy as np

from duhamel.diffusion import EDM, Budget, Mixture1D, build, mixture, tune
from duhamel.diffusion.compare import compare_plans, named, on_host
from duhamel.rows import Plan, plans_equal
from duhamel.rows.checks import consistency
from duhamel.rows.host import march
from duhamel.rows.table import write_table

NFE = 6

# ---- The data, and where the flow carries each point --------------------------------------------------------------

schedule = EDM(sigma_min=0.01, sigma_max=30.0)
weights, means, variances = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 1.5]), np.array([0.2, 0.4, 0.3]) ** 2
data = Mixture1D(schedule, weights, means, variances)
denoiser = mixture(schedule, weights, means[:, None], variances).denoiser  # D(t, x), x of shape (batch, 1)


def exact(x: np.ndarray) -> np.ndarray:
    """The end of the flow that starts at x: F_0^-1(F_T(x))."""
    return data.quantile_map(x, schedule.t_max, schedule.t_min)


def error(plan: Plan, x: np.ndarray) -> float:
    """Root mean square distance of the plan's ends from the flow's."""
    *_, last = march(plan, on_host(denoiser, schedule, plan.prediction), {"x": x})
    return float(np.sqrt(np.mean((last["x"] - exact(x)) ** 2)))


# ---- A plan is numbers: look at them before any model does ---------------------------------------------------------

plan = build("unipc", schedule, NFE, order=2)
print(plan.show(4))
print(f"constant data and noise are kept to {consistency(plan, schedule.alpha, schedule.sigma):.0e}")
same = plans_equal(
    build("unip", schedule, NFE, order=2), build("dpmpp-2m", schedule, NFE), schedule.alpha, schedule.sigma
)
print(f"UniP-2 and DPM-Solver++(2M) are one method: {same}")

# ---- Compare at equal cost ----------------------------------------------------------------------------------------

contenders = named(["ddim", "heun", "dpm-solver:2", "dpmpp-2m", "unipc:2", "deis-tab:2", "ipndm"])
for record in sorted(compare_plans(contenders, [NFE], data=data), key=lambda r: r["error"]):
    print(f"{record['label']:14} {record['nfe']} calls   error {record['error']:.3f}")

# ---- Tune: a plan made for this model, its start the best of every published one -----------------------------------

budget = Budget(samples=256, held_out=256, screen=((16, 40), (64, 4)), path=256, table=15, batch=256)
tuned = tune(denoiser, schedule, NFE, (1,), teacher=exact, budget=budget)
print(f"tuned from {tuned.info['tuned']['from']}, judged on held-out noises: {tuned.info['tuned']['held_out']}")

# ---- Its numbers, for anybody's program ---------------------------------------------------------------------------

with tempfile.TemporaryDirectory() as folder:
    table = write_table(tuned, Path(folder) / "tuned.csv", None, schedule.alpha, schedule.sigma)
    print(table.read_text().split("\n")[0])

# ---- One number: noises that neither tuning nor its judge has seen --------------------------------------------------

x = schedule.t_max * np.random.default_rng(2026).normal(size=(2048, 1))
usual = min(error(build(name, schedule, NFE, **options), x) for name, options in contenders.values() if name != "heun")
ratio = error(tuned, x) / usual
print(f"error of the tuned plan over that of the best of the above: {ratio:.2f}")
assert ratio < 0.55
