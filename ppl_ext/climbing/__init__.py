"""From the best Gaussian on, step by step, to draws that can be trusted."""

from ppl_ext.climbing.filing import pack_climb, unpack_climb
from ppl_ext.climbing.points import Points, count_draws, draw_points
from ppl_ext.climbing.result import Climb
from ppl_ext.climbing.settings import read_climb, start_settings
from ppl_ext.climbing.steps import climb_from, raise_interrupt, stay_below

__all__ = [
    "Climb",
    "Points",
    "climb_from",
    "count_draws",
    "draw_points",
    "pack_climb",
    "raise_interrupt",
    "read_climb",
    "start_settings",
    "stay_below",
    "unpack_climb",
]
