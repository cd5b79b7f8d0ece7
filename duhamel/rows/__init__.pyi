from .beside import beside as beside
from .canonical import Canonical as Canonical, plans_equal as plans_equal
from .greedy import Greedy as Greedy, along as along, fit_steps as fit_steps, from_here as from_here
from .noise import drawn as drawn, path_noise as path_noise
from .pattern import Pattern as Pattern, Row as Row
from .plan import Plan as Plan, Segment as Segment, compose as compose, tabulate as tabulate
from .predict import predicting as predicting
from .tune import Cases as Cases, Fitted as Fitted, fit as fit
