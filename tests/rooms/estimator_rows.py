"""What is promised of every estimator: a row for each, with its truth by enumeration.

``test_estimator_contract.py`` puts its questions to every row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.hosts import Host
from tests.oracles import paths
from tests.oracles.estimators import BINARY, CATEGORICAL, LINEAR, SINGLE, Toy

Truth = tuple[np.ndarray | None, ...]  # value, gradients in the logits and the scale


@dataclass(frozen=True)
class Row:
    """An estimator, the problem it is tried on, and what holds of it there.

    Attributes:
        matrices: Of an estimator whose gradient passes through the draw: what the slope of ``f``
            is sent through, by the draw; the mean over the noise, if there is any.
    """

    name: str
    evaluations: int
    arguments: dict[str, Any] = field(default_factory=dict)
    toy: Toy = CATEGORICAL
    variance: Callable[[], np.ndarray] | None = None
    matrices: Callable[[np.ndarray], np.ndarray] | None = None
    draws_are_hard: bool = True
    two_classes: bool = False  # whether it serves no other number
    needs_one_hot: bool = False  # whether it asks for f between the corners
    bound_of: int | None = None  # of how many draws it estimates the bound

    def make(self, host: Host) -> Any:
        """Make the estimator."""
        return getattr(host.room.estimators, self.name)(**self.arguments)

    @property
    def passes_through(self) -> bool:
        """Whether its gradient passes through the draw."""
        return self.matrices is not None

    def truth(self) -> Truth:
        """What its means are; None where that is not known."""
        toy = self.toy
        if self.bound_of:
            return (*toy.bound(self.bound_of), None)
        if not self.matrices:
            return toy.value, toy.gradient, toy.scale_gradient
        gradient = toy.path_gradient(self.matrices)
        if not self.draws_are_hard:
            return None, gradient, None
        return toy.scale * toy.scale_gradient, gradient, toy.scale_gradient


def square(x: Any) -> Any:
    """A control variate that is right nowhere."""
    return (x**2)[..., 0].sum(-1)


def between(matrices: Callable[..., np.ndarray], **settings: float) -> Callable[..., np.ndarray]:
    """Matrices of two classes from those of their gap."""
    return lambda logits: matrices(logits[0] - logits[1], **settings)


Path = partial(Row, evaluations=1, toy=BINARY, needs_one_hot=True)

ROWS = (
    Row("ScoreFunction", 1, variance=CATEGORICAL.score_variance),
    Row("ScoreFunction", 2, {"baseline": 0.7, "num_draws": 2}),
    Row(
        "LeaveOneOut", 2, {"num_draws": 2}, variance=partial(CATEGORICAL.leave_one_out_variance, 2)
    ),
    Row(
        "LeaveOneOut", 4, {"num_draws": 4}, variance=partial(CATEGORICAL.leave_one_out_variance, 4)
    ),
    Row("LocalExpectation", 9, variance=CATEGORICAL.local_variance),
    Row("LocalExpectation", 5, toy=SINGLE, variance=lambda: np.zeros(3)),
    Row("REBAR", 3, {"temperature": 0.5, "scale": 0.8}, needs_one_hot=True),
    Row("RELAX", 1, {"control": square}, needs_one_hot=True),
    Row("RELAX", 3, {"control": square, "scale": 0.8}, needs_one_hot=True),
    Row("ARM", 2, toy=BINARY, two_classes=True),
    Row("DisARM", 2, toy=BINARY, two_classes=True, variance=BINARY.mirror_variance),
    Row("VIMCO", 2, {"num_draws": 2}, bound_of=2),
    Path("StraightThrough", matrices=paths.straight_through),
    Path("ReinMax", matrices=paths.reinmax),
    Path(
        "ReinMax", arguments={"temperature": 1.3}, matrices=partial(paths.reinmax, temperature=1.3)
    ),
    Path("GappedStraightThrough", matrices=partial(paths.gapped, temperature=1.0, gap=1.0)),
    Path(
        "GappedStraightThrough",
        arguments={"temperature": 0.5, "gap": None},
        matrices=partial(paths.gapped, temperature=0.5, gap=None),
    ),
    Path(
        "StraightThroughGumbelSoftmax",
        arguments={"temperature": 0.7},
        matrices=between(paths.rao, temperature=0.7),
    ),
    Path(
        "GumbelRao",
        arguments={"temperature": 0.7, "num_draws": 3},
        matrices=between(paths.rao, temperature=0.7),
    ),
    Path(
        "ReinMaxRao",
        arguments={"temperature": 0.7, "num_draws": 3},
        matrices=between(paths.reinmax_rao, temperature=0.7),
    ),
    Path(
        "GumbelSoftmax",
        arguments={"temperature": 0.7},
        toy=LINEAR,
        matrices=between(paths.rao, temperature=0.7),
        draws_are_hard=False,
    ),
)
PATHS = tuple(row for row in ROWS if row.passes_through)
IDS = [f"{row.name}-{number}" for number, row in enumerate(ROWS)]
rows = pytest.mark.parametrize("row", ROWS, ids=IDS)
# One row of each estimator, where its settings do not matter.
kinds = pytest.mark.parametrize(
    "row", {row.name: row for row in ROWS}.values(), ids=lambda row: row.name
)


def integrand(host: Host, row: Row) -> Callable[..., Any]:
    """Write ``f`` of the row's oracle in the host's words."""
    inner, outer = host.array(row.toy.inner), host.array(row.toy.outer)
    categorical = host.room.distributions.OneHotCategoricalStraightThrough
    bend = host.math.tanh if row.toy.is_bent else lambda hidden: hidden

    def f(z: Any, logits: Any, scale: Any) -> Any:
        g = scale * (bend(z.reshape(*z.shape[:-2], -1) @ inner) @ outer)
        if row.passes_through:
            return g
        return g - categorical(logits=logits, validate_args=False).log_prob(z).sum(-1)

    return f
