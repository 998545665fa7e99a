# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Normalizing flows, with NumPyro
#
# A flow bends a normal distribution by layers that can be undone, and so its density is known
# wherever it goes. `px.flows` has two kinds, and `px.AutoFlow` is the guide made of them. Here one
# learns two moons from draws, and another a posterior that no Gaussian follows. (The same story
# for Pyro: *Normalizing flows, with Pyro*.)

# %%
import os

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from matplotlib import pyplot as plt
from scipy import special, stats

import ppl_ext.numpyro as px
from ppl_ext.numpyro.flows import CouplingFlow

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on fewer steps

# %% [markdown]
# ## A density that can be undone
#
# $x = f_K(\dots f_1(e))$ with $e \sim N(0, I)$. Every layer knows its inverse and the determinant
# of its Jacobian, and the density is that of the noise less what was stretched:
#
# $$\log q(x) = \log N(e; 0, I) - \sum_k \log\big|\det J_k\big|$$
#
# A layer of a `CouplingFlow` leaves one half of the coordinates as they are and bends the other
# half by splines, whose form a network reads from the first half. To be undone it needs no more
# than the first half again. At the start a flow is the identity, so here its weights are shaken.

# %%
flow = CouplingFlow(2, num_layers=4, hidden=(32,))
params = jax.tree.map(
    lambda leaf: leaf + 0.15 * jax.random.normal(jax.random.key(1), leaf.shape),
    flow.init(jax.random.key(0)),
)
e = jax.random.normal(jax.random.key(2), (5, 2))
x, log_det = flow.push(params, e)
back, log_det_back = flow.pull(params, x)
jacobians = jax.vmap(jax.jacfwd(lambda e: flow.push(params, e)[0]))(e)
print("log det:", log_det.round(3))

np.testing.assert_allclose(back, e, atol=1e-4)
np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobians)[1], atol=1e-4)
np.testing.assert_allclose(log_det, -log_det_back, atol=1e-4)

# %% [markdown]
# `flow(params)` is a distribution of the host, for `sample` statements, models and guides. On a
# grid its density sums to one:

# %%
axis, width = np.linspace(-6, 6, 201, retstep=True)
grid = jnp.stack(jnp.meshgrid(axis, axis, indexing="ij"), -1)


def tabulate(params):
    """The density on the grid."""
    return np.exp(np.asarray(jax.jit(lambda x: flow(params).log_prob(x))(grid)))


mass = tabulate(params).sum() * width**2
print(f"mass on the grid: {mass:.4f}")
assert abs(mass - 1) < 2e-3

# %% [markdown]
# ## From draws: two moons
#
# Half rings of radius 2 that hold each other, as draws and as a density. What the flow cannot do
# is tear: the moons stay joined by a thread of small density.

# %%
CENTRES, TURNS = np.array([[-1.0, -0.5], [1.0, 0.5]]), np.array([0.5, -0.5]) * np.pi
RADIUS, THICKNESS, SPREAD = 2.0, 0.25, 0.6


def draw_moons(generator, count):
    moon = generator.integers(2, size=count)
    radius = RADIUS + THICKNESS * generator.normal(size=count)
    angle = TURNS[moon] + SPREAD * generator.normal(size=count)
    return CENTRES[moon] + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def log_moons(x):
    """Log density: that of radius and angle, over the radius, the determinant of the map."""
    parts = []
    for centre, turn in zip(CENTRES, TURNS, strict=True):
        away = x - centre
        radius = np.hypot(away[..., 0], away[..., 1])
        angle = np.arctan2(away[..., 1], away[..., 0]) - turn
        angle = (angle + np.pi) % (2 * np.pi) - np.pi
        of_ring = stats.norm.logpdf(radius, RADIUS, THICKNESS) - np.log(radius)
        parts.append(of_ring + stats.norm.logpdf(angle, 0, SPREAD))
    return special.logsumexp(parts, axis=0) - np.log(2)


generator = np.random.default_rng(0)
train, test = draw_moons(generator, 50_000), draw_moons(generator, 20_000)
steps = 600 if SMOKE else 3_000
adam = optax.adam(optax.cosine_decay_schedule(1e-2, steps))


@jax.jit
def learn(params, train):
    """Raise the mean log density of batches of 256 draws."""

    def step(carry, rng_key):
        params, state = carry
        batch = train[jax.random.randint(rng_key, (256,), 0, len(train))]
        loss, slope = jax.value_and_grad(lambda p: -flow(p).log_prob(batch).mean())(params)
        updates, state = adam.update(slope, state)
        return (optax.apply_updates(params, updates), state), loss

    keys = jax.random.split(jax.random.key(3), steps)
    (params, _), losses = jax.lax.scan(step, (params, adam.init(params)), keys)
    return params, losses


moons, losses = learn(flow.init(jax.random.key(4)), jnp.asarray(train))
log_q = np.asarray(jax.jit(lambda x: flow(moons).log_prob(x))(jnp.asarray(test)))
divergence = (log_moons(test) - log_q).mean()
print(f"KL(moons || flow): {divergence:.3f} nats")

assert divergence < 0.05
assert abs(tabulate(moons).sum() * width**2 - 1) < 2e-3

fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharex=True, sharey=True, layout="constrained")
axes[0].scatter(*train[:3000].T, s=2, alpha=0.4)
for ax, density in zip(
    axes[1:], (np.exp(log_moons(np.asarray(grid))), tabulate(moons)), strict=True
):
    ax.contourf(axis, axis, density.T, levels=np.linspace(0, 0.24, 13), cmap="Blues", extend="max")
for ax, title in zip(axes, ("draws", "their density", "the flow's density"), strict=True):
    ax.set(title=title, xlim=(-4, 4), ylim=(-4, 4), aspect="equal")

# %% [markdown]
# ## As a guide: a posterior that is bent
#
# Somebody throws a ball from 1.5 m, and it is seen to land at 3.30 m, give or take half a metre.
# How fast was it, and at which angle? Fast and steep or slow and flat: a crescent. The truth by
# quadrature:

# %%
GRAVITY, HEIGHT, NOISE, LANDED = 9.81, 1.5, 0.5, 3.301430


def land(speed, angle):
    rise = speed * jnp.sin(angle)
    return speed * jnp.cos(angle) * (rise + jnp.sqrt(rise**2 + 2 * GRAVITY * HEIGHT)) / GRAVITY


def throw(landed=None):
    speed = numpyro.sample("speed", dist.Uniform(0.0, 10.0))
    angle = numpyro.sample("angle", dist.Uniform(0.0, jnp.pi / 2))
    numpyro.sample("landed", dist.Normal(land(speed, angle), NOISE), obs=landed)


nodes, weights = np.polynomial.legendre.leggauss(200)
speeds, angles = 5 * (nodes + 1), np.pi / 4 * (nodes + 1)
likelihood = stats.norm.pdf(LANDED, np.asarray(land(speeds[:, None], angles)), NOISE)
cells = np.outer(weights, weights) / 4 * likelihood  # of the prior times the likelihood
log_evidence = np.log(cells.sum())
cells = cells / cells.sum()
means = (cells * speeds[:, None]).sum(), (cells * angles).sum()
away = speeds[:, None] - means[0], angles - means[1]
sds = [np.sqrt((cells * each**2).sum()) for each in away]
correlation = (cells * away[0] * away[1]).sum() / np.prod(sds)
print(f"log evidence {log_evidence:.4f}, correlation {correlation:.3f}")

# %% [markdown]
# The best Gaussian loses 0.58 nats, and correlations do not help it: after the logits that take
# the bounds away, the posterior is bent and not tilted. The flow starts from that Gaussian, learns
# draws of the posterior, and then the bound itself. `guide=px.AutoFlow` takes a larger one than
# two coordinates need.

# %%
guides = {
    "AutoMeanField": px.AutoMeanField,
    "AutoFullRank": px.AutoFullRank,
    "AutoFlow": px.AutoFlow(throw, flow=CouplingFlow(2, num_layers=4, hidden=(16,))),
}
fits = {
    name: px.fit(jax.random.key(0), throw, LANDED, guide=guide, progress_bar=False)
    for name, guide in guides.items()
}
elbo = {name: fit.report().elbo for name, fit in fits.items()}
gap = {name: log_evidence - each for name, each in elbo.items()}
for name, fit in fits.items():
    print(f"{name:>14}: ELBO {elbo[name]:.3f}, {gap[name]:.3f} nats lost, {fit.report().verdict}")

assert abs(elbo["AutoMeanField"] + 2.8491) < 0.02
assert abs(elbo["AutoFullRank"] + 2.8478) < 0.02
assert min(gap["AutoMeanField"], gap["AutoFullRank"]) > 0.5
assert gap["AutoFlow"] < 0.1
assert elbo["AutoFlow"] > -2.35

draws = {name: fit.draws(jax.random.key(1), 4000).values for name, fit in fits.items()}
found = np.corrcoef(draws["AutoFlow"]["speed"], draws["AutoFlow"]["angle"])[0, 1]
print(f"correlation of speed and angle: {found:.3f} in the flow, {correlation:.3f} by quadrature")
assert abs(found - correlation) < 0.05
assert abs(draws["AutoFlow"]["speed"].mean() - means[0]) < 0.1 * sds[0]

fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharex=True, sharey=True, layout="constrained")
for ax, (name, values) in zip(axes, draws.items(), strict=True):
    ax.scatter(values["speed"], values["angle"], s=2, alpha=0.3)
    ax.contour(speeds, angles, likelihood.T, levels=[0.1, 0.4, 0.7], colors="black", linewidths=1)
    ax.set(title=f"{name}: {gap[name]:.2f} nats lost", xlabel="speed in m/s")
axes[0].set(ylabel="angle", xlim=(0, 10), ylim=(0, np.pi / 2))

# %% [markdown]
# ## When not
#
# * **A Gaussian is enough**: most posteriors of regressions. A flow is never much worse there,
#   and many times as dear.
# * **Draws are all that is wanted.** `px.fit` without a guide climbs from the Gaussian to draws of
#   the posterior, with the same certainty and without a network. A flow is for those who need a
#   density: to save, to evaluate elsewhere, to start from.
# * **Heavy tails** stay those of the normal distribution, stretched.
# * **Modes far apart** stay joined by a thread, and more layers make it thinner and not vanish.
#
# Flows with a context are what *Neural posteriors* and *One encoder for all rows* are made of.
#
# References: Dinh, Sohl-Dickstein, Bengio (2017), arXiv:1605.08803; Durkan, Bekasov, Murray,
# Papamakarios (2019), arXiv:1906.04032; Papamakarios and others (2021), arXiv:1912.02762.
