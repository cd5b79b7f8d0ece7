"""Training: one loop, what it reads, and what it keeps.

Loaded at once, and not when first used as in other rooms: `fit` is a function here and a file of the same name.
"""

from .checkpoint import CheckpointError as CheckpointError, Checkpoints as Checkpoints
from .data import Batches as Batches, Whole as Whole
from .ema import EMA as EMA
from .fit import Fit as Fit, State as State, fit as fit
from .log import Bar as Bar, Metrics as Metrics, read_metrics as read_metrics
