"""Which sites the user wants summed out, by the marks that the host's own inference reads."""

__all__ = ["find_obstacle", "is_enumerated", "is_marked"]


def is_marked(msg: dict) -> bool:
    """Whether a latent site is to be summed out, and can be.

    Args:
        msg: The message of the site, or its node in a trace.
    """
    return _mark_of(msg) == "parallel" and not find_obstacle(msg)


def is_enumerated(msg: dict) -> bool:
    """Whether a site takes all of its values in the run at hand."""
    return msg["infer"].get("_enumerate_dim") is not None


def find_obstacle(msg: dict) -> str:
    """Why a site that is marked cannot be summed out, empty if it can or is not marked."""
    mark, infer = _mark_of(msg), msg["infer"]
    if mark is None:
        return ""
    if mark != "parallel":
        return f"it is marked {mark!r}, and only 'parallel' sums over all values at once"
    if infer.get("num_samples") is not None:
        return (
            f"it is marked with num_samples={infer['num_samples']}, which draws some of its values"
        )
    if not getattr(msg["fn"], "has_enumerate_support", False):
        return "it has no list of values to sum over"
    return ""


def _mark_of(msg: dict) -> str | None:
    return None if msg["is_observed"] else msg["infer"].get("enumerate")
