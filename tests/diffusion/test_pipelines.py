"""Plans in latent text-to-image pipelines of diffusers, with tiny networks of random weights; no file is fetched."""

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from duhamel.torch import PlanScheduler

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def parts():
    """The sizes of diffusers' own fast tests, smaller."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        cross_attention_dim=8,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
    )
    config = transformers.CLIPTextConfig(
        hidden_size=8, intermediate_size=16, num_attention_heads=2, num_hidden_layers=1, vocab_size=50,
        max_position_embeddings=16, bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )  # fmt: skip
    return {"unet": unet.eval(), "vae": vae.eval(), "text_encoder": transformers.CLIPTextModel(config).eval()}


def pipeline(parts, scheduler, kind="StableDiffusionPipeline"):
    rest = {"tokenizer": None, "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipe = getattr(diffusers, kind)(**parts, scheduler=scheduler, **rest)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def prompts(n=1):
    g = torch.Generator().manual_seed(4)
    return {name: torch.randn(n, 6, 8, generator=g) for name in ("prompt_embeds", "negative_prompt_embeds")}


def latents(parts, scheduler, steps=6, seeds=(3,), kind="StableDiffusionPipeline", **more):
    pipe = pipeline(parts, scheduler, kind)
    g = [torch.Generator().manual_seed(s) for s in seeds]
    more = {"height": 16, "width": 16, "guidance_scale": 3.0} | more
    if "Img2Img" in kind:
        more = {key: value for key, value in more.items() if key not in ("height", "width")}
    given = {name: value.repeat(len(seeds), 1, 1) for name, value in prompts().items()}
    return pipe(**given, num_inference_steps=steps, generator=g, output_type="latent", **more).images


def test_text_to_image_as_theirs_where_theirs_is_right(parts):
    theirs = diffusers.DPMSolverMultistepScheduler(beta_schedule="scaled_linear", lower_order_final=False)
    x, y = latents(parts, theirs), latents(parts, PlanScheduler.from_config(theirs.config, plan="dpmpp-2m"))
    assert x.shape == (1, 4, 8, 8) and float((x - y).abs().max() / x.abs().max()) < 1e-5


@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_image_to_image_starts_where_theirs_does(parts, strength):
    theirs = diffusers.DPMSolverMultistepScheduler(beta_schedule="scaled_linear", lower_order_final=False)
    image = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16) / 2
    kind = {"kind": "StableDiffusionImg2ImgPipeline", "image": image, "strength": strength, "steps": 10}
    x, y = latents(parts, theirs, **kind), latents(parts, PlanScheduler.from_config(theirs.config), **kind)
    assert float((x - y).abs().max() / x.abs().max()) < 1e-5


@pytest.mark.parametrize(("plan", "order"), [("heun", 2), ("unipc", 1), ("sa-solver", 1)])
def test_a_method_of_several_calls_starts_at_the_level_of_its_strength(parts, plan, order):
    scheduler = PlanScheduler(plan=plan, beta_schedule="scaled_linear")
    image = torch.zeros(1, 3, 16, 16)
    seen = []
    watch = lambda pipe, i, t, given: seen.append(float(t)) or {}  # noqa: E731
    latents(parts, scheduler, kind="StableDiffusionImg2ImgPipeline", image=image, strength=0.5, steps=10,
            callback_on_step_end=watch)  # fmt: skip
    full = PlanScheduler(plan=plan, beta_schedule="scaled_linear")
    full.set_timesteps(10)
    assert full.order == order and seen[0] == full.plan.t[5]
    assert len(seen) == len(full.timesteps) - 5 * order


def test_a_callback_may_change_the_latents(parts):
    """What the pipeline hands back is what the plan goes on with."""
    calls = []

    def clear(pipe, i, t, given):
        calls.append(float(given["latents"].abs().max()))
        return {"latents": torch.zeros_like(given["latents"])} if i == 3 else {}

    scheduler = PlanScheduler(plan="ddim", beta_schedule="scaled_linear")
    changed = latents(parts, scheduler, callback_on_step_end=clear)
    plain = latents(parts, PlanScheduler(plan="ddim", beta_schedule="scaled_linear"))
    assert len(calls) == 6 and float((changed - plain).abs().max()) > 1e-2


@pytest.mark.parametrize("plan", ["ddim", "sa-solver"])
def test_an_image_is_its_own_generators(parts, plan):
    make = lambda: PlanScheduler(plan=plan, options={"eta": 1.0} if plan == "ddim" else {})  # noqa: E731
    both, alone = latents(parts, make(), seeds=(5, 6)), latents(parts, make(), seeds=(6,))
    assert float((both[1:] - alone).abs().max() / alone.abs().max()) < 1e-5


def test_half_precision_does_not_round_the_state():
    """A pipeline in bfloat16 hands the state back as it got it: the plan goes on in float32."""
    steps = 200
    ends = {}
    for kind in ("theirs", "ours", "exact"):
        scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample=False)
        scheduler = scheduler if kind == "theirs" else PlanScheduler.from_config(scheduler.config, plan="ddim")
        scheduler.set_timesteps(steps)
        dtype = torch.float32 if kind == "exact" else torch.bfloat16
        x = torch.randn(64, 16, generator=torch.Generator().manual_seed(1)).to(dtype)
        for t in scheduler.timesteps:
            x = scheduler.step(torch.tanh(x.float()).to(dtype), t, x).prev_sample
        ends[kind] = x.float()
    theirs, ours = (float((ends[k] - ends["exact"]).square().mean().sqrt()) for k in ("theirs", "ours"))
    assert ours < 0.5 * theirs, (ours, theirs)


def test_a_flow_pipeline(parts):
    """Stable Diffusion 3 with a transformer of one block, its scheduler and ours by Euler's method."""
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=4, num_attention_heads=2,
        joint_attention_dim=8, caption_projection_dim=8, pooled_projection_dim=8, out_channels=4,
    )  # fmt: skip
    none = dict.fromkeys(
        ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")
    )
    given = prompts() | {f"{k}pooled_prompt_embeds": torch.ones(1, 8) for k in ("", "negative_")}
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    ends = []
    for scheduler in (theirs, PlanScheduler.from_config(theirs.config, plan="flow-euler")):
        pipe = diffusers.StableDiffusion3Pipeline(
            transformer=transformer, vae=parts["vae"], scheduler=scheduler, **none
        )
        pipe.set_progress_bar_config(disable=True)
        g = torch.Generator().manual_seed(3)
        ends.append(pipe(**given, height=16, width=16, num_inference_steps=5, generator=g, output_type="latent").images)
    assert float((ends[0] - ends[1]).abs().max() / ends[0].abs().max()) < 1e-5
