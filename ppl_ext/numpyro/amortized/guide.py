"""A guide that reads the posterior of every row of a plate from the data of the row."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpyro
import numpyro.distributions as dist
from numpyro.infer.autoguide import AutoGuide

from ppl_ext.amortization.refusals import check_family
from ppl_ext.fitting.calls import check_init_scale
from ppl_ext.numpyro.amortized import emission
from ppl_ext.numpyro.amortized.gaussians import Gaussian, read_encoded
from ppl_ext.numpyro.amortized.network import RowNetwork
from ppl_ext.numpyro.amortized.rows import Trace, run_model
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["AutoAmortized"]


class AutoAmortized(AutoGuide):
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
        model: NumPyro model.
        plate: Plate whose rows are encoded; None if one alone has latent and observed sites.
        encoder: ``(function, weights)``: ``function(weights, rows[row, width])`` gives
            ``[row, output]``, the weights are a pytree to start from (flax:
            ``(net.apply, net.init(rng_key, rows))``). None: `npe.ResidualMLP` on standardised
            rows.
        features: Function of the model's arguments that gives what the encoder reads, an array
            with one entry for each row of the plate. None: all observed sites in the plate,
            flattened side by side, followed by flags of what is there if a mask hides some.
        local: Family of the local sites of one row, ``"full_rank"`` or ``"mean_field"``.
        shared: Family of all other latent sites together, likewise.
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
        encoder: tuple[Callable[[Any, jax.Array], jax.Array], Any] | None = None,
        features: Callable[..., Any] | None = None,
        local: str = "full_rank",
        shared: str = "mean_field",
        init_scale: float = 0.1,
        prefix: str = "auto",
    ) -> None:
        check_family("local", local)
        check_family("shared", shared)
        check_init_scale("AutoAmortized", init_scale)
        super().__init__(model, prefix=prefix)
        self.local, self.shared, self.init_scale = local, shared, init_scale
        self._network = RowNetwork(model, plate, encoder, features, local, prefix)

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
            for name, (length, dim) in layout.shared_plates.items()
        }
        values = {}
        if layout.shared:
            params = emission.shared_parameters(
                self.prefix, layout.shared_dim, self.shared, self.init_scale
            )
            name, gaussian = f"_{self.prefix}_shared", self._shared(params)
            values = emission.emit_sites(name, layout.shared, gaussian, first, plates)
        rows = plates[layout.plate] = numpyro.plate(
            layout.plate, size, subsample_size=subsample_size, dim=layout.dim
        )
        given = {layout.plate: rows._indices, **values}
        trace = run_model(self.model, args, kwargs, given)
        read = self._network.read(trace, args, kwargs, rows._indices)
        encoded = self._network.encode(self._network.parameters(read, args, kwargs), read)
        gaussian = read_encoded(encoded, layout.local_dim, self.local).beside(-1 - layout.dim)
        name, plate = f"_{self.prefix}_local", layout.plate
        return values | emission.emit_sites(name, layout.local, gaussian, trace, plates, plate)

    @in_turn
    def local_posterior(
        self, params: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> dist.Distribution:
        """The Gaussian of every row on unconstrained space, of old or of new data.

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
        return self._encode_whole(params, args, kwargs)[0].distribution

    def shared_posterior(self, params: Mapping[str, Any]) -> dist.Distribution:
        """The Gaussian of the latent sites outside of the plate, on unconstrained space.

        Args:
            params: Parameters of the guide.

        Returns:
            A distribution of event shape ``(dim,)``: the sites in the order of the model.

        Raises:
            ValueError: There is no such site.
        """
        if not self._network.layout.shared:
            raise ValueError(
                f"AutoAmortized: all latent sites lie in plate '{self._network.layout.plate}'; "
                "expected one outside of it. Use guide.local_posterior(params, *args)."
            )
        return self._shared(params).distribution

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
        shared_key, local_key = jax.random.split(rng_key)
        gaussian, trace = self._encode_whole(params, args, kwargs)
        z = gaussian.distribution.sample(local_key, sample_shape)
        shared = None
        if self._network.layout.shared:
            shared = self.shared_posterior(params).sample(shared_key, sample_shape)
        return emission.constrain(self._network.layout, shared, z, trace)

    @in_turn
    def median(self, params: Mapping[str, Any], *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Median of every latent site, local ones for all rows of the data that are given.

        Args:
            params: Parameters of the guide.
            *args: Positional arguments of the model, with any number of rows.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array}``; exact where the bijection works entry by entry.
        """
        gaussian, trace = self._encode_whole(params, args, kwargs)
        shared = None
        if self._network.layout.shared:
            shared = self.shared_posterior(params).mean
        return emission.constrain(self._network.layout, shared, gaussian.loc, trace)

    def _encode_whole(
        self, params: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Gaussian, Trace]:
        """The Gaussians of all rows, and the run of the model that has shown them."""
        layout = self._network.check_data(args, kwargs)
        trace, rows = self._network.run_whole(args, kwargs)
        read = self._network.read(trace, args, kwargs, rows)
        encoded = self._network.encode(params, read)
        return read_encoded(encoded, layout.local_dim, self.local), trace

    def _shared(self, params: Mapping[str, Any]) -> Gaussian:
        return Gaussian(params[f"{self.prefix}_shared_loc"], params[f"{self.prefix}_shared_scale"])
