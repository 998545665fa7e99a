"""What an amortized guide answers about rows, once it is trained."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpyro.distributions as dist
from numpyro.infer.autoguide import AutoGuide

from ppl_ext.amortization.refusals import refuse_no_shared
from ppl_ext.byte_order import to_native
from ppl_ext.fitting.calls import check_count, check_positive
from ppl_ext.numpyro.amortized.framed_flows import RowFlow
from ppl_ext.numpyro.amortized.gaussians import Gaussian
from ppl_ext.numpyro.amortized.network import RowNetwork
from ppl_ext.numpyro.amortized.posterior import RowPosterior
from ppl_ext.numpyro.amortized.refinement import RefinedRows, refine_rows
from ppl_ext.numpyro.amortized.refinement_programs import RefinementSettings
from ppl_ext.numpyro.amortized.rows import Shown
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["AbstractRowGuide"]


class AbstractRowGuide(AutoGuide):
    """A guide whose local posteriors are read from the data of rows."""

    _network: RowNetwork

    @abstractmethod
    def _read_local(self, params: Mapping[str, Any], encoded: jax.Array) -> Gaussian | RowFlow:
        """The posteriors of rows, from what the encoder gave."""

    @in_turn
    def local_posterior(
        self, params: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> dist.Distribution:
        """The posterior of every row on unconstrained space, of old or of new data.

        Args:
            params: Parameters of the guide.
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            A distribution of batch shape ``(row,)`` and event shape ``(dim,)``: the local sites of
            a row, each raveled, in the order of the model; all rows, if the plate draws some too.

        Raises:
            ValueError: The data hold values that are neither finite nor masked.
        """
        return self._answer(params, args, kwargs)[0].distribution

    def shared_posterior(self, params: Mapping[str, Any]) -> dist.Distribution:
        """The Gaussian of the latent sites outside of the plate, on unconstrained space.

        Args:
            params: Parameters of the guide.

        Returns:
            A distribution of event shape ``(dim,)``: the sites in the order of the model.

        Raises:
            ValueError: There is no such site.
        """
        shared = self._shared(params)
        refuse_no_shared(self._network.layout, "guide.local_posterior(params, *args)")
        return shared.distribution

    @in_turn
    def sample_posterior(
        self,
        rng_key: jax.Array,
        params: Mapping[str, Any],
        *args: Any,
        sample_shape: tuple[int, ...] = (),
        **kwargs: Any,
    ) -> dict[str, jax.Array]:
        """Draw every latent site, local ones for all rows of the data that are given.

        Args:
            rng_key: Random key.
            params: Parameters of the guide.
            *args: Positional arguments of the model, with any number of rows.
            sample_shape: Shape of the draws.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array[*sample_shape, ...]}``.
        """
        line = "guide.sample_posterior(jax.random.key(0), params, *args)"
        check_rng_key("AutoAmortized.sample_posterior", rng_key, line)
        return self._answer(params, args, kwargs)[0].sample(rng_key, sample_shape)

    @in_turn
    def median(self, params: Mapping[str, Any], *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Median of every latent site, local ones for all rows of the data that are given.

        Args:
            params: Parameters of the guide.
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array}``; exact where the bijection works entry by entry, of a flow by draws.
        """
        return self._answer(params, args, kwargs)[0].find_median()

    @in_turn
    def quantiles(
        self, params: Mapping[str, Any], quantiles: Sequence[float], *args: Any, **kwargs: Any
    ) -> dict[str, jax.Array]:
        """Quantiles of every latent site, local ones for all rows of the data that are given.

        Not for the joint spread of a site whose entries are bound together (a simplex): there
        the bijection is applied to the quantiles of its coordinates.

        Args:
            params: Parameters of the guide.
            quantiles: Probabilities between 0 and 1.
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array[quantile, ...]}``; exact where the bijection works entry by entry, of a
            flow by draws.
        """
        return self._answer(params, args, kwargs)[0].find_quantiles(quantiles)

    @in_turn
    def refine(
        self,
        rng_key: jax.Array,
        params: Mapping[str, Any],
        *args: Any,
        max_steps: int = 300,
        step_size: float = 0.1,
        num_particles: int = 8,
        num_draws: int = 1000,
        **kwargs: Any,
    ) -> RefinedRows:
        """Fit the posterior of each row to that row alone, from the encoder's answer on.

        All rows at once, each by Adam on numbers of its own; the shared sites keep their Gaussian
        and the model its parameters. What the bound of a row gains is its amortization gap. Not
        for rows that sites outside of the plate tie together. Compiled once for a model, a number
        of rows and these settings.

        Args:
            rng_key: Random key.
            params: Parameters of the guide, and of the model if it has some.
            *args: Positional arguments of the model, with any number of rows.
            max_steps: Steps of Adam, whose size falls to a hundredth.
            step_size: The first of them, in standard deviations of the encoder's answer. A row
                can move by some ``max_steps * step_size / 5`` of them.
            num_particles: Draws of a gradient.
            num_draws: Draws of the bounds of a row.
            **kwargs: Keyword arguments of the model.

        Returns:
            The posteriors, with medians, quantiles and draws; and ``gap``, a report.

        Raises:
            ValueError: A number is not positive, or something outside of the plate hangs on local
                sites.

        References:
            Kim, Wiseman, Miller, Sontag, Rush (2018), Semi-amortized variational autoencoders,
            ICML, arXiv:1802.02550.
            Cremer, Li, Duvenaud (2018), Inference suboptimality in variational autoencoders, ICML,
            arXiv:1801.03558.
        """
        line = "guide.refine(jax.random.key(0), params, *args)"
        check_rng_key("AutoAmortized.refine", rng_key, line)
        counts = {"max_steps": max_steps, "num_particles": num_particles, "num_draws": num_draws}
        for name, count in counts.items():
            check_count("AutoAmortized.refine", name, count, f"{line[:-1]}, {name}=1000)")
        check_positive(
            "AutoAmortized.refine", "step_size", step_size, f"{line[:-1]}, step_size=0.1)"
        )
        args, kwargs = to_native((args, kwargs))
        posterior, shown = self._answer(params, args, kwargs)
        settings = RefinementSettings(max_steps, step_size, num_particles)
        return refine_rows(rng_key, posterior, shown.bound, params, settings, num_draws)

    def _answer(
        self, params: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[RowPosterior, Shown]:
        """The posteriors of all rows, and the run of the model that has shown them."""
        args, kwargs = to_native((args, dict(kwargs)))
        layout = self._network.check_data(args, kwargs)
        shown = self._network.run_whole(args, kwargs)
        read = self._network.read(shown.trace, args, kwargs, shown.rows)
        local = self._read_local(params, self._network.encode(params, read))
        return RowPosterior(layout, self._shared(params), local, shown.trace), shown

    def _shared(self, params: Mapping[str, Any]) -> Gaussian | None:
        if not self._network.layout.shared:
            return None
        return Gaussian(params[f"{self.prefix}_shared_loc"], params[f"{self.prefix}_shared_scale"])
