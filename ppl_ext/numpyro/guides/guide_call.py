"""A guide beside the call of its model, as the key of the programs that both make."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpyro.infer.autoguide import AutoGuide

from ppl_ext.numpyro.guides.unconstrained import AbstractUnconstrainedGuide
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.fingerprint import take_fingerprint
from ppl_ext.numpyro.tracing.model_call import Arrays, ModelCall

__all__ = ["GuideCall", "call_guide"]


@dataclass(frozen=True)
class GuideCall:
    """A guide and the call of its model; equal for equal programs.

    Args:
        call: The model and its fixed arguments.
        guide: The guide.
        identity: What the guide is compared by.
    """

    call: ModelCall
    guide: Callable[..., Any] = field(compare=False)
    identity: Any

    def run(self, arrays: Arrays) -> Any:
        """The guide as a function of the array arguments."""
        return self.call.run_guide(self.guide, arrays)

    @property
    def may_be_traced(self) -> bool:
        """Whether its first call may be a traced one: the host's guides keep what they see."""
        return isinstance(self.guide, AbstractUnconstrainedGuide)


def call_guide(bound: BoundModel, guide: Callable[..., Any]) -> GuideCall:
    """Put a guide beside the call of a model."""
    identity: Any = guide
    if isinstance(guide, AbstractUnconstrainedGuide):
        identity = guide._program_key(bound.model)
    elif isinstance(guide, AutoGuide):
        # A guide of the host changes as it looks at the model, and stays who it is.
        identity = (guide.model, id(guide))
    return GuideCall(bound.call, guide, take_fingerprint(identity))
