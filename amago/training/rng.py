"""The global random streams, one per phase.

torch's samplers, dropout and users' environments draw from global generators and take no other.
Each phase of a run (collect, evaluate, train) therefore gets its own state of those generators,
put in place while it lasts: how much one phase draws cannot change another. Evaluating more often
leaves the trained weights bit-equal.
"""

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from amago.core.rng import derive_seed

State = dict[str, Any]


class PhaseRandomness:
    """One state of python's, numpy's legacy and torch's global generators per phase.

    A phase is made from the seed and its name when it is first entered. Phases nest; the same one
    may be entered again inside itself. Outside of all of them the process's own streams are back.

    Args:
        seed: of the run.
        rank: processes draw different streams.
        device: where the policy lives; a GPU has a generator of its own.
    """

    def __init__(self, seed: int, rank: int = 0, device: torch.device | None = None) -> None:
        self._seed = seed
        self._rank = rank
        self._gpu = device if device is not None and device.type == "cuda" else None
        self._states: dict[str, State] = {}
        self._active: list[str] = []

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Draw from this phase's streams inside the `with` block."""
        outside = self._capture()
        self._store(outside)
        self._active.append(phase)
        if phase in self._states:
            self._install(self._states[phase])
        else:
            self._sow(phase)
        try:
            yield
        finally:
            self._states[phase] = self._capture()
            self._active.pop()
            self._install(self._states[self._active[-1]] if self._active else outside)

    def state_dict(self) -> dict[str, State]:
        """Every phase's state: numbers, strings, arrays and tensors only. Also inside a phase."""
        self._store(self._capture())
        return dict(self._states)

    def load_state_dict(self, state: Mapping[str, State]) -> None:
        """Continue every phase where `state_dict()` found it; at once for the phase in place."""
        self._states = dict(state)
        if self._active and self._active[-1] in self._states:
            self._install(self._states[self._active[-1]])

    def _store(self, current: State) -> None:
        if self._active:
            self._states[self._active[-1]] = current

    def _sow(self, phase: str) -> None:
        seed = derive_seed(self._seed, "phase", phase, self._rank)
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        if self._gpu is not None:
            with torch.cuda.device(self._gpu):
                torch.cuda.manual_seed(seed)

    def _capture(self) -> State:
        _version, words, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
        return {
            "python": {"words": np.array(words, dtype=np.int64), "gauss": gauss},
            "numpy": {
                "name": name,
                "keys": np.array(keys, dtype=np.int64),
                "position": position,
                "has_gauss": has_gauss,
                "cached": cached,
            },
            "torch": torch.get_rng_state(),
            "cuda": None if self._gpu is None else torch.cuda.get_rng_state(self._gpu),
        }

    def _install(self, state: State) -> None:
        python, numpy = state["python"], state["numpy"]
        random.setstate((3, tuple(python["words"].tolist()), python["gauss"]))
        np.random.set_state(
            (
                numpy["name"],
                numpy["keys"].astype(np.uint32),
                numpy["position"],
                numpy["has_gauss"],
                numpy["cached"],
            )
        )
        torch.set_rng_state(state["torch"])
        if self._gpu is not None and state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"], self._gpu)
