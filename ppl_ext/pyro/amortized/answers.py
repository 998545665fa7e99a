"""What an amortized guide answers about rows, once it is trained."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pyro.nn import PyroModule

from ppl_ext.amortization.refusals import refuse_no_shared
from ppl_ext.fitting.calls import check_count, check_positive
from ppl_ext.pyro.amortized.framed_flows import RowFlow
from ppl_ext.pyro.amortized.gaussians import Gaussian
from ppl_ext.pyro.amortized.posterior import RowPosterior
from ppl_ext.pyro.amortized.refinement import RefinedRows, refine_rows
from ppl_ext.pyro.amortized.row_model import RowModel
from ppl_ext.pyro.amortized.row_terms import RowTerms
from ppl_ext.pyro.amortized.rows import Shown
from ppl_ext.pyro.tracing.data.data_kinds import to_tensors
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["AbstractRowGuide"]


class AbstractRowGuide(PyroModule):
    """A guide whose local posteriors are read from the data of rows."""

    _rows: RowModel

    @abstractmethod
    def _encode(self, read: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor:
        """What the encoder gives for rows, ``[row, output]``."""

    @abstractmethod
    def _read_local(self, encoded: torch.Tensor) -> Gaussian | RowFlow:
        """The posteriors of rows, from what the encoder gave."""

    @in_turn
    def local_posterior(self, *args: Any, **kwargs: Any) -> dist.TorchDistribution:
        """The posterior of every row on unconstrained space, of old or of new data.

        Args:
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            A distribution of batch shape ``(row,)`` and event shape ``(dim,)``: the local sites of
            a row, each raveled, in the order of the model; all rows, if the plate draws some too.

        Raises:
            ValueError: The data hold values that are neither finite nor masked.
        """
        return self._answer(args, kwargs)[0].distribution

    def shared_posterior(self) -> dist.TorchDistribution:
        """The Gaussian of the latent sites outside of the plate, on unconstrained space.

        Returns:
            A distribution of event shape ``(dim,)``: the sites in the order of the model.

        Raises:
            ValueError: There is no such site.
        """
        shared = self._shared()
        refuse_no_shared(self._rows.layout, "guide.local_posterior(*args)")
        return shared.distribution

    @torch.no_grad()
    @in_turn
    def sample_posterior(
        self, *args: Any, sample_shape: tuple[int, ...] = (), **kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """Draw every latent site, local ones for all rows of the data that are given.

        Args:
            *args: Positional arguments of the model, with any number of rows.
            sample_shape: Shape of the draws.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array[*sample_shape, ...]}``.
        """
        return self._answer(args, kwargs)[0].sample(sample_shape)

    @torch.no_grad()
    @in_turn
    def median(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """Median of every latent site, local ones for all rows of the data that are given.

        Args:
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array}``; exact where the bijection works entry by entry, of a flow by draws.
        """
        return self._answer(args, kwargs)[0].find_median()

    @torch.no_grad()
    @in_turn
    def quantiles(
        self, quantiles: Sequence[float], *args: Any, **kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """Quantiles of every latent site, local ones for all rows of the data that are given.

        Not for the joint spread of a site whose entries are bound together (a simplex): there
        the bijection is applied to the quantiles of its coordinates.

        Args:
            quantiles: Probabilities between 0 and 1.
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array[quantile, ...]}``; exact where the bijection works entry by entry, of a
            flow by draws.
        """
        return self._answer(args, kwargs)[0].find_quantiles(quantiles)

    @torch.no_grad()
    @in_turn
    def refine(
        self,
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
        for rows that sites outside of the plate tie together. The random numbers are torch's.

        Args:
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
        counts = {"max_steps": max_steps, "num_particles": num_particles, "num_draws": num_draws}
        for name, count in counts.items():
            check_count("AutoAmortized.refine", name, count, f"guide.refine(*args, {name}=1000)")
        check_positive(
            "AutoAmortized.refine", "step_size", step_size, "guide.refine(*args, step_size=0.1)"
        )
        args, kwargs = to_tensors((args, kwargs))
        posterior, shown = self._answer(args, kwargs)
        terms = RowTerms(self._rows.model, args, kwargs, posterior.layout, shown)
        return refine_rows(
            posterior,
            terms,
            max_steps=max_steps,
            step_size=step_size,
            num_particles=num_particles,
            num_draws=num_draws,
        )

    def _answer(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[RowPosterior, Shown]:
        """The posteriors of all rows, and the run of the model that has shown them."""
        layout, (args, kwargs) = self._rows.layout, to_tensors((args, dict(kwargs)))
        self._rows.check_data(args, kwargs)
        shown = self._rows.run_whole(args, kwargs)
        read = self._rows.read(shown.sites, args, kwargs, shown.rows)
        local = self._read_local(self._encode(read))
        return RowPosterior(layout, self._shared(), local, shown.sites), shown

    def _shared(self) -> Gaussian | None:
        return Gaussian(self.shared_loc, self.shared_scale) if self._rows.layout.shared else None
