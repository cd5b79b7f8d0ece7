from .advice import Advice as Advice, advise as advise
from .compare import compare_plans as compare_plans
from .denoiser import (
    AtPrecision as AtPrecision,
    Converted as Converted,
    Guided as Guided,
    Thresholded as Thresholded,
    as_prediction as as_prediction,
)
from .discrete_vp import DiscreteVP as DiscreteVP
from .exact import (
    GaussianMixture as GaussianMixture,
    gaussian as gaussian,
    gaussian_flow as gaussian_flow,
    mixture as mixture,
)
from .langevin_gibbs import from_levels as from_levels, langevin_gibbs as langevin_gibbs
from .likelihood import log_likelihood as log_likelihood
from .mixture1d import Mixture1D as Mixture1D
from .plans.adjusted import aligned as aligned, distilled as distilled, improved as improved, shifted as shifted
from .plans.compensated import Cascade as Cascade, compensated as compensated, read_ratios as read_ratios
from .plans.contenders import Contender as Contender, times as times
from .plans.dpm_v3 import Statistics as Statistics
from .plans.grid import time_grid as time_grid
from .plans.published import read_neural_solver as read_neural_solver, read_usf as read_usf
from .plans.registry import SAMPLERS as SAMPLERS, build as build, schedule_of as schedule_of
from .plans.renoise import consistency as consistency, rddm as rddm
from .plans.stochasticity import convert_strength as convert_strength, fresh_share as fresh_share
from .sampling import sample as sample
from .schedule import (
    EDM as EDM,
    VE as VE,
    VP as VP,
    Cosine as Cosine,
    Flow as Flow,
    MeanReverting as MeanReverting,
    Schedule as Schedule,
    SubVP as SubVP,
)
from .search.autodiffusion import choose_times as choose_times
from .search.ays import align as align
from .search.few_steps import search_stop as search_stop
from .search.gits import gits as gits
from .search.s3 import search_recipe as search_recipe
from .statewise import Skipping as Skipping, TimeShifted as TimeShifted
from .statistics import model_statistics as model_statistics
from .tuning.recipe import Budget as Budget, tune as tune
