"""Neural posterior estimation: a NumPyro model as the simulator of its own posterior."""

from typing import TYPE_CHECKING

from ppl_ext.lazy_names import load_when_used

if TYPE_CHECKING:
    from ppl_ext.npe.settings import Training
    from ppl_ext.numpyro.npe.embeddings import Convolution, DeepSet, ResidualMLP
    from ppl_ext.numpyro.npe.entry import NPE
    from ppl_ext.numpyro.npe.mixtures import FullRankGaussian, MixtureDensity
    from ppl_ext.numpyro.npe.posterior import NeuralPosterior
    from ppl_ext.numpyro.npe.set_transformer import SetTransformer

__all__ = [
    "NPE",
    "Convolution",
    "DeepSet",
    "FullRankGaussian",
    "MixtureDensity",
    "NeuralPosterior",
    "ResidualMLP",
    "SetTransformer",
    "Training",
]

# A name costs its import when it is first used.
__getattr__, __dir__ = load_when_used(globals())
