"""A guide that reads the posterior of every row of a plate from the data of the row."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Self

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule

from ppl_ext.amortization.refusals import check_encoded, check_family
from ppl_ext.fitting.calls import check_init_scale
from ppl_ext.pyro.amortized import emission
from ppl_ext.pyro.amortized.encoders import StandardEncoder, check_encoder, join_presence
from ppl_ext.pyro.amortized.gaussians import Gaussian, read_encoded
from ppl_ext.pyro.amortized.row_model import RowModel
from ppl_ext.pyro.amortized.rows import Sites, peek_rows, run_model
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["AutoAmortized"]

_COUNTER = itertools.count()


class AutoAmortized(PyroModule):
    r"""Local latents whose posterior an encoder reads from the data of their row.

    .. math:: q(\theta, z) = q(\theta) \prod_i \mathrm{Normal}(z_i; \mu(x_i), \Sigma(x_i))

    on unconstrained space, for a model with latent and observed sites in one plate. The encoder
    gives for every row D locations, D numbers whose softplus is the scale (the diagonal of the
    Cholesky factor), and for ``"full_rank"`` the D (D - 1) / 2 entries below the diagonal, row by
    row; D counts the unconstrained coordinates of the local sites, in the order of the model. All
    other latent sites share one Gaussian, which starts at the middle of unconstrained space.

    The plate may subsample: the guide opens it and the host hands its rows to the model, so that
    all sites of a step see one draw of rows. New data may have another number of rows. What a mask
    hides of observed sites is hidden from the encoder. Not for plates that are nested around local
    sites, nor for sites whose support depends on other latent sites. For ``Predictive`` the
    model has to show all rows of its plate, for it draws rows of its own after the guide.

    Args:
        model: Pyro model.
        plate: Plate whose rows are encoded; None if one alone has latent and observed sites.
        encoder: Any torch module that reads ``rows[row, width]`` as ``[row, output]``. None:
            `npe.ResidualMLP` on standardised rows.
        features: Function of the model's arguments that gives what the encoder reads, an array
            with one entry for each row of the plate. None: all observed sites in the plate,
            flattened side by side, followed by flags of what is there if a mask hides some.
        local: Family of the local sites of one row, ``"full_rank"`` or ``"mean_field"``.
        shared: Family of all other latent sites together, likewise.
        init_scale: Standard deviation that the shared sites start from.
        prefix: First part of the names of parameters and auxiliary sites; a number is
            added, so that two guides never share parameters.

    Raises:
        ValueError: ``local``, ``shared`` or ``init_scale`` is out of range; at the first call, the
            model cannot be followed, or the encoder gives arrays of another shape.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> from ppl_ext.pyro import AutoAmortized
        >>> def model(x):
        ...     with pyro.plate("rows", len(x), subsample_size=10) as i:
        ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
        ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x[i])
        >>> x = torch.linspace(-2.0, 2.0, 40)
        >>> guide = AutoAmortized(model)
        >>> adam = pyro.optim.Adam({"lr": 1e-2})
        >>> svi = pyro.infer.SVI(model, guide, adam, pyro.infer.Trace_ELBO())
        >>> losses = [svi.step(x) for _ in range(20)]
        >>> guide.median(torch.tensor([-1.0, 0.0, 1.0]).repeat(4))["z"].shape
        torch.Size([12])

    References:
        Kingma, Welling (2014), Auto-encoding variational Bayes, ICLR, arXiv:1312.6114.
        Rezende, Mohamed, Wierstra (2014), Stochastic backpropagation and approximate inference in
        deep generative models, ICML, arXiv:1401.4082.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        plate: str | None = None,
        encoder: torch.nn.Module | None = None,
        features: Callable[..., Any] | None = None,
        local: str = "full_rank",
        shared: str = "mean_field",
        init_scale: float = 0.1,
        prefix: str = "auto",
    ) -> None:
        check_family("local", local)
        check_family("shared", shared)
        check_init_scale("AutoAmortized", init_scale)
        super().__init__(f"{prefix}_{next(_COUNTER)}")
        self._prefix = prefix
        self.local, self.shared, self.init_scale = local, shared, float(init_scale)
        # Not a part of this module, whatever it is: its parameters are the model's own.
        self._rows = RowModel(model, plate, features)
        self.encoder = check_encoder(encoder)

    @in_turn
    def setup(self, *args: Any, **kwargs: Any) -> Self:
        """Look at the model now instead of at the first call, and draw starting parameters.

        After it, a state dict that was saved in another process can be loaded.

        Args:
            *args: Positional arguments of the model.
            **kwargs: Keyword arguments of the model.

        Returns:
            The guide.

        Raises:
            ValueError: The model cannot be followed by this guide; the message names the site.
        """
        layout = self._rows.set_up(args, kwargs)
        if self.encoder is None:
            sites, rows = self._rows.run_whole(args, kwargs)
            read = self._rows.read(sites, args, kwargs, rows)
            self.encoder = StandardEncoder.start(*read, layout.num_outputs(self.local))
        if layout.shared:
            found = emission.shared_parameters(layout.shared_dim, self.shared, self.init_scale)
            self.shared_loc, self.shared_scale = found
        return self

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """Draw every latent site once."""
        if not self._rows.ready:
            self.setup(*args, **kwargs)
        layout, model = self._rows.layout, self._rows.model
        plates = {
            name: pyro.plate(name, size, dim=dim)
            for name, (size, dim) in layout.shared_plates.items()
        }
        called = peek_rows(model, layout.plate, args, kwargs)
        rows = plates[layout.plate] = pyro.plate(layout.plate, dim=layout.dim, **called)
        # The shared values move no support, so that one run shows all there is to read.
        sites = run_model(model, args, kwargs, {layout.plate: rows.indices})
        values = {}
        if layout.shared:
            name, gaussian = f"_{self._pyro_name}_shared", self._shared()
            values = emission.emit_sites(name, layout.shared, gaussian, sites, plates)
        read = self._rows.read(sites, args, kwargs, rows.indices)
        gaussian = read_encoded(self._encode(read), layout.local_dim, self.local)
        name, gaussian = f"_{self._pyro_name}_local", gaussian.beside(-1 - layout.dim)
        plate = layout.plate
        return values | emission.emit_sites(name, layout.local, gaussian, sites, plates, plate)

    @in_turn
    def local_posterior(self, *args: Any, **kwargs: Any) -> dist.TorchDistribution:
        """The Gaussian of every row on unconstrained space, of old or of new data.

        Args:
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            A distribution of batch shape ``(row,)`` and event shape ``(dim,)``: the local sites of
            a row, each raveled, in the order of the model; all rows, if the plate draws some too.

        Raises:
            ValueError: The data hold values that are neither finite nor masked.
        """
        return self._encode_whole(args, kwargs)[0].distribution

    def shared_posterior(self) -> dist.TorchDistribution:
        """The Gaussian of the latent sites outside of the plate, on unconstrained space.

        Returns:
            A distribution of event shape ``(dim,)``: the sites in the order of the model.

        Raises:
            ValueError: There is no such site.
        """
        if not self._rows.layout.shared:
            raise ValueError(
                f"AutoAmortized: all latent sites lie in plate {self._rows.layout.plate!r}; "
                "expected one outside of it. Use guide.local_posterior(*args)."
            )
        return self._shared().distribution

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
        shape = torch.Size(sample_shape)
        gaussian, messages = self._encode_whole(args, kwargs)
        z = gaussian.distribution.sample(shape)
        shared = self._shared().distribution.sample(shape) if self._rows.layout.shared else None
        return emission.constrain(self._rows.layout, shared, z, messages)

    @torch.no_grad()
    @in_turn
    def median(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """Median of every latent site, local ones for all rows of the data that are given.

        Args:
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array}``; exact where the bijection works entry by entry.
        """
        gaussian, messages = self._encode_whole(args, kwargs)
        shared = self._shared().loc if self._rows.layout.shared else None
        return emission.constrain(self._rows.layout, shared, gaussian.loc, messages)

    def __setstate__(self, state: dict) -> None:
        # The parameter store knows parameters by name: a copy is another guide.
        super().__setstate__(state)
        self._pyro_name = f"{self._prefix}_{next(_COUNTER)}"

    def _encode_whole(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Gaussian, Sites]:
        """The Gaussians of all rows, and the run of the model that has shown them."""
        layout = self._rows.layout
        self._rows.check_data(args, kwargs)
        sites, rows = self._rows.run_whole(args, kwargs)
        encoded = self._encode(self._rows.read(sites, args, kwargs, rows))
        return read_encoded(encoded, layout.local_dim, self.local), sites

    def _encode(self, read: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor:
        rows = join_presence(*read)
        encoded = self.encoder(rows)
        check_encoded(encoded.shape, len(rows), self._rows.layout, self.local)
        return encoded

    def _shared(self) -> Gaussian:
        return Gaussian(self.shared_loc, self.shared_scale)
