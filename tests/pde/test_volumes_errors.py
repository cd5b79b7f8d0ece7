"""Errors taken apart: both parts are what they are called."""

import numpy as np
import pytest

from duhamel.pde.volumes import fourier_split, takacs_split

X = np.arange(64) / 64
WAVE = 1 + np.sin(2 * np.pi * X) + 0.3 * np.cos(6 * np.pi * X)


@pytest.mark.parametrize("split", [takacs_split, fourier_split])
def test_the_parts_add_up(split):
    rng = np.random.default_rng(0)
    total, dissipation, dispersion = split(WAVE + 0.1 * rng.normal(size=64), WAVE)
    assert dissipation + dispersion == pytest.approx(total, abs=1e-14)
    assert dissipation > 0 and dispersion > 0


@pytest.mark.parametrize("split", [takacs_split, fourier_split])
def test_a_lower_wave_is_dissipation_and_a_shifted_one_is_dispersion(split):
    lower = split(1 + 0.8 * (WAVE - 1), WAVE)
    assert lower.dispersion == pytest.approx(0, abs=1e-14) and lower.dissipation > 0.01
    shifted = split(np.roll(WAVE, 3), WAVE)
    assert shifted.dissipation == pytest.approx(0, abs=1e-14) and shifted.dispersion > 0.01
