from .conv import Conv as Conv, GroupNorm as GroupNorm
from .embedding import Embedding as Embedding, fourier as fourier
from .fno import FNO as FNO
from .kernel import (
    Fourier as Fourier,
    Kernel as Kernel,
    KernelOperator as KernelOperator,
    LowRank as LowRank,
    Multilevel as Multilevel,
    Radius as Radius,
)
from .message_passing import Exchange as Exchange, Line as Line, MessagePassing as MessagePassing, Slopes as Slopes
from .mlp import MLP as MLP
from .spectral import FactorisedConv as FactorisedConv, SpectralConv as SpectralConv
from .transformer import Attention as Attention, Block as Block, Linear as Linear
from .unet import Residual as Residual, UNet as UNet
