"""PNDM: DDIM's step with a noise that constant multistep weights combine."""

from collections.abc import Sequence

from .card import Card, Context, Measurement


def check(context: Context) -> Sequence[Measurement]:
    from duhamel.diffusion.schedule import VP

    from .planar import Bench, draw, six_modes, slope

    schedule = VP()
    bench = Bench(six_modes(schedule), points=200 if context.fast else 1000, t_min=schedule.t_min)
    steps, curves = [40, 80, 160, 320], {}
    for name, options in (("ddim", {"grid": "quadratic"}), ("s-pndm", {}), ("f-pndm", {})):
        context.progress(name, len(curves) / 3)
        plans = [bench.build(name, n, **options) for n in steps]
        curves[name] = ([plan.nfe for plan in plans], [bench.error(plan) for plan in plans])
    f50, s50 = bench.build("f-pndm", 50), bench.build("s-pndm", 50)
    ddim = {n: bench.error(bench.build("ddim", n, grid="quadratic")) for n in (50, 250, 1000)}
    pseudo = {"F": bench.error(f50), "S": bench.error(s50)}
    slopes = {name: slope(steps[1:], errors[1:]) for name, (_, errors) in curves.items()}
    draw(context, "pndm", curves, "PNDM on six modes, VP, quadratic grid")
    return [
        Measurement("calls of F-PNDM with 50 steps", f50.nfe, 59, 59),
        Measurement("calls of S-PNDM with 50 steps", s50.nfe, 51, 51),
        Measurement("error of F-PNDM with 50 steps over DDIM's with 250", pseudo["F"] / ddim[250], high=1.0),
        Measurement(
            "error of F-PNDM with 50 steps over DDIM's with 1000",
            pseudo["F"] / ddim[1000],
            high=1.0,
            note="the paper's headline, in FID there and against the exact flow here",
        ),
        Measurement("error of S-PNDM with 50 steps over DDIM's with 250", pseudo["S"] / ddim[250], high=1.0),
        Measurement("slope of DDIM, 80 to 320 steps", slopes["ddim"], 0.85, 1.15),
        Measurement("slope of S-PNDM", slopes["s-pndm"], 1.8, 2.3, note="order 2, as the paper proves"),
        Measurement("slope of F-PNDM", slopes["f-pndm"], 1.8, 2.3, note="order 2, not 4, as the paper proves"),
    ]


card = Card(
    id="pndm",
    claim="Pseudo linear multistep on DDIM's transfer: 50 steps come as near to the flow as 250 (headline: 1000) steps "
    "of DDIM; both variants are of order 2; S costs steps + 1 calls and F steps + 9.",
    source="Liu, Ren, Lin and Zhao, Pseudo Numerical Methods for Diffusion Models on Manifolds, 2022, arXiv 2202.09778",
    check=check,
    seconds=10,
)
