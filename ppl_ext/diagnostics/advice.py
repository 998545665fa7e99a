"""What to do about a fit, in a sentence."""

from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.diagnostics.report import Details
from ppl_ext.diagnostics.verdict import Verdict

__all__ = ["advise_on"]


def advise_on(
    verdict: Verdict,
    details: Details,
    *,
    gaussian: Gaussian | None,
    fixed_site: str,
    discrete: bool,
    heavy: bool,
) -> str:
    """Say what to do; a line of code in it runs as it stands.

    Args:
        verdict: The verdict.
        details: The numbers behind it.
        gaussian: The guide on unconstrained space, where it has one.
        fixed_site: Name of a site that the guide holds at one point, empty if there is none.
        discrete: Whether the sites are discrete.
        heavy: Whether wide draws move the moments further than is tolerated.

    Returns:
        The sentence.
    """
    if verdict is Verdict.GOOD:
        return "use the draws as they are."
    if verdict is Verdict.RESAMPLE:
        return (
            f"the guide misses '{details.shifted_site}' but covers the posterior: use "
            "draws.resample() in place of the draws."
        )
    if fixed_site:
        return (
            f"the guide holds '{fixed_site}' at one point and has no spread there: fit with "
            "guide=AutoFullRank, or guide=AutoMeanField."
        )
    if details.log.interrupted:
        return "the fit was interrupted; run it to its end before judging it."
    if details.jumps is not None and details.jumps.precision == "float32":
        return (
            "float32 is too coarse for this model and its data; no draws can be judged: run it "
            "in float64 (enable_x64=True of NumPyro's fit; in Pyro data and constants as "
            "torch.float64), or centre and scale the data."
        )
    missed = details.missed_modes or ()
    if any(mode.apart for mode in missed):
        return (
            "the guide describes one mode and another carries mass: a Gaussian cannot follow; "
            "break the symmetry in the model, or leave guide= out, and fit goes on to the modes "
            "that it finds."
        )
    if gaussian is not None and gaussian.scale.ndim == 1 and len(gaussian.loc) > 1:
        return (
            "the posterior is correlated or far from Gaussian: fit with guide=AutoFullRank; for "
            "standard deviations alone linear_response() of the fit may do."
        )
    if missed:
        return (
            f"the posterior rises to a peak off the guide, most of all in '{missed[0].site}', "
            "without a valley between: in a hierarchy write the non-centred form "
            "(LocScaleReparam), or leave guide= out, and fit goes on from here."
        )
    if heavy:
        return (
            f"the posterior of '{details.heavy_site}' has tails beyond the guide: in a hierarchy "
            "write the non-centred form (LocScaleReparam), or leave guide= out, and fit goes on "
            "from here."
        )
    if discrete:
        return (
            "the guide of the discrete sites is not the posterior: let their logits depend on the "
            "other sites, train longer, or sum the sites out with the host's enumeration."
        )
    return (
        "the posterior is far from Gaussian: in a hierarchy try the non-centred form "
        "(LocScaleReparam), or leave guide= out, and fit goes on from here."
    )
