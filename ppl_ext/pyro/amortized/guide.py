"""A guide that reads the posterior of every row of a plate from the data of the row."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import pyro
import torch

from ppl_ext.amortization.layout import CONTEXT_DIM
from ppl_ext.amortization.reading import check_encoded
from ppl_ext.amortization.refusals import check_family, check_local_flow, name_local_family
from ppl_ext.fitting.calls import check_init_scale
from ppl_ext.pyro.amortized import emission
from ppl_ext.pyro.amortized.answers import AbstractRowGuide
from ppl_ext.pyro.amortized.encoders import StandardEncoder, check_encoder, join_presence
from ppl_ext.pyro.amortized.framed_flows import RowFlow, choose_flow, read_flows
from ppl_ext.pyro.amortized.gaussians import Gaussian, read_encoded
from ppl_ext.pyro.amortized.row_model import RowModel
from ppl_ext.pyro.amortized.rows import peek_rows, run_model
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["AutoAmortized"]

_COUNTER = itertools.count()


class AutoAmortized(AbstractRowGuide):
    r"""Local latents whose posterior an encoder reads from the data of their row.

    .. math:: q(\theta, z) = q(\theta) \prod_i \mathrm{Normal}(z_i; \mu(x_i), \Sigma(x_i))

    on unconstrained space, for a model with latent and observed sites in one plate. The encoder
    gives for every row D locations, D numbers whose softplus is the scale (the diagonal of the
    Cholesky factor), and for ``"full_rank"`` the D (D - 1) / 2 entries below the diagonal, row by
    row, and for ``"flow"`` after these the context of the flow; D counts the unconstrained
    coordinates of the local sites, in the order of the model. All other latent sites share one
    Gaussian, which starts at the middle of unconstrained space.

    The plate may subsample: the guide opens it and the host hands its rows to the model, so that
    all sites of a step see one draw of rows. New data may have another number of rows. What a mask
    hides of observed sites is hidden from the encoder. Local sites may lie in further
    plates inside or around it, which show all their rows: what belongs to a row is then encoded
    at once. Not for sites whose support depends on other latent sites. For ``Predictive`` the
    model has to show all rows of its plate, for it draws rows of its own after the guide.

    Args:
        model: Pyro model.
        plate: Plate whose rows are encoded; None if one alone has latent and observed sites.
        encoder: Any torch module that reads ``rows[row, width]`` as ``[row, output]``. None:
            `npe.ResidualMLP` on standardised rows.
        features: Function of the model's arguments that gives what the encoder reads, an array
            with one entry for each row of the plate. None: all observed sites in the plate,
            flattened side by side, followed by flags of what is there if a mask hides some.
        local: Family of the local sites of one row: ``"full_rank"``, ``"mean_field"``, or
            ``"flow"``, a conditional flow in the frame of a full-rank Gaussian, for rows whose
            posteriors bend or have several modes; or a function ``(dim, context_dim) -> flow``,
            such as ``functools.partial(flows.CouplingFlow, num_layers=8)``.
        shared: Family of all other latent sites together, ``"mean_field"`` or ``"full_rank"``.
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
        >>> guide.refine(x).gap.good  # twenty steps are few: a fit of each row gains much
        False

    References:
        Kingma, Welling (2014), Auto-encoding variational Bayes, ICLR, arXiv:1312.6114.
        Rezende, Mohamed, Wierstra (2014), Stochastic backpropagation and approximate inference in
        deep generative models, ICML, arXiv:1401.4082.
        Rezende, Mohamed (2015), Variational inference with normalizing flows, ICML,
        arXiv:1505.05770.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        plate: str | None = None,
        encoder: torch.nn.Module | None = None,
        features: Callable[..., Any] | None = None,
        local: str | Callable[[int, int], Any] = "full_rank",
        shared: str = "mean_field",
        init_scale: float = 0.1,
        prefix: str = "auto",
    ) -> None:
        family = name_local_family(local)
        check_family("shared", shared)
        check_init_scale("AutoAmortized", init_scale)
        super().__init__(f"{prefix}_{next(_COUNTER)}")
        self._prefix = prefix
        self.local, self.shared, self.init_scale = local, shared, float(init_scale)
        self.family = family
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
        if self.encoder is None or self.family == "flow":
            shown = self._rows.run_whole(args, kwargs)
            read = self._rows.read(shown.sites, args, kwargs, shown.rows)
        if self.encoder is None:
            self.encoder = StandardEncoder.start(*read, layout.num_outputs(self.family))
        if self.family == "flow":
            dim = layout.local_dim
            flow = self.local(dim, CONTEXT_DIM) if callable(self.local) else choose_flow(dim)
            check_local_flow(flow, dim)
            self.flow = flow.to(read[0])
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
            for name, (size, dim) in layout.other_plates.items()
        }
        called = peek_rows(model, layout.plate, args, kwargs)
        rows = plates[layout.plate] = pyro.plate(layout.plate, dim=layout.dim, **called)
        # The shared values move no support, so that one run shows all there is to read.
        sites = run_model(model, args, kwargs, {layout.plate: rows.indices})
        values = {}
        if layout.shared:
            name, split = f"_{self._pyro_name}_shared", partial(emission.split_shared, layout)
            q = self._shared()
            values = emission.emit_sites(name, layout.shared, q, split, sites, plates)
        read = self._rows.read(sites, args, kwargs, rows.indices)
        q = self._read_local(self._encode(read)).beside(-1 - layout.dim)
        name, split = f"_{self._pyro_name}_local", partial(emission.split_local, layout)
        plate = layout.plate
        return values | emission.emit_sites(name, layout.local, q, split, sites, plates, plate)

    def __setstate__(self, state: dict) -> None:
        # The parameter store knows parameters by name: a copy is another guide.
        super().__setstate__(state)
        self._pyro_name = f"{self._prefix}_{next(_COUNTER)}"

    def _read_local(self, encoded: torch.Tensor) -> Gaussian | RowFlow:
        if self.family == "flow":
            return read_flows(encoded, self.flow)
        return read_encoded(encoded, self._rows.layout.local_dim, self.family)

    def _encode(self, read: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor:
        rows = join_presence(*read)
        encoded = self.encoder(rows)
        check_encoded(encoded.shape, len(rows), self._rows.layout, self.family)
        return encoded
