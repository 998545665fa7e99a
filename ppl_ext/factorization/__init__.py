"""Ratings with error bars: Bayesian matrix factorization by exact coordinate ascent."""

from ppl_ext.factorization.biclusters import Blocks, predict_blocks, sort_blocks
from ppl_ext.factorization.bound import Bound, measure_bound
from ppl_ext.factorization.factors import Factors
from ppl_ext.factorization.file_part import read_part
from ppl_ext.factorization.model import MatrixFactorization
from ppl_ext.factorization.noise import Noise
from ppl_ext.factorization.prediction import Assessment, Prediction
from ppl_ext.factorization.priors import ARD, Fixed, FullCovariance, GaussianPrior, Isotropic
from ppl_ext.factorization.ranking import ExpectedRating, Ranking, Thompson, UpperConfidence
from ppl_ext.factorization.rating_stream import RatingStream, cut_blocks
from ppl_ext.factorization.ratings import Ratings
from ppl_ext.factorization.reading import read_ratings
from ppl_ext.factorization.regression import Regression
from ppl_ext.factorization.saving import load_factors
from ppl_ext.factorization.side import Side
from ppl_ext.factorization.simulation import Simulation, simulate_ratings
from ppl_ext.factorization.splitting import split_by_row, split_by_time, split_by_user
from ppl_ext.factorization.streaming import StreamedFactorization
from ppl_ext.factorization.unfitted import begin_factors
from ppl_ext.factorization.updating import update_factors

__all__ = [
    "ARD",
    "Assessment",
    "Blocks",
    "Bound",
    "ExpectedRating",
    "Factors",
    "Fixed",
    "FullCovariance",
    "GaussianPrior",
    "Isotropic",
    "MatrixFactorization",
    "Noise",
    "Prediction",
    "Ranking",
    "RatingStream",
    "Ratings",
    "Regression",
    "Side",
    "Simulation",
    "StreamedFactorization",
    "Thompson",
    "UpperConfidence",
    "begin_factors",
    "cut_blocks",
    "load_factors",
    "measure_bound",
    "predict_blocks",
    "read_part",
    "read_ratings",
    "simulate_ratings",
    "sort_blocks",
    "split_by_row",
    "split_by_time",
    "split_by_user",
    "update_factors",
]
