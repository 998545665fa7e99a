"""Images as the model takes them, and scikit-learn's digits.

The digits are those of Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI
Machine Learning Repository, doi:10.24432/C50P49: of the 4 by 4 points under each of 8 by 8
pixels, the number that is black.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Images", "load_digits"]


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Images for training and others for the test.

    What the model sees are counts out of `levels`. Where pixels have another brightest value than
    that, they are grey, and are drawn black or white with their brightness as the probability:
    anew each time for training, once for the test. Grey values are never put into a likelihood.

    Args:
        train: ``[image, pixel]``, whole numbers from 0 to `brightest`, row by row.
        test: Likewise.
        train_labels: ``[image]``, classes from 0.
        test_labels: Likewise.
        brightest: Of the pixels as they are stored.
        levels: Number of trials of each pixel's binomial distribution: 1 for black and white.

    Raises:
        ValueError: Images that are no squares of one size, values out of range, labels of other
            images, or levels that pixels can neither be nor be drawn on.

    Example:
        >>> stripes = np.tile([0, 255, 0, 255], (3, 1))
        >>> images = Images(stripes, stripes, np.zeros(3, int), np.zeros(3, int), 255, 1)
        >>> images.draw(images.train, np.random.default_rng(0))[0]
        array([0., 1., 0., 1.], dtype=float32)
    """

    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray
    test_labels: np.ndarray
    brightest: int
    levels: int

    def __post_init__(self) -> None:
        if self.levels not in (1, self.brightest):
            raise ValueError(
                f"Images: levels={self.levels} and brightest={self.brightest}; expected the same, "
                "or 1 level, on which grey pixels are drawn. Write levels=1."
            )
        for part in ("train", "test"):
            pixels, labels = getattr(self, part), getattr(self, f"{part}_labels")
            square = pixels.ndim == 2 and int(pixels.shape[1] ** 0.5) ** 2 == pixels.shape[1]
            if not square or pixels.shape[1] != self.train.shape[1]:
                raise ValueError(
                    f"Images: {part} has shape {pixels.shape}, expected [image, pixel] with as "
                    "many pixels in all images, those of a square. Write x.reshape(len(x), -1)."
                )
            if pixels.min() < 0 or pixels.max() > self.brightest:
                raise ValueError(
                    f"Images: {part} has pixels from {pixels.min()} to {pixels.max()}, expected 0 "
                    f"to {self.brightest}."
                )
            if labels.shape != (len(pixels),):
                raise ValueError(
                    f"Images: {part}_labels has shape {labels.shape}, expected [{len(pixels)}]."
                )

    def __repr__(self) -> str:
        grey = f", drawn from {self.brightest + 1} greys" if self.levels != self.brightest else ""
        return (
            f"Images({len(self.train)} to train and {len(self.test)} to test of {self.side} by "
            f"{self.side} pixels, Binomial({self.levels}){grey})"
        )

    @property
    def side(self) -> int:
        """Pixels in a row."""
        return int(self.train.shape[1] ** 0.5)

    @property
    def held_out(self) -> np.ndarray:
        """The images of the test as counts, the same ones each time: ``[image, pixel]``."""
        return self.draw(self.test, np.random.default_rng(0))

    def draw(self, pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Draw counts, or give pixels as they are where they are counts already."""
        if self.levels == self.brightest:
            return pixels.astype(np.float32)
        uniform = generator.random(pixels.shape, dtype=np.float32)
        return (uniform * self.brightest < pixels).astype(np.float32)

    def open_batches(self, size: int, seed: int) -> Callable[[int], Iterator[tuple[np.ndarray]]]:
        """Give what opens an epoch by its number, for `fit_minibatches`.

        Every image comes once an epoch, in another order each time, and with other counts where
        these are drawn; those that fill no batch wait for another epoch.

        Args:
            size: Images of a batch.
            seed: Of the order and of what is drawn.
        """

        def open_epoch(number: int) -> Iterator[tuple[np.ndarray]]:
            generator = np.random.default_rng((seed, number))
            order = generator.permutation(len(self.train))
            for first in range(0, len(order) - size + 1, size):
                yield (self.draw(self.train[order[first : first + size]], generator),)

        return open_epoch

    def hold_out(self, share: float, seed: int) -> tuple["Images", list[tuple[np.ndarray]]]:
        """Set images for training aside, which tell when to end it.

        Args:
            share: Of them.
            seed: Of the choice.

        Returns:
            Images without those, and those, as eight batches of counts; none for a share of 0.
        """
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(self.train))
        aside, kept = np.split(order, [round(share * len(order))])
        rest = replace(self, train=self.train[kept], train_labels=self.train_labels[kept])
        counts = self.draw(self.train[aside], generator)
        return rest, [(each,) for each in np.array_split(counts, 8) if len(each)]

    def ink(self) -> np.ndarray:
        """Probability of each pixel's trials over all training images, away from 0 and 1."""
        total = self.train.sum(0, dtype=np.int64) / self.brightest
        return (total + 0.5) / (len(self.train) + 1)


def load_digits(count: int | None = None) -> Images:
    """Read scikit-learn's digits, a fifth of them for the test.

    Args:
        count: Number of images; None takes all 1,797.

    Returns:
        The images, as counts out of 16.
    """
    from sklearn import datasets

    digits = datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))[:count]
    pixels, labels = digits.data[order].astype(np.uint8), digits.target[order]
    cut = len(order) * 4 // 5
    return Images(pixels[:cut], pixels[cut:], labels[:cut], labels[cut:], 16, 16)
