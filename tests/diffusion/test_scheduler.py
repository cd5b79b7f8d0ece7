"""Plans inside diffusers: its own schedulers where they are right, real pipelines, and what may go wrong."""

from inspect import signature

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from duhamel.diffusion.discrete_vp import DiscreteVP
from duhamel.diffusion.plans.registry import SAMPLERS
from duhamel.rows.canonical import affine
from duhamel.torch import PlanScheduler, build

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")  # theirs, of NumPy 2


def network(x, t):
    """Something smooth of the shape of x."""
    A = torch.randn(16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 6
    y = x.double().reshape(len(x), -1)
    return (torch.tanh(y @ A) + 0.1 * y * np.cos(float(t) / 300)).reshape(x.shape).to(x.dtype)


def sampled(scheduler, steps, seed=1, **options):
    scheduler.set_timesteps(steps, **options)
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    drawn = {"generator": torch.Generator().manual_seed(7)} if isinstance(scheduler, PlanScheduler) else {}
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x, **drawn).prev_sample
    return x


def apart(a, b, steps=10):
    x, y = sampled(a, steps), sampled(b, steps)
    return float((x - y).abs().max() / x.abs().max())


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize("steps", [5, 20])
def test_their_2m_is_ours(spacing, steps):
    theirs = diffusers.DPMSolverMultistepScheduler(timestep_spacing=spacing, lower_order_final=False)
    ours = PlanScheduler.from_config(theirs.config, plan="dpmpp-2m")
    assert apart(theirs, ours, steps) < 1e-5
    assert theirs.timesteps.tolist() == ours.timesteps.tolist()


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_every_chain_and_prediction(kind, predicts):
    theirs = diffusers.DPMSolverMultistepScheduler(
        beta_schedule=kind, prediction_type=predicts, lower_order_final=False
    )
    assert apart(theirs, PlanScheduler.from_config(theirs.config)) < 1e-5


@pytest.mark.parametrize("order", [2, 3])
def test_their_unipc_is_ours(order):
    theirs = diffusers.UniPCMultistepScheduler(solver_order=order, final_sigmas_type="zero")
    options = {"order": order, "lower_final": True}
    assert apart(theirs, PlanScheduler.from_config(theirs.config, plan="unipc", options=options)) < 1e-5


def test_their_ddim_is_ours():
    theirs = diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample=False)
    assert apart(theirs, PlanScheduler.from_config(theirs.config, plan="ddim")) < 1e-5


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_their_flow_is_ours(shift):
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    ours = PlanScheduler.from_config(theirs.config, plan="flow-euler")
    assert apart(theirs, ours) < 1e-5
    np.testing.assert_allclose(ours.timesteps, theirs.timesteps, rtol=1e-5)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_levels_that_a_pipeline_gives_are_shifted_as_theirs(shift):
    levels = np.linspace(1.0, 0.1, 10)
    for theirs, given in (
        (diffusers.FlowMatchEulerDiscreteScheduler(shift=shift), {}),
        (diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), {"mu": 0.8}),
    ):
        ours = PlanScheduler.from_config(theirs.config, plan="flow-euler")
        x, y = (sampled(s, None, sigmas=levels.tolist(), **given) for s in (theirs, ours))
        assert float((x - y).abs().max() / x.abs().max()) < 1e-5


def test_a_grid_of_their_configuration_is_taken_over():
    theirs = diffusers.DPMSolverMultistepScheduler(use_karras_sigmas=True)
    ours = PlanScheduler.from_config(theirs.config)
    for s in (theirs, ours):
        s.set_timesteps(10)
    np.testing.assert_allclose(ours.schedule.rho(ours.plan.t[:-1]), theirs.sigmas[:-1], rtol=1e-4)


def test_data_are_clipped_as_the_configuration_says():
    theirs = diffusers.DDPMScheduler(clip_sample=True, clip_sample_range=0.7)
    ours = PlanScheduler.from_config(theirs.config, plan="ddim", options={"eta": 1.0})
    x, y = (sampled(s, 10) for s in (PlanScheduler.from_config(theirs.config), ours))
    assert torch.equal(x, y) and float(x.abs().max()) <= 0.7


def test_their_third_order_lacks_its_factor_two():
    """Both are run by diffusers' rules (lower orders at the end); ours has the order that the name promises."""
    theirs = diffusers.DPMSolverMultistepScheduler(solver_order=3)
    ours = PlanScheduler.from_config(theirs.config, plan="dpmpp-3m", options={"lower_final": True})
    assert apart(theirs, ours) > 1e-3


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n not in ("dpm-solver-fast", "restart", "bdia", "o-belm")])
def test_a_pipeline_runs_the_plan_itself(name):
    """Call by call it is `run_torch` on the same noise; plans that draw need the pipeline's own, and only run."""
    scheduler = PlanScheduler(plan=name)
    out = sampled(scheduler, 6)
    lowered = {"lower_final": True} if "lower_final" in signature(SAMPLERS[name].make).parameters else {}
    plan = build(name, scheduler.schedule, ts=scheduler.plan.t, **lowered)  # as diffusers does below 15 steps
    assert len(scheduler.timesteps) == plan.nfe and bool(torch.all(torch.isfinite(out)))
    if plan.draws:
        return

    def model(tau, x):
        tau = float(tau)
        alpha, sigma = scheduler.schedule.alpha(np.float64(tau)), scheduler.schedule.sigma(np.float64(tau))
        u, w = affine(plan.prediction, alpha, sigma)
        D = (x - sigma * network(x, tau)) / alpha
        return u * x + w * D

    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    again = plan.run_torch(model, x)
    assert float((out - again).abs().max() / again.abs().max()) < 2e-4


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    sizes = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    return diffusers.UNet2DModel(sample_size=8, in_channels=1, out_channels=1, **sizes, **blocks)


def images(unet, scheduler, n=2, seeds=None, kind="DDPMPipeline"):
    pipe = getattr(diffusers, kind)(unet, scheduler)
    pipe.scheduler = scheduler  # DDIMPipeline puts its own in its place
    pipe.set_progress_bar_config(disable=True)
    g = torch.Generator().manual_seed(3) if seeds is None else [torch.Generator().manual_seed(s) for s in seeds]
    return pipe(batch_size=n, num_inference_steps=5, output_type="np", generator=g).images


@pytest.mark.parametrize("kind", ["DDPMPipeline", "DDIMPipeline"])
def test_in_a_pipeline(unet, kind):
    theirs = diffusers.DPMSolverMultistepScheduler(lower_order_final=False)
    if kind == "DDPMPipeline":
        ours = images(unet, PlanScheduler.from_config(theirs.config), kind=kind)
        np.testing.assert_allclose(ours, images(unet, theirs, kind=kind), atol=1e-5)
    drawn = images(unet, PlanScheduler(plan="sa-solver", grid="karras"), kind=kind)
    assert drawn.shape == (2, 8, 8, 1) and np.all(np.isfinite(drawn))


def test_a_sample_has_the_noise_of_its_own_generator(unet):
    plan = {"plan": "ddim", "options": {"eta": 1.0}}
    both = images(unet, PlanScheduler(**plan), 2, seeds=(5, 6))
    alone = images(unet, PlanScheduler(**plan), 1, seeds=(6,))
    np.testing.assert_allclose(both[1:], alone, atol=1e-5)


def test_it_survives_the_disk(unet, tmp_path):
    scheduler = PlanScheduler(plan="unipc", options={"order": 2})
    scheduler.save_pretrained(tmp_path)
    again = PlanScheduler.from_pretrained(tmp_path)
    assert again.config.plan == "unipc" and again.config.options == {"order": 2}
    np.testing.assert_array_equal(images(unet, scheduler), images(unet, again))


def test_a_late_start_gets_a_plan_for_the_rest():
    """As image-to-image pipelines do it: slice the times, say where they begin. 2M then starts with DDIM's step."""
    scheduler = PlanScheduler()
    scheduler.set_timesteps(10)
    late, ts = scheduler.timesteps[4:], scheduler.plan.t[4:]
    scheduler.set_begin_index(4)
    clean = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    x = scheduler.add_noise(clean, torch.ones_like(clean), late[:1])
    fresh = PlanScheduler()
    fresh.set_timesteps(timesteps=ts[:-1].tolist())
    y = x
    for t in late:
        x = scheduler.step(network(x, t), t, x).prev_sample
    for t in fresh.timesteps:
        y = fresh.step(network(y, t), t, y).prev_sample
    np.testing.assert_array_equal(x, y)


def test_a_pipeline_may_change_the_sample_between_calls():
    """The plan goes on from what it is given: with D = 0 the state only shrinks, whatever it is."""
    scheduler = PlanScheduler(plan="ddim", prediction_type="sample")
    scheduler.set_timesteps(4)
    x = torch.ones(1, 1, 2, 2)
    for k, t in enumerate(scheduler.timesteps):
        x = torch.full_like(x, 2.0) if k == 2 else x
        before, x = x, scheduler.step(torch.zeros_like(x), t, x).prev_sample
        if k == 2:
            sigma = [float(scheduler.schedule.sigma(np.float64(s))) for s in scheduler.plan.t[2:4]]
            np.testing.assert_allclose(x, before * sigma[1] / sigma[0], rtol=1e-6)


def test_noise_levels_of_a_chain():
    betas = np.linspace(1e-4, 0.02, 1000)
    schedule, a = DiscreteVP.from_betas(betas), np.cumprod(1 - betas)
    t = np.arange(1000.0)
    np.testing.assert_allclose(schedule.alpha(t) ** 2, a, rtol=1e-10)
    np.testing.assert_allclose(schedule.sigma(t) ** 2, 1 - a, rtol=1e-10)
    x, z = torch.ones(3, 2), torch.full((3, 2), 2.0)
    noisy = PlanScheduler().add_noise(x, z, torch.tensor([0, 500, 999]))
    np.testing.assert_allclose(noisy[:, 0], np.sqrt(a[[0, 500, 999]]) + 2 * np.sqrt(1 - a[[0, 500, 999]]), rtol=1e-5)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: PlanScheduler(prediction_type="noise"), "prediction_type"),
        (lambda: PlanScheduler(beta_schedule="straight"), "beta_schedule"),
        (lambda: PlanScheduler(plan="dpm-2m").set_timesteps(5), "dpmpp-2m"),
        (lambda: PlanScheduler().set_timesteps(5, mu=0.5), "mu = 0.5"),
        (
            lambda: PlanScheduler.from_config(diffusers.DDIMScheduler(rescale_betas_zero_snr=True).config),
            "rescale_betas_zero_snr",
        ),
        (lambda: PlanScheduler(timestep_spacing="odd").set_timesteps(5), "timestep_spacing"),
        (lambda: PlanScheduler().set_timesteps(2000), "at most 1000"),
        (lambda: PlanScheduler().set_timesteps(), "one of"),
        (lambda: PlanScheduler().set_timesteps(5, sigmas=[1.0]), "only one of"),
        (lambda: PlanScheduler().step(torch.ones(1), 5, torch.ones(1)), "set_timesteps comes before"),
        (
            lambda: sampled(PlanScheduler(), 3) is PlanScheduler().step(torch.ones(1), 5, torch.ones(1), eta=1.0),
            "set_t",
        ),
        (lambda: DiscreteVP((0.0, -1.0)), "rise"),
        (lambda: DiscreteVP.from_betas([0.1, 1.0]), "strictly between"),
    ],
)
def test_bad_input_is_one_sentence(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()
