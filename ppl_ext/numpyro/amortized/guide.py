"""A guide that reads the posterior of every row of a plate from the data of the row."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpyro

from ppl_ext.amortization.layout import CONTEXT_DIM
from ppl_ext.amortization.refusals import check_family, check_local_flow, name_local_family
from ppl_ext.fitting.calls import check_init_scale
from ppl_ext.numpyro.amortized import emission
from ppl_ext.numpyro.amortized.answers import AbstractRowGuide
from ppl_ext.numpyro.amortized.framed_flows import RowFlow, choose_flow, read_flows
from ppl_ext.numpyro.amortized.gaussians import Gaussian, read_encoded
from ppl_ext.numpyro.amortized.network import RowNetwork
from ppl_ext.numpyro.amortized.rows import run_model
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["AutoAmortized"]


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
        model: NumPyro model.
        plate: Plate whose rows are encoded; None if one alone has latent and observed sites.
        encoder: ``(function, weights)``: ``function(weights, rows[row, width])`` gives
            ``[row, output]``, the weights are a pytree to start from (flax:
            ``(net.apply, net.init(rng_key, rows))``). None: `npe.ResidualMLP` on standardised
            rows.
        features: Function of the model's arguments that gives what the encoder reads, an array
            with one entry for each row of the plate. None: all observed sites in the plate,
            flattened side by side, followed by flags of what is there if a mask hides some.
        local: Family of the local sites of one row: ``"full_rank"``, ``"mean_field"``, or
            ``"flow"``, a conditional flow in the frame of a full-rank Gaussian, for rows whose
            posteriors bend or have several modes; or a function ``(dim, context_dim) -> flow``,
            such as ``functools.partial(flows.CouplingFlow, num_layers=8)``.
        shared: Family of all other latent sites together, ``"mean_field"`` or ``"full_rank"``.
        init_scale: Standard deviation that the shared sites start from.
        prefix: First part of the names of parameters and auxiliary sites.

    Raises:
        ValueError: ``local``, ``shared`` or ``init_scale`` is out of range; at the first call, the
            model cannot be followed, or the encoder gives arrays of another shape.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
        >>> from ppl_ext.numpyro import AutoAmortized
        >>> def model(x):
        ...     with numpyro.plate("rows", len(x), subsample_size=10) as i:
        ...         z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        ...         numpyro.sample("x", dist.Normal(z, 1.0), obs=x[i])
        >>> x = jnp.linspace(-2.0, 2.0, 40)
        >>> guide = AutoAmortized(model)
        >>> svi = numpyro.infer.SVI(model, guide, optax.adam(1e-2), numpyro.infer.Trace_ELBO())
        >>> params = svi.run(jax.random.key(0), 1000, x, progress_bar=False).params
        >>> guide.median(params, jnp.array([-1.0, 0.0, 1.0]).repeat(4))["z"].shape
        (12,)
        >>> guide.refine(jax.random.key(1), params, x).gap.good  # a fit of each row gains little
        True

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
        encoder: tuple[Callable[[Any, jax.Array], jax.Array], Any] | None = None,
        features: Callable[..., Any] | None = None,
        local: str | Callable[[int, int], Any] = "full_rank",
        shared: str = "mean_field",
        init_scale: float = 0.1,
        prefix: str = "auto",
    ) -> None:
        self.family = name_local_family(local)
        check_family("shared", shared)
        check_init_scale("AutoAmortized", init_scale)
        super().__init__(model, prefix=prefix)
        self.local, self.shared, self.init_scale = local, shared, init_scale
        self._network = RowNetwork(model, plate, encoder, features, self.family, prefix)

    @in_turn
    def setup(self, rng_key: jax.Array, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Look at the model now instead of at the first call, and draw starting parameters.

        After it, parameters that were trained in another process can be used.

        Args:
            rng_key: Random key of the encoder's weights.
            *args: Positional arguments of the model.
            **kwargs: Keyword arguments of the model.

        Returns:
            Starting parameters: another key, other weights.

        Raises:
            ValueError: The model cannot be followed by this guide; the message names the site.
        """
        check_rng_key("AutoAmortized.setup", rng_key, "guide.setup(jax.random.key(0), *args)")
        self._network.set_up(args, kwargs)
        with numpyro.handlers.block():
            seeded = numpyro.handlers.seed(self, rng_key)
            trace = numpyro.handlers.trace(seeded).get_trace(*args, **kwargs)
        return {name: site["value"] for name, site in trace.items() if site["type"] == "param"}

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Draw every latent site once."""
        layout = self._network.set_up(args, kwargs)
        first = run_model(self.model, args, kwargs, {})
        size, subsample_size = first[layout.plate]["args"]
        plates = {
            name: numpyro.plate(name, length, dim=dim)
            for name, (length, dim) in layout.other_plates.items()
        }
        values = {}
        if layout.shared:
            params = emission.shared_parameters(
                self.prefix, layout.shared_dim, self.shared, self.init_scale
            )
            name, split = f"_{self.prefix}_shared", partial(emission.split_shared, layout)
            q = self._shared(params)
            values = emission.emit_sites(name, layout.shared, q, split, first, plates)
        rows = plates[layout.plate] = numpyro.plate(
            layout.plate, size, subsample_size=subsample_size, dim=layout.dim
        )
        given = {layout.plate: rows._indices, **values}
        trace = run_model(self.model, args, kwargs, given)
        read = self._network.read(trace, args, kwargs, rows._indices)
        params = self._network.parameters(read, args, kwargs)
        if self.family == "flow":
            name = f"{self.prefix}_flow"
            params[name] = numpyro.param(name, self._flow.init)
        q = self._read_local(params, self._network.encode(params, read)).beside(-1 - layout.dim)
        name, split = f"_{self.prefix}_local", partial(emission.split_local, layout)
        plate = layout.plate
        return values | emission.emit_sites(name, layout.local, q, split, trace, plates, plate)

    def _read_local(self, params: Mapping[str, Any], encoded: jax.Array) -> Gaussian | RowFlow:
        if self.family == "flow":
            return read_flows(encoded, self._flow, params[f"{self.prefix}_flow"])
        return read_encoded(encoded, self._network.layout.local_dim, self.family)

    @property
    def _flow(self) -> Any:
        dim = self._network.layout.local_dim
        flow = self.local(dim, CONTEXT_DIM) if callable(self.local) else choose_flow(dim)
        check_local_flow(flow, dim)
        return flow
