"""Relaxed draws and their densities a few rows at a time, so that they stay in the cache.

New memory costs a processor as much as an exponential: here only what is returned needs any. For
plain tensors alone: where functions are transformed or compiled, ordinary operations take over.
It pays for the row "the same with its log density" of benchmarks/discrete.py, which takes 1.8
times as long without it (72 against 40 ms for 1024 rows of 1000).
"""

import math

import torch

from ppl_ext.pyro.gumbel.concrete_density import log_volume
from ppl_ext.pyro.gumbel.noise import (
    PIECE,
    goes_piecewise,
    signed_uniform,
    uniform_to_gumbel,
)


def draw_relaxed(logits, temperature, shape):
    """Return perturbed scores of that shape and their softmax, for finite logits."""
    return _RelaxedDraw.apply(logits, temperature, shape)


def log_density_of_draw(logits, temperature, scores):
    """Return the log-density on the simplex at ``softmax(scores)``, for finite logits."""
    x = scores.detach().softmax(-1)
    shape = torch.broadcast_shapes(logits.shape, scores.shape)
    return _DensityOfDraw.apply(logits, temperature, scores.expand(shape), x.expand(shape))


class _RelaxedDraw(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, temperature, shape):
        scores, x = logits.new_empty(shape), logits.new_empty(shape)
        for theta, tau, s, p in pieces(shape, logits, temperature.unsqueeze(-1), scores, x):
            noise = uniform_to_gumbel(signed_uniform(s.shape, s.dtype, s.device))
            torch.div(noise.add_(theta), tau, out=s)
            # The host's softmax adds up many classes one by one, and loses a digit.
            torch.sub(s, s.amax(-1, keepdim=True), out=p).exp_()
            p.div_(p.sum(-1, keepdim=True))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(temperature, scores, x)
        ctx.shape = logits.shape
        return scores, x

    @staticmethod
    def backward(ctx, by_scores, by_x):
        temperature, scores, x = ctx.saved_tensors
        if by_x is None and by_scores is None:
            return None, None, None
        tau, by_temperature = temperature.unsqueeze(-1), None
        if by_x is None:
            by_logits = by_scores / tau
        elif torch.is_grad_enabled():
            by_logits = _through_softmax(by_x, x, by_scores) / tau
        else:
            by_logits = torch.empty_like(x)
            slopes = [by_x] if by_scores is None else [by_x, by_scores]
            for p, t, out, *by in pieces(x.shape, x, tau, by_logits, *slopes):
                torch.div(_through_softmax(by[0], p, *by[1:]), t, out=out)
        if ctx.needs_input_grad[1]:
            by_temperature = -(by_logits * scores).sum(-1).sum_to_size(temperature.shape)
        return by_logits.sum_to_size(ctx.shape), by_temperature, None


def _through_softmax(by_x, x, by_scores=None):
    through = torch.ops.aten._softmax_backward_data(by_x, x, -1, x.dtype)
    return through if by_scores is None else through + by_scores


class _DensityOfDraw(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, temperature, scores, x):
        ctx.save_for_backward(logits, temperature, scores, x)
        count, shape = logits.shape[-1], scores.shape
        # In float64 where an error would stand in the terms of all the classes.
        rows = [
            _sums(torch.addcmul(theta, tau, s, value=-1), s, p)
            for theta, tau, s, p in pieces(shape, logits, temperature.unsqueeze(-1), scores, x)
        ]
        total, top, weight, by_s, top_s, top_x = (
            torch.cat(each).double() for each in zip(*rows, strict=True)
        )
        total -= count * (top + (weight / count).log()) + by_s
        # log x, of which the largest is known without underflow.
        total += count * (top_s - top_x.log())
        constant = log_volume(count) + (count - 1) * temperature.log()
        return constant + total.to(scores.dtype).reshape(shape[:-1])

    @staticmethod
    def backward(ctx, slope):
        logits, temperature, scores, x = ctx.saved_tensors
        tau, slope = temperature.unsqueeze(-1), slope.unsqueeze(-1)
        if torch.is_grad_enabled():
            by_s, by_scores = _differentiable_slopes(logits, tau, scores, slope)
        else:
            by_s, by_scores = _slopes(logits, tau, scores, x, slope)
        by_temperature = None
        if ctx.needs_input_grad[1]:
            by_tau = slope * (logits.shape[-1] - 1) / tau - (by_s * scores).sum(-1, keepdim=True)
            by_temperature = by_tau.squeeze(-1).sum_to_size(temperature.shape)
        return by_s.sum_to_size(logits.shape), by_temperature, by_scores, None


def _sums(a, s, p):
    """Sum the rows of ``a``, its weights, and ``s``, with what is largest in each."""
    total, top = a.sum(-1, dtype=torch.float64), a.amax(-1, keepdim=True)
    weight = a.sub_(top).exp_().sum(-1)
    by_s = s.sum(-1, dtype=torch.float64)
    return total, top.squeeze(-1), weight, by_s, s.amax(-1), p.amax(-1)


def _slopes(logits, tau, scores, x, slope):
    """Return the slopes by ``s = theta - tau * scores`` and by the scores."""
    count = logits.shape[-1]
    by_s, by_scores = scores.new_empty(scores.shape), scores.new_empty(scores.shape)
    for theta, t, y, p, g, a, b in pieces(
        scores.shape, logits, tau, scores, x, slope, by_s, by_scores
    ):
        torch.softmax(torch.addcmul(theta, t, y, value=-1), -1, out=a)
        a.mul_(-count * g).add_(g)
        torch.mul(p, count * g, out=b).sub_(g).addcmul_(t, a, value=-1)
    return by_s, by_scores


def _differentiable_slopes(logits, tau, scores, slope):
    count = logits.shape[-1]
    by_s = slope - count * slope * (logits - tau * scores).softmax(-1)
    return by_s, count * slope * scores.softmax(-1) - slope - tau * by_s


def pieces(shape, *tensors):
    """Cut tensors that broadcast to a shape into pieces of a few rows."""
    whole = not goes_piecewise(tensors[0].device)
    rows = math.prod(shape[:-1]) if whole else PIECE // shape[-1]
    flat = [each.expand(*shape[:-1], -1).reshape(-1, each.shape[-1]) for each in tensors]
    return zip(*(each.split(max(rows, 1)) for each in flat), strict=True)
