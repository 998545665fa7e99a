"""Ratings with error bars: Bayesian matrix factorization by exact coordinate ascent."""

from ppl_ext.factorization.data.file_part import read_part
from ppl_ext.factorization.data.rating_stream import RatingStream, cut_by_user
from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.data.reading import read_ratings
from ppl_ext.factorization.data.simulation import Simulation, simulate_ratings
from ppl_ext.factorization.data.splitting import split_by_row, split_by_time, split_by_user
from ppl_ext.factorization.fitting.matrix_factorization import MatrixFactorization
from ppl_ext.factorization.fitting.streaming import StreamedFactorization
from ppl_ext.factorization.fitting.unfitted import begin_factors
from ppl_ext.factorization.model.gaussian_prior import GaussianPrior
from ppl_ext.factorization.model.noise import Noise
from ppl_ext.factorization.model.priors import ARD, Fixed, FullCovariance, Isotropic
from ppl_ext.factorization.model.regression import Regression
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.result.assessment import Assessment
from ppl_ext.factorization.result.biclusters import Blocks, predict_blocks, sort_blocks
from ppl_ext.factorization.result.bound import Bound, measure_bound
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.factorization.result.loading import load_factors
from ppl_ext.factorization.result.prediction import Prediction
from ppl_ext.factorization.result.ranking import ExpectedRating, Ranking, Thompson, UpperConfidence
from ppl_ext.factorization.result.update import update_factors

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
    "cut_by_user",
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
