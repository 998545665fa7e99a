"""What a model draws where no handler sees it, and values of its sites that no fit would heed."""

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpyro import handlers
from numpyro.primitives import Messenger

from ppl_ext.numpyro.tracing.data.data_kinds import DataError

__all__ = ["RefusesGivenValues", "watch_hidden_draws"]


@contextlib.contextmanager
def watch_hidden_draws() -> Iterator[list[str]]:
    """List what is drawn inside of the context and is no site of the trace.

    One compiled program would keep one such draw.

    Yields:
        A list that holds the names at the end: hidden sites, random keys, global generators.
    """
    found: list[str] = []
    numpys, pythons = np.random.get_state(legacy=False), random.getstate()
    with _Keys(found):
        yield found
    if random.getstate() != pythons:
        found.append("numbers of Python's module random")
    if repr(np.random.get_state(legacy=False)) != repr(numpys):
        found.append("numbers of np.random")


class _Keys(Messenger):
    """Notes who asks for a random key: the host lets that request through every block."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def process_message(self, msg: dict[str, Any]) -> None:
        """Note the site for which a block asks, or the model itself."""
        if msg["type"] != "prng_key":
            return
        handler, asking = _who_asks()
        if isinstance(handler, handlers.block):
            name = f"the hidden site '{asking.get('name')}'"
        elif handler is None:
            name = "a key of numpyro.prng_key()"
        else:  # a handler that shows the site it asks for
            return
        if name not in self.found:
            self.found.append(name)


def _who_asks() -> tuple[Messenger | None, dict[str, Any]]:
    """The handler that asks for a key, and the message for which it does; None for a model."""
    frame = sys._getframe(2)
    while frame is not None:
        handler, msg = frame.f_locals.get("self"), frame.f_locals.get("msg")
        if isinstance(handler, Messenger) and isinstance(msg, dict) and "type" in msg:
            return handler, msg
        frame = frame.f_back
    return None, {}


class RefusesGivenValues(Messenger):
    """Refuses latent sites that ``substitute`` or ``replay`` around the model has set.

    Whoever fits or samples sets latent sites himself, after those handlers: the host's ``NUTS``
    and ``SVI`` leave the site free without a word.
    """

    def process_message(self, msg: dict[str, Any]) -> None:
        """Look at a site before anybody else sets it."""
        latent = msg["type"] == "sample" and not msg["is_observed"]
        # What leaves the host's scan has its value.
        if latent and msg["value"] is not None and not msg.get("_control_flow_done"):
            name = msg["name"]
            raise DataError(
                f"handlers.substitute or handlers.replay gives site '{name}' a value, and it "
                "would be fitted all the same; expected a latent site without a value, or an "
                "observed one. Hold it there: "
                f"handlers.condition(model, data={{'{name}': value}})"
            )
