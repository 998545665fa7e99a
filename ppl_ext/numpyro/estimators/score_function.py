"""The score function, and the baselines that quieten it."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from ppl_ext.estimators.arguments import check_count, refuse
from ppl_ext.numpyro.estimators.estimator import AbstractScoreEstimator
from ppl_ext.numpyro.estimators.one_hot_draws import score

__all__ = ["ScoreFunction"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ScoreFunction(AbstractScoreEstimator):
    r"""Score function with a baseline: REINFORCE.

    .. math:: (f(z) - b) \, \nabla \log q(z)

    Unbiased whatever the baseline, and the noisiest of all: where ``f`` can be evaluated a few
    times, ``LeaveOneOut`` is better and has nothing to tune.

    Args:
        baseline: What is subtracted from ``f``: nothing, a number such as the mean so far, or an
            array that broadcasts against ``(*batch,)``, such as the output of a network that is
            trained to predict the value. It may not depend on the draw; no gradient flows to it.
        num_draws: Independent draws for one estimate, which are averaged.

    Raises:
        ValueError: A baseline that does not broadcast against the batch, or no draw.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> logits, weights = jnp.zeros((5, 1, 2)), jnp.arange(5.0)
        >>> f = lambda z: weights + z[..., 0, 1]  # its size differs within the batch
        >>> def loss(baseline, key):  # the value predicts itself
        ...     value = ScoreFunction(baseline).surrogate(key, f, logits)
        ...     return ((jax.lax.stop_gradient(value) - baseline) ** 2).mean()
        >>> baseline, slope = jnp.zeros(5), jax.jit(jax.grad(loss))
        >>> for key in jax.random.split(jax.random.key(0), 300):
        ...     baseline -= 0.1 * slope(baseline, key)
        >>> [round(each) for each in (baseline - 0.5).tolist()]
        [0, 1, 2, 3, 4]

    References:
        Williams (1992), Simple Statistical Gradient-Following Algorithms for Connectionist
        Reinforcement Learning, Machine Learning 8, doi:10.1007/BF00992696.
        Mnih, Gregor (2014), Neural Variational Inference and Learning in Belief Networks, ICML,
        arXiv:1402.0030.
    """

    baseline: float | jax.Array | None = None
    num_draws: int = field(default=1, metadata={"static": True})

    def __post_init__(self) -> None:
        check_count(
            "ScoreFunction",
            "num_draws",
            self.num_draws,
            1,
            "ScoreFunction(), or for several draws LeaveOneOut(num_draws=4).",
        )

    def combine(self, values: jax.Array, log_probs: jax.Array) -> jax.Array:
        """Return the surrogate of draws that have been made."""
        baseline = self._read_baseline(values.shape[1:])
        return (values + score(values - baseline, log_probs)).mean(0)

    def _read_baseline(self, shape):
        if self.baseline is None:
            return 0.0
        baseline = jnp.asarray(self.baseline)
        try:
            return jnp.broadcast_to(baseline, shape)
        except ValueError as error:
            raise refuse(
                "ScoreFunction",
                f"baseline has the shape {baseline.shape}",
                f"one number, or one for each member of the batch, {shape}",
                "Predict one value for each member of the batch: baseline.reshape(batch_shape).",
            ) from error
