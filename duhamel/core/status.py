"""How a solve ended: one number per lane, one sentence per number. NumPy only."""

from enum import IntEnum


class Status(IntEnum):
    """0 is success; anything else says what stopped the integration and what to do about it.

    A run-time failure never raises inside a compiled loop: the solver returns a Status per lane (as int32) and
    raises `Status(n).message` only when asked (`throw=True`).
    """

    success = 0
    max_steps_reached = 1
    nonfinite = 2
    step_too_small = 3
    event = 4
    not_converged = 5
    inadmissible = 6
    bad_times = 7
    unstable = 8

    @property
    def message(self) -> str:
        return _MESSAGES[self]

    @property
    def ok(self) -> bool:
        """Whether the numbers returned are a solution (an event is a planned end)."""
        return self in (Status.success, Status.event)


_MESSAGES = {
    Status.success: "The integration reached its final time.",
    Status.max_steps_reached: "The integration ran out of steps before its final time: raise max_steps, loosen rtol "
    "and atol, or use a method for stiff equations.",
    Status.nonfinite: "The state or the vector field became infinite or NaN: the solution may blow up, the first step "
    "or the fixed step may be too large, or the vector field may be undefined there.",
    Status.step_too_small: "The error control asked for a step below the resolution of time: the equation may be stiff "
    "or discontinuous there, or the tolerance is too tight for the dtype; loosen it or use float64.",
    Status.event: "The integration stopped at an event, as asked.",
    Status.not_converged: "A nonlinear system inside a step did not converge: use a smaller step, more iterations, or "
    "check the Jacobian of the vector field.",
    Status.inadmissible: "The state left the set in which the equation makes sense, such as positive densities, "
    "however short the step: use a smaller CFL number, more cells, or a more diffusive scheme.",
    Status.bad_times: "The save times do not run from t0 in one direction, or are not finite: sort them (repeats may "
    "stand).",
    Status.unstable: "What was found is a state of rest that the smallest disturbance leaves: begin beside it, on the "
    "side you mean.",
}
