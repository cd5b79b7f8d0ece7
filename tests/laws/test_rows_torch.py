"""The host executor: equal to JAX on NumPy arrays, and to NumPy on PyTorch tensors."""

import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

steps, ones = 6, np.ones(1)
t = np.linspace(1, 0.1, steps + 1)
rng = np.random.default_rng(0)
pattern = Pattern(
    (Row("y", ("z", "x"), "F"), Row("y2", ("F", "y"), "G", model=1, args=("z",)), Row("next", ("mu", "F1", "G", "x"))),
    keep=(("x", "next"), ("F1", "F")),
    draws=("z",),
    consts=("mu",),
)


def plan(noise=0.1, element=()):
    c = [noise * ones, ones, rng.normal(size=(steps, *element)), ones, 0.1 * ones, *rng.normal(size=(3, steps))]
    return Plan("all", (Segment(pattern, tuple(c), rng.normal(size=(steps, 2))),), t)


def models(xp):
    return [lambda tau, x: xp.sin(x) * tau, lambda tau, x, z: 0.3 * x * xp.cos(tau) + z]


x0 = rng.normal(size=(4, 3))
mu = rng.normal(size=3)
options = {"slots": {"F1": 0.5 * x0}, "consts": {"mu": mu}}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("element", [(), (3,)])
def test_numpy_arrays_run_as_jax_arrays_do(dtype, element):
    p = plan(noise=0.0, element=element)
    x, start = x0.astype(dtype), {"F1": x0.astype(dtype)}
    consts = {"mu": mu.astype(dtype)}
    host = p.run_torch([lambda tau, x: np.sin(x) * tau, lambda tau, x, z: 0.3 * x], x, slots=start, consts=consts,
                       seed=0, save="steps")  # fmt: skip
    assert host.dtype == dtype
    assert host.shape == (steps + 1, 4, 3)
    import jax

    device = p.run([lambda tau, x: jnp.sin(x) * tau, lambda tau, x, z: 0.3 * x], x, slots=start, consts=consts,
                   key=jax.random.key(0), save="steps")  # fmt: skip
    np.testing.assert_allclose(host, device, rtol=1e-4 if np.finfo(dtype).eps > 1e-10 else 1e-12, atol=1e-6)


def test_host_noise_belongs_to_the_sample():
    p = plan()
    whole = p.run_torch(models(np), x0, **options, seed=3, save="steps")
    part = {"slots": {"F1": 0.5 * x0[:2]}, "consts": {"mu": mu}}
    np.testing.assert_array_equal(p.run_torch(models(np), x0[:2], **part, seed=3, save="steps"), whole[:, :2])
    other = p.run_torch(models(np), x0, **options, seed=4)
    assert not np.allclose(other, whole[-1], atol=1e-3)
    own = {"slots": {"F1": 0.5 * x0[2:3]}, "consts": {"mu": mu}}
    by_list = p.run_torch(models(np), x0, **options, seed=[1, 2, 3, 4])
    np.testing.assert_array_equal(p.run_torch(models(np), x0[2:3], **own, seed=[3]), by_list[2:3])


def test_host_progress_and_slots():
    seen = []
    out = plan().run_torch(models(np), x0, **options, seed=0, save="slots", progress=lambda n, m: seen.append((n, m)))
    assert set(out) == {"x", "F1"}
    assert seen == [(n + 1, steps) for n in range(steps)]


BAD = [
    ({"seed": None}, "pass seed=0"),
    ({"consts": {}}, "reads the constant 'mu'"),
    ({"slots": {"G1": x0}}, "no slot 'G1'"),
    ({"seed": [1, 2]}, "one for each of the 4 samples"),
    ({"save": "all"}, "save must be"),
]


@pytest.mark.parametrize("change, words", BAD, ids=[words for _, words in BAD])
def test_bad_input_is_one_sentence(change, words):
    with pytest.raises(ValueError, match=words):
        plan().run_torch(models(np), x0, **{**options, "seed": 0, **change})
    with pytest.raises(ValueError, match="calls 2 models, got 1"):
        plan().run_torch(models(np)[:1], x0, **options, seed=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("element", [(), (3,)])
def test_tensors_run_as_numpy_arrays_do(dtype, element):
    torch = pytest.importorskip("torch")
    p = plan(element=element)
    numpy_options = {"slots": {"F1": x0.astype(dtype)}, "consts": {"mu": mu.astype(dtype)}, "seed": 5, "save": "steps"}
    expected = p.run_torch(models(np), x0.astype(dtype), **numpy_options)
    kind = getattr(torch, dtype)
    x = torch.tensor(x0, dtype=kind)
    got = p.run_torch(
        models(torch), x, slots={"F1": x}, consts={"mu": torch.tensor(mu, dtype=kind)}, seed=5, save="steps"
    )
    assert got.dtype == kind
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4 if dtype != "float64" else 1e-12, atol=1e-5)


def test_gradients_reach_a_tensor_through_a_plan():
    torch = pytest.importorskip("torch")
    p = plan(noise=0.0)
    x = torch.tensor(x0, requires_grad=True)
    start = {"slots": {"F1": torch.tensor(x0)}, "consts": {"mu": torch.tensor(mu)}, "seed": 0}
    torch.sum(p.run_torch(models(torch), x, **start)).backward()
    v, eps = rng.normal(size=x0.shape), 1e-6
    numpy_start = {"slots": {"F1": x0}, "consts": {"mu": mu}, "seed": 0}
    ahead, behind = (np.sum(p.run_torch(models(np), x0 + s * v, **numpy_start)) for s in (eps, -eps))
    np.testing.assert_allclose(np.sum(x.grad.numpy() * v), (ahead - behind) / (2 * eps), rtol=1e-7)
