"""The networks of `advice_networks`, as tutorials write them in PyTorch; imported when one is trained."""

import math
from typing import Any

from .measure import peer

torch = peer("torch")
nn = torch.nn


def sinusoidal(t: Any, width: int) -> Any:
    half = width // 2
    angles = t[:, None] * torch.exp(-math.log(10_000) * torch.arange(half) / half)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Residual(nn.Module):
    def __init__(self, inside: int, out: int, condition: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, inside), nn.SiLU(), nn.Conv2d(inside, out, 3, padding=1))
        self.second = nn.Sequential(nn.GroupNorm(8, out), nn.SiLU(), nn.Conv2d(out, out, 3, padding=1))
        self.told = nn.Linear(condition, out)
        self.skip = nn.Conv2d(inside, out, 1) if inside != out else nn.Identity()

    def forward(self, x: Any, c: Any) -> Any:
        return self.skip(x) + self.second(self.first(x) + self.told(c)[:, :, None, None])


class UNet(nn.Module):
    """Two levels, as DDPM's. The time is told as sin and cos of `rate` times it."""

    def __init__(self, channels: int = 1, width: int = 24, rate: float = 1.0) -> None:
        super().__init__()
        self.rate, c = rate, 4 * width
        self.embed = nn.Sequential(nn.Linear(32, c), nn.SiLU(), nn.Linear(c, c), nn.SiLU())
        self.begin = nn.Conv2d(channels, width, 3, padding=1)
        self.one, self.two = Residual(width, width, c), Residual(2 * width, 2 * width, c)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.middle = Residual(2 * width, 2 * width, c)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.three = Residual(2 * width, width, c)
        self.end = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Any, t: Any) -> Any:
        c = self.embed(sinusoidal(self.rate * t, 32))
        high = self.one(self.begin(x), c)
        low = self.middle(self.two(self.down(high), c), c)
        return self.end(self.three(torch.cat([self.up(low), high], 1), c))


class Perceptron(nn.Module):
    """Residual blocks of two layers; the time by Fourier features, or as one more coordinate."""

    def __init__(self, d: int, width: int = 256, depth: int = 3, rate: float | None = 1.0, classes: int = 0) -> None:
        super().__init__()
        self.rate, more = rate, 1 if rate is None else 32
        self.begin = nn.Linear(d + more, width)
        self.label = nn.Embedding(classes, width) if classes else None
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width + more, width), nn.SiLU(), nn.Linear(width, width))
            if rate is not None
            else nn.Sequential(nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.end = nn.Linear(width, d)

    def forward(self, x: Any, t: Any, label: Any = None) -> Any:
        if self.rate is None:
            z = self.begin(torch.cat([x, t[:, None]], 1))
            for block in self.blocks:
                z = block(z)
            return self.end(nn.functional.silu(z))
        c = sinusoidal(self.rate * t, 32)
        z = self.begin(torch.cat([x, c], 1))
        z = z if self.label is None else z + self.label(label)
        for block in self.blocks:
            norm, first, act, second = block
            z = z + second(act(first(torch.cat([norm(z), c], 1))))
        return self.end(z)


class Plain(nn.Module):
    """A class-conditional network that is told t / T as a number, with batch norms, as one popular script."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        conv = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.GELU())  # noqa: E731
        told = lambda k: nn.Sequential(nn.Linear(k, width), nn.GELU(), nn.Linear(width, width))  # noqa: E731
        self.begin, self.down = conv(1, width), nn.Sequential(conv(width, width), nn.MaxPool2d(2))
        self.low = nn.Sequential(conv(width, width), conv(width, width))
        self.time, self.kind = told(1), told(10)
        self.up = nn.Sequential(nn.ConvTranspose2d(width, width, 2, 2), conv(width, width))
        self.end = nn.Sequential(conv(2 * width, width), nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, x: Any, t: Any, label: Any) -> Any:
        high = self.begin(x)
        c = self.kind(nn.functional.one_hot(label, 10).float())[:, :, None, None]
        low = self.low(self.down(high)) * c + self.time(t[:, None])[:, :, None, None]
        return self.end(torch.cat([self.up(low), high], 1))
