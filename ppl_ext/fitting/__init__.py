"""The loop of an optimiser: its steps, its end, and the log that it leaves."""

from ppl_ext.fitting.loop import INTERRUPTED, FitLog, NonFiniteLossError, drive, open_bar
from ppl_ext.fitting.stopping import Plateau

__all__ = ["INTERRUPTED", "FitLog", "NonFiniteLossError", "Plateau", "drive", "open_bar"]
