"""What `step` is given and what it expects: late starts, restarts, two samples; and that its state is plain data."""

import copy
import json
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VP
from duhamel.rows.plan import Plan
from duhamel.torch import PlanScheduler

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

Multistep = diffusers.DPMSolverMultistepScheduler
PLANS = ("dpmpp-2m", "unipc", "heun", "ddim")


def network(x, t):
    return torch.tanh(x + float(t) / 700)


def walked(scheduler, x, times):
    for t in times:
        x = scheduler.step(network(x, t), t, x).prev_sample
    return x


def ready(plan="dpmpp-2m", steps=8, **more):
    scheduler = PlanScheduler(plan=plan, **more)
    scheduler.set_timesteps(steps)
    return scheduler


def noise(seed=0):
    return torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("plan", PLANS)
def test_a_late_start_that_nobody_announced(plan):
    """`for t in timesteps[k:]` is what many write: it gets the plan for the rest, as with set_begin_index."""
    told, untold = ready(plan), ready(plan)
    k = 3 * told.order
    told.set_begin_index(k)
    x = told.add_noise(torch.zeros(2, 1, 4, 4), noise(), told.timesteps[k : k + 1])
    ends = [walked(s, x, s.timesteps[k:]) for s in (told, untold)]
    np.testing.assert_array_equal(*ends)
    late = PlanScheduler(plan=plan)
    late.set_timesteps(timesteps=list(dict.fromkeys(told.timesteps[k:].tolist())))
    np.testing.assert_allclose(ends[0], walked(late, x, late.timesteps), atol=1e-6)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("broken_off", [1, 5, 8])
def test_the_first_time_again_begins_anew(plan, broken_off):
    scheduler = ready(plan)
    walked(scheduler, noise(1), scheduler.timesteps[:broken_off])
    again = walked(scheduler, noise(), scheduler.timesteps)
    np.testing.assert_array_equal(again, walked(ready(plan), noise(), scheduler.timesteps))


@pytest.mark.parametrize("plan", ["dpmpp-2m", "unipc", "ipndm"])
def test_two_samples_in_turns_are_refused_and_copies_are_not(plan):
    scheduler, x, y = ready(plan), noise(), noise(1)
    with pytest.raises(ValueError, match="deepcopy"):
        for t in scheduler.timesteps[:3]:
            x = scheduler.step(network(x, t), t, x).prev_sample
            y = scheduler.step(network(y, t), t, y).prev_sample
    x, y, other = noise(), noise(1), copy.deepcopy(ready(plan))
    scheduler = ready(plan)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x).prev_sample
        y = other.step(network(y, t), t, y).prev_sample
    np.testing.assert_array_equal(y, walked(ready(plan), noise(1), scheduler.timesteps))


def test_a_plan_without_memory_may_walk_two_samples():
    scheduler, x, y = ready("ddim"), noise(), noise(1)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x).prev_sample
        y = scheduler.step(network(y, t), t, y).prev_sample
    np.testing.assert_array_equal(y, walked(ready("ddim"), noise(1), scheduler.timesteps))


@pytest.mark.parametrize("plan", ["dpmpp-2m", "unipc"])
def test_a_step_too_many_and_a_step_left_out(plan):
    scheduler = ready(plan)
    x = walked(scheduler, noise(), scheduler.timesteps)
    with pytest.raises(ValueError, match="expects none, for all calls are made"):
        scheduler.step(x, scheduler.timesteps[-1], x)
    walked(scheduler, noise(), scheduler.timesteps[:2])
    with pytest.raises(ValueError, match=f"expects {float(scheduler.timesteps[2]):g}"):
        scheduler.step(x, scheduler.timesteps[4], x)
    with pytest.raises(ValueError, match=r"timestep = 123\.5"):
        ready(plan).step(x, 123.5, x)
    with pytest.raises(ValueError, match="holds 2 times"):
        ready(plan).step(x, scheduler.timesteps[:2], x)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("plan", [*PLANS, "f-pndm", "sa-solver"])
def test_a_copy_in_the_middle_of_a_run_goes_on(plan, copied):
    scheduler = ready(plan)
    step = lambda s, x, t: s.step(network(x, t), t, x, generator=torch.Generator().manual_seed(5)).prev_sample  # noqa: E731
    x = noise()
    for t in scheduler.timesteps[:5]:
        x = step(scheduler, x, t)
    other, y = copied(scheduler), x.clone()
    state = copy.deepcopy(scheduler.__dict__)  # as pipelines of several views keep it
    for t in scheduler.timesteps[5:]:
        x, y = step(scheduler, x, t), step(other, y, t)
    np.testing.assert_array_equal(x, y)
    other.__dict__.update(state)
    assert other.step_index == 5


@pytest.mark.parametrize(
    "options",
    [
        {"plan": "unipc", "options": {"order": np.int64(2)}},
        {"plan": "dc-solver", "options": {"order": 2, "ratios": np.ones(8)}},
        {"plan": "sa-solver", "options": {"tau": np.float32(0.0), "span": (0.05, 1.0)}},
        {"grid": "karras", "trained_betas": np.linspace(1e-4, 0.02, 1000)},
    ],
    ids=lambda v: str(v)[:30],
)
def test_options_of_numpy_are_saved(tmp_path, options):
    scheduler = PlanScheduler(**options)
    scheduler.save_pretrained(tmp_path)
    again = PlanScheduler.from_pretrained(tmp_path)
    for s in (scheduler, again):
        s.set_timesteps(8)
    assert again.plan == scheduler.plan
    assert json.loads((tmp_path / "scheduler_config.json").read_text())["_class_name"] == "PlanScheduler"


def test_a_function_among_the_options_runs_and_is_not_saved(tmp_path):
    scheduler = PlanScheduler(plan="unipc", options={"basis": np.sqrt})
    scheduler.set_timesteps(5)
    with pytest.raises(TypeError, match=r"options\['basis'\] is a ufunc.*build"):
        scheduler.save_pretrained(tmp_path)


@pytest.mark.parametrize("given", ["object", "path", "str"])
def test_a_plan_of_ones_own_runs_and_is_saved_beside_the_configuration(tmp_path, given):
    schedule = PlanScheduler().schedule
    plan = build("unipc", schedule, 6, grid="quadratic", order=2)
    file = plan.save(tmp_path / "mine.npz")
    scheduler = PlanScheduler(plan={"object": plan, "path": file, "str": str(file)}[given])
    scheduler.set_timesteps(6)
    x = walked(scheduler, noise(), scheduler.timesteps)
    scheduler.save_pretrained(tmp_path / "kept")
    file.unlink()
    again = PlanScheduler.from_pretrained(tmp_path / "kept")
    again.set_timesteps()
    np.testing.assert_array_equal(x, walked(again, noise(), again.timesteps))
    assert (tmp_path / "kept" / "plan.npz").is_file()
    model = lambda tau, z: (z - schedule.sigma(float(tau)) * network(z, tau)) / schedule.alpha(float(tau))  # noqa: E731
    np.testing.assert_allclose(x, plan.run_torch(model, noise()), rtol=1e-3, atol=1e-4)


def test_a_plan_of_another_model_is_refused():
    chain, continuous = PlanScheduler().schedule, VP()
    for bad, words in (
        (lambda: PlanScheduler(plan=build("ddim", EDM(), 5)).set_timesteps(5), "another scale|levels up to"),
        (lambda: PlanScheduler(plan=build("ddim", EDM(sigma_max=5.0), 5)).set_timesteps(5), "another scale"),
        (lambda: PlanScheduler(plan=build("ddim", chain, 5)).set_timesteps(6), "makes 5 steps"),
        (lambda: PlanScheduler(plan=build("ddim", chain, 5)).set_timesteps(sigmas=[1.0]), "its own times"),
        (lambda: PlanScheduler(plan=build("ddim", chain, 5), grid="karras"), "its own times"),
        (lambda: PlanScheduler(plan=build("ddim", continuous, 5, t_max=0.5), **FEW).set_timesteps(5), "levels up to"),
        (lambda: PlanScheduler(plan="gone.npz"), "no plan at"),
    ):
        with pytest.raises((ValueError, TypeError, FileNotFoundError), match=words):
            bad()


FEW = {"trained_betas": [1e-4] * 1000}


def test_a_plan_in_a_pipeline_that_is_saved(tmp_path):
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = diffusers.UNet2DModel(sample_size=4, in_channels=1, out_channels=1, block_out_channels=(8,),
                                 layers_per_block=1,
                                 norm_num_groups=2, **blocks)  # fmt: skip
    pipe = diffusers.DDPMPipeline(unet, PlanScheduler(plan=build("dpmpp-2m", PlanScheduler().schedule, 4)))
    pipe.save_pretrained(tmp_path)
    again = diffusers.DDPMPipeline.from_pretrained(tmp_path)
    images = []
    for p in (pipe, again):
        p.set_progress_bar_config(disable=True)
        images.append(p(num_inference_steps=4, output_type="np", generator=torch.Generator().manual_seed(0)).images)
    np.testing.assert_array_equal(*images)
    assert isinstance(again.scheduler.config.plan, str) and isinstance(again.scheduler._given, Plan)


def test_attributes_that_pipelines_read():
    s = PlanScheduler.from_config(Multistep(beta_schedule="scaled_linear"))
    assert (s.order, s.init_noise_sigma, s.begin_index, s.step_index, s.plan) == (1, 1.0, None, None, None)
    assert len(s) == s.config.num_train_timesteps == 1000 and s.config.get("solver_order") == 2
    assert s.config.prediction_type == "epsilon" and s.config.steps_offset == 0
    theirs = Multistep(beta_schedule="scaled_linear")
    for scheduler in (s, theirs):
        scheduler.set_timesteps(6)
    np.testing.assert_allclose(s.sigmas, theirs.sigmas, rtol=1e-3)
    np.testing.assert_allclose(s.alphas_cumprod, theirs.alphas_cumprod, rtol=1e-4)
    assert s.index_for_timestep(s.timesteps[2]) == 2
    x = noise()
    s.step(x, s.timesteps[0], x)
    assert s.step_index == 1
    flow = PlanScheduler.from_config(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    for scheduler in (flow, theirs):
        scheduler.set_shift(5.0)
        scheduler.set_timesteps(6)
    np.testing.assert_allclose(flow.timesteps, theirs.timesteps, rtol=1e-5)
    np.testing.assert_allclose(
        flow.scale_noise(x, flow.timesteps[2:3], x * 0 + 1),
        theirs.scale_noise(x, theirs.timesteps[2:3], x * 0 + 1),
        rtol=1e-4,
    )
