"""What all guides share: set-up, plates and storage."""

import copy
import itertools
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Self

import pyro
import torch
from pyro import poutine
from pyro.infer.autoguide import AutoGuide
from pyro.infer.autoguide.initialization import InitMessenger, init_to_median

from ppl_ext.fitting.calls import check_init_scale
from ppl_ext.pyro.guides.peeking import GivenSubsamples, find_moving_supports, peek_subsamples
from ppl_ext.pyro.guides.safe_init import finite_start
from ppl_ext.pyro.tracing.enumeration.marks import is_marked
from ppl_ext.pyro.tracing.find_sites import describe_latent
from ppl_ext.pyro.tracing.refusals import refuse_latent
from ppl_ext.pyro.tracing.run_at_point import bijection_of
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["AbstractUnconstrainedGuide"]

_COUNTER = itertools.count()


class AbstractUnconstrainedGuide(AutoGuide):
    """A guide over the unconstrained latent space of a model, its sites in model order.

    Args:
        model: A Pyro model with continuous latent sites; marked discrete ones are left out.
        prefix: Beginning of the guide's name in the parameter store; a number is added, so that
            two guides never share parameters.
        init_loc_fn: Host initialisation strategy for the mean, such as ``init_to_median``;
            where its value is not finite, the middle of unconstrained space is taken.
        init_scale: Standard deviation to start from, in unconstrained space.
        create_plates: Host option: a function of the model's arguments that returns the plates.
    """

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_median,
        init_scale: float = 0.1,
        create_plates: Callable | None = None,
    ) -> None:
        check_init_scale(type(self).__name__, init_scale)
        started = InitMessenger(finite_start(init_loc_fn, type(self).__name__))(model)
        super().__init__(started, create_plates=create_plates)
        self._prefix = prefix
        self._init_scale = float(init_scale)
        self._given: frozenset[str] = frozenset()
        self._moving: frozenset[str] = frozenset()
        self._shapes: dict[str, torch.Size] = {}
        self._arguments: tuple = ()
        self._restored = False
        self._take_own_name()

    @in_turn
    def setup(self, *args: object, **kwargs: object) -> Self:
        """Look at the model now instead of at the first call, and draw starting parameters.

        Parameters that are there already start anew.

        Args:
            *args: Arguments of the model.
            **kwargs: Keyword arguments of the model.

        Returns:
            The guide.

        Raises:
            ValueError: If the model has no latent site, or one that no Gaussian can follow.
        """
        self._restored = False
        self._setup_prototype(*args, **kwargs)
        return self

    def _setup_prototype(self, *args: object, **kwargs: object) -> None:
        given = GivenSubsamples()
        model = poutine.block(given(self.model), self._prototype_hide_fn)
        with torch.no_grad():  # what the trace keeps must not hold the graph of a module
            trace = poutine.block(poutine.trace(model).get_trace)(*args, **kwargs)
        for name in [name for name, site in trace.iter_stochastic_nodes() if is_marked(site)]:
            trace.remove_node(name)
        latents = dict(trace.iter_stochastic_nodes())
        if not latents:
            raise ValueError(
                f"{type(self).__name__}: the model has no latent site, where at least one is "
                "expected. Sample at least one site without obs=...."
            )
        for site in latents.values():
            refuse_latent(type(self).__name__, describe_latent(site))
        if self.master is not None:
            self.master()._check_prototype(trace)
        self.prototype_trace = trace
        self._given = frozenset(given.indices)
        self._prototype_frames = {
            frame.name: frame
            for site in latents.values()
            for frame in site["cond_indep_stack"]
            if frame.vectorized
        }
        self._check_plates(latents)
        kind = type(self).__name__
        self._moving = find_moving_supports(kind, self.model, latents, args, kwargs)
        # Only then are the data kept.
        self._arguments = (args, kwargs) if self._moving else ()
        parts = {name: self._full_start(site) for name, site in latents.items()}
        self._event_dims = {
            name: parts[name].dim() - site["value"].dim() + site["fn"].event_dim
            for name, site in latents.items()
        }
        self._shapes = {name: part.shape for name, part in parts.items()}
        if self._restored:
            self._check_restored()
        else:
            self._start_parameters(parts)

    def _check_plates(self, latents: Mapping[str, dict]) -> None:
        """Refuses plates that the family cannot follow."""

    def _full_start(self, site: dict) -> torch.Tensor:
        """Unconstrained start of a site, repeated from its minibatch to the whole plate."""
        start = bijection_of(site).inv(site["value"].detach()).detach()
        event_dim = start.dim() - site["value"].dim() + site["fn"].event_dim
        for frame in site["cond_indep_stack"]:
            if frame.vectorized and frame.full_size not in (None, -1, frame.size):
                rows = torch.arange(frame.full_size, device=start.device) % frame.size
                start = start.index_select(frame.dim - event_dim, rows)
        return start.contiguous()

    @abstractmethod
    def _start_parameters(self, parts: dict[str, torch.Tensor]) -> None:
        """Creates the parameters around these unconstrained means."""

    @abstractmethod
    def _check_restored(self) -> None:
        """Compares parameters that came from a state dict with the model's shapes."""

    def _create_plates(self, *args: object, **kwargs: object) -> dict[str, pyro.plate]:
        # The host draws rows of its own for plate(subsample=rows) and overrides the model's.
        given = self._given & set(self._prototype_frames)
        if self.master is not None:
            if given and self.master().create_plates is None:
                raise ValueError(
                    f"{type(self).__name__}: plates {sorted(given)} take their rows from "
                    "plate(subsample=...), which a guide within AutoGuideList cannot see. Hand "
                    "the list the same rows: AutoGuideList(model, create_plates=...)."
                )
            self.plates = self.master().plates
            return self.plates
        plates = [] if self.create_plates is None else self.create_plates(*args, **kwargs)
        plates = [plates] if isinstance(plates, pyro.plate) else plates
        self.plates = {plate.name: plate for plate in plates}
        missing = {
            name: frame
            for name, frame in sorted(self._prototype_frames.items())
            if name not in self.plates
        }
        unseen = given & set(missing)
        rows = peek_subsamples(self.model, unseen, args, kwargs) if unseen else {}
        for name, frame in missing.items():
            size = frame.full_size or frame.size
            if name in rows:
                self.plates[name] = pyro.plate(name, size, subsample=rows[name], dim=frame.dim)
            else:
                self.plates[name] = pyro.plate(
                    name, size, subsample_size=frame.size, dim=frame.dim
                )
        return self.plates

    @property
    def _given_model(self) -> Callable:
        """The model without the strategy that was put around it."""
        return self.model.func.args[1]

    def _require_setup(self, args: tuple, kwargs: dict) -> None:
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)

    def _enter_plates(self, stack: ExitStack, name: str, tensors: list) -> list:
        """Enters the plates of a site and takes its rows of full-size tensors."""
        for frame in self.prototype_trace.nodes[name]["cond_indep_stack"]:
            if not frame.vectorized:
                continue
            rows = stack.enter_context(self.plates[frame.name])
            if frame.name in self._given or frame.full_size not in (None, -1, frame.size):
                dim = frame.dim - self._event_dims[name]
                tensors = [tensor.index_select(dim, rows) for tensor in tensors]
        return tensors

    def _take_own_name(self) -> None:
        """Names the guide and its parts anew: the parameter store knows parameters by name."""
        self._pyro_name = f"{self._prefix}_{next(_COUNTER)}"
        for path, module in self.named_modules():
            if path:
                module._pyro_name = f"{self._pyro_name}.{path}"

    def __getstate__(self) -> dict:
        # The host clears the model of the live guide here.
        model, master = self._model, self.master
        try:
            state = dict(super().__getstate__())
        finally:
            self._model, self.master = model, master
        return state | {"_model": None, "master": None}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._take_own_name()

    def __deepcopy__(self, memo: dict) -> Self:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        twin._model = self._model
        return twin

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        # The host creates its parameters at the first call, too late to load them.
        if self.prototype_trace is None:
            own = {
                key.removeprefix(prefix): value
                for key, value in state_dict.items()
                if key.startswith(prefix)
            }
            self._restored = self._make_room(own)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @abstractmethod
    def _make_room(self, state: dict[str, torch.Tensor]) -> bool:
        """Creates parameters of the shapes in a state dict; False if it holds none of ours."""
