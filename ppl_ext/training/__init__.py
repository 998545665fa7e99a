"""Training by minibatches: where they come from, the loop, its end, and files to go on from."""

from ppl_ext.training.minibatches import Minibatches
from ppl_ext.training.settings import MinibatchSettings

__all__ = ["MinibatchSettings", "Minibatches"]
