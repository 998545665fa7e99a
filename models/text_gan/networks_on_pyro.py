"""The generator and the critic of the sequence GAN, in torch."""

import torch
from torch.nn.functional import log_softmax

from models.text_gan.data import LENGTH, SYMBOLS
from models.text_gan.recipe import CODE, CRITIC, HIDDEN

__all__ = ["CLASSES", "Generator", "make_critic"]

CLASSES = len(SYMBOLS)


class Generator(torch.nn.Module):
    """An LSTM that reads its last symbol, the position and the code, and writes a symbol."""

    def __init__(self):
        super().__init__()
        self.cell = torch.nn.LSTMCell(CLASSES + LENGTH + CODE, HIDDEN)
        self.out = torch.nn.Linear(HIDDEN, CLASSES)
        with torch.no_grad():
            # A memory that is kept at first lets gradients reach the beginning.
            self.cell.bias_ih[HIDDEN : 2 * HIDDEN] += 1.0

    def advance(self, code, position, state, symbol):
        """One step of the LSTM: the new state, and the logits of the next symbol."""
        # Told the position, it need not count to know where a string has to end.
        position = torch.eye(LENGTH)[position].expand(len(symbol), LENGTH)
        state = self.cell(torch.cat([symbol, position, code], -1), state)
        return state, self.out(state[0])

    def write(self, count, draw, temperature=1.0):
        """Write strings, ``[string, position, symbol]``."""
        code, state = torch.randn(count, CODE), None
        symbol, symbols = torch.zeros(count, CLASSES), []
        for position in range(LENGTH):
            state, logits = self.advance(code, position, state, symbol)
            symbol = draw(logits, temperature)
            symbols.append(symbol)
        return torch.stack(symbols, 1)

    def log_likelihood(self, strings):
        """Log-probability of strings, ``[string]``, by a generator whose code is zero."""
        code, state = torch.zeros(len(strings), CODE), None
        before, total = torch.zeros(len(strings), CLASSES), 0.0
        for position, symbol in enumerate(strings.unbind(1)):
            state, logits = self.advance(code, position, state, before)
            total = total + (symbol * log_softmax(logits, -1)).sum(-1)
            before = symbol
        return total


def make_critic():
    """A network from a whole string, ``[string, position, symbol]``, to its score."""
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(LENGTH * CLASSES, CRITIC),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(CRITIC, CRITIC),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(CRITIC, 1),
        torch.nn.Flatten(0),
    )
