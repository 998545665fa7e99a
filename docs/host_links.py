"""Where the pages of hosts and ArviZ describe the names that our examples use.

Sphinx reads such links from inventories that lie beside foreign pages. The documentation builds
without a network, so that ours are written here, for the names that are used.
"""

import zlib
from pathlib import Path
from pydoc import locate

__all__ = ["HOSTS", "write_inventories"]

# {project: (address, {page: {name as examples write it: name as the page has it}})}
HOSTS: dict[str, tuple[str, dict[str, dict[str, str]]]] = {
    "numpyro": (
        "https://num.pyro.ai/en/stable/",
        {
            "primitives.html": {
                f"numpyro.{name}": f"numpyro.primitives.{name}"
                for name in ("deterministic", "factor", "module", "param", "plate", "sample")
            }
            | {"numpyro.contrib.control_flow.scan": "numpyro.contrib.control_flow.scan"},
            "svi.html": {
                "numpyro.infer.SVI": "numpyro.infer.svi.SVI",
                "numpyro.infer.Trace_ELBO": "numpyro.infer.elbo.Trace_ELBO",
                "numpyro.infer.TraceEnum_ELBO": "numpyro.infer.elbo.TraceEnum_ELBO",
                "numpyro.infer.TraceMeanField_ELBO": "numpyro.infer.elbo.TraceMeanField_ELBO",
            },
            "mcmc.html": {
                "numpyro.infer.MCMC": "numpyro.infer.mcmc.MCMC",
                "numpyro.infer.NUTS": "numpyro.infer.hmc.NUTS",
            },
            "utilities.html": {"numpyro.infer.Predictive": "numpyro.infer.util.Predictive"},
            "optimizers.html": {"numpyro.optim.Adam": "numpyro.optim.Adam"},
            "autoguide.html": {
                f"numpyro.infer.autoguide.{name}": f"numpyro.infer.autoguide.{name}"
                for name in ("AutoDelta", "AutoMultivariateNormal", "AutoNormal")
            },
            "distributions.html": {
                f"numpyro.distributions.{name}": f"numpyro.distributions.{kind}.{name}"
                for kind, names in {
                    "continuous": (
                        *("Beta", "Dirichlet", "Exponential", "Gamma", "HalfCauchy", "HalfNormal"),
                        *("LogNormal", "MultivariateNormal", "Normal", "StudentT", "Uniform"),
                    ),
                    "discrete": ("Bernoulli", "Binomial", "Categorical", "Poisson"),
                    "distribution": ("ImproperUniform",),
                }.items()
                for name in names
            },
        },
    ),
    "pyro": (
        "https://docs.pyro.ai/en/stable/",
        {
            "primitives.html": {
                f"pyro.{name}": f"pyro.{name}"
                for name in (
                    *("clear_param_store", "deterministic", "factor", "get_param_store"),
                    *("module", "param", "plate", "sample"),
                )
            },
            "inference_algos.html": {
                "pyro.infer.SVI": "pyro.infer.svi.SVI",
                "pyro.infer.Predictive": "pyro.infer.predictive.Predictive",
                "pyro.infer.Trace_ELBO": "pyro.infer.trace_elbo.Trace_ELBO",
                "pyro.infer.TraceEnum_ELBO": "pyro.infer.traceenum_elbo.TraceEnum_ELBO",
            },
            "mcmc.html": {
                "pyro.infer.MCMC": "pyro.infer.mcmc.MCMC",
                "pyro.infer.NUTS": "pyro.infer.mcmc.NUTS",
            },
            "optimization.html": {
                f"pyro.optim.{name}": f"pyro.optim.pytorch_optimizers.{name}"
                for name in ("Adam", "ExponentialLR")
            },
            "infer.autoguide.html": {
                f"pyro.infer.autoguide.{name}": f"pyro.infer.autoguide.{name}"
                for name in ("AutoDelta", "AutoMultivariateNormal", "AutoNormal")
            },
            "distributions.html": {
                f"pyro.distributions.{name}": f"pyro.distributions.{name}"
                for name in (
                    *("Bernoulli", "Beta", "Binomial", "Categorical", "Dirichlet", "Exponential"),
                    *("Gamma", "Gumbel", "HalfCauchy", "HalfNormal", "LogNormal"),
                    *("MultivariateNormal", "Normal", "Poisson", "StudentT", "Uniform"),
                )
            },
        },
    ),
    "arviz_plots": (
        "https://python.arviz.org/projects/plots/en/latest/",
        {
            f"api/generated/arviz_plots.{name}.html": {
                f"arviz_plots.{name}": f"arviz_plots.{name}"
            }
            for name in (
                *("plot_dist", "plot_ecdf_pit", "plot_forest", "plot_pair", "plot_ppc_dist"),
                *("plot_ppc_rootogram", "plot_ppc_tstat", "plot_rank"),
            )
        },
    ),
    "arviz_stats": (
        "https://python.arviz.org/projects/stats/en/latest/",
        {"api/index.html": {"arviz_stats.loo": "", "arviz_stats.summary": ""}},
    ),
}


def write_inventories(folder: Path) -> dict[str, tuple[str, str]]:
    """Write one inventory for each project, as ``intersphinx_mapping`` names them."""
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for project, (address, pages) in HOSTS.items():
        lines = [
            f"{name} py:{kind} 1 {page}{'#' * bool(there)}{there} -"
            for page, names in pages.items()
            for used, there in names.items()
            for name, kind in _name_object(used)
        ]
        head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        path = folder / f"{project}.inv"
        path.write_bytes(head.encode() + zlib.compress("\n".join([*lines, ""]).encode()))
        mapping[project] = (address, str(path))
    return mapping


def _name_object(used: str) -> list[tuple[str, str]]:
    """The names of an object, as it is written and as it was made, and its kind."""
    found = locate(used)
    if found is None:
        raise ValueError(
            f"host_links: there is no {used!r}; expected a name that can be imported."
        )
    kind = "class" if isinstance(found, type) else "function"
    made = f"{found.__module__}.{found.__qualname__}"
    return [(name, kind) for name in dict.fromkeys((used, made))]
