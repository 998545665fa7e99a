"""Ratings on NumPyro: ``python -m models.ratings.on_numpyro [FILE]``."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
import numpyro

import ppl_ext.numpyro as px
from models.ratings.data import (
    EQUAL_NOISE,
    SETTINGS,
    Table,
    choose_pairs,
    describe_fit,
    open_table,
)
from ppl_ext.factorization import Factors


def estimate_elbo(table: Table, factors: Factors, draws: int = 100) -> tuple[float, float]:
    """The host's estimate of the factors' ELBO, and its standard error."""
    model, guide = px.factorization.FactorModel(factors), px.factorization.FactorGuide(factors)
    columns = model.columns(table.train)
    loss = numpyro.infer.Trace_ELBO().loss

    def measure(key: jax.Array) -> jax.Array:
        return -loss(key, {}, model, guide, *columns)

    found = np.asarray(jax.lax.map(jax.jit(measure), jax.random.split(jax.random.key(0), draws)))
    return float(found.mean(dtype=np.float64)), float(found.std(ddof=1) / draws**0.5)


def continue_fit(table: Table, factors: Factors, steps: int) -> Factors:
    """Go on from factors by the host's ``SVI``, prior and noise as they are."""
    model, guide = px.factorization.FactorModel(factors), px.factorization.FactorGuide(factors)
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.002), numpyro.infer.Trace_ELBO())
    columns = model.columns(table.train)
    result = svi.run(jax.random.key(1), steps, *columns, progress_bar=False)
    return guide.to_factors(result.params, table.train)


def draw_ratings(
    table: Table, factors: Factors, pairs: np.ndarray, draws: int = 4000
) -> np.ndarray:
    """Draw ratings of pairs of ``table.test`` by the host's ``Predictive``: ``[draw, pair]``."""
    model, guide = px.factorization.FactorModel(factors), px.factorization.FactorGuide(factors)
    users, items, _ = model.columns(table.test)
    params = px.factorization.CAVI(SETTINGS).get_params(factors)  # of any factors
    predictive = numpyro.infer.Predictive(
        model, guide=guide, params=params, num_samples=draws, return_sites=["rating"]
    )
    return np.asarray(predictive(jax.random.key(2), users[pairs], items[pairs])["rating"])


def main(argv: Sequence[str] | None = None) -> None:
    """Fit ratings in closed form and hold what the host makes of the factors beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", help="ratings, as read_ratings takes them")
    parser.add_argument("--smoke", action="store_true", help="one fit and its score line only")
    options = parser.parse_args(argv)
    settings = EQUAL_NOISE if options.smoke else SETTINGS
    table, cavi = open_table(options.file), px.factorization.CAVI(settings)

    fitted = cavi.run(jax.random.key(0), 200, table.train, progress_bar=False).state
    closed = -cavi.evaluate(fitted, table.train)
    estimate, error = estimate_elbo(table, fitted)
    # A fit cut short, so that there is something to gain.
    early = replace(settings, max_sweeps=3).fit(table.train, progress_bar=False)
    before = -cavi.evaluate(early, table.train)
    steps = 100 if options.smoke else 1000
    after = -cavi.evaluate(continue_fit(table, early, steps), table.train)
    pairs = choose_pairs(table)
    drawn = draw_ratings(table, fitted, pairs, draws=400 if options.smoke else 4000)
    test = table.test.select(pairs)
    predicted = fitted.predict(test.user_ids[test.users], test.item_ids[test.items])
    if not options.smoke:
        print("\n".join(describe_fit(table, fitted)))
        print("\npair: rating, predicted in closed form, by Predictive")
        for at in range(len(pairs)):
            print(
                f"  user {test.user_ids[test.users[at]]}, item {test.item_ids[test.items[at]]}: "
                f"{test.values[at]:.2f}, {predicted.mean[at]:.2f} +- {predicted.sd[at]:.2f}, "
                f"{drawn[:, at].mean():.2f} +- {drawn[:, at].std():.2f}"
            )
        guide = px.factorization.FactorGuide(fitted)
        tree = guide.to_datatree(jax.random.key(3), cavi.get_params(fitted), num_draws=50)
        print(f"\nposterior: {dict(tree['posterior'].sizes)}\n")
    off = np.abs(drawn.mean(0) - predicted.mean) / predicted.sd
    print(
        f"ratings on NumPyro: ELBO {closed:,.1f} in closed form, {estimate:,.1f} +- {error:.1f} "
        f"by Trace_ELBO; after 3 sweeps {steps} steps of SVI raise it by {after - before:,.1f}, "
        f"the sweeps left out by {closed - before:,.1f}; Predictive off by {off.max():.3f} sd "
        f"at most; RMSE {fitted.assess(table.test).rmse:.3f}"
    )


if __name__ == "__main__":
    main()
