"""What a run writes so that it, or another program, can go on from there.

```text
<ckpt_base_dir>/<run_name>/
├── learner.lock                          `lock`: who learns here now; touched while it lives
└── ckpts/
    ├── training_states/{run}_epoch_{E}/  `run_state`: everything a resumed run needs
    │   ├── MANIFEST.json                 written last: size and SHA-256 of each file, aliases
    │   ├── {part}.json                   the part's structure and its plain values
    │   └── {part}.safetensors            its tensors and arrays, if it has any
    ├── policy_weights/policy_epoch_{E}.pt   `weights`: a plain torch state dict
    └── latest/policy.pt                     `weights`: the same, replaced by each publication
```

A file or folder is visible under its name only when whole: it is written beside it, flushed to
the disk and renamed. In `training_states` hidden folders are work in progress: `.{name}.tmp` is
being written, `.{name}.old` is a checkpoint that its successor is about to replace (it still
counts if the successor never came), `.{name}.trash` is being deleted. The next save clears them.

Nothing here is executable: JSON, safetensors, and state dicts read with `weights_only=True`.

| module | idea |
|---|---|
| `run_state` | save and load a training state; the newest one that verifies; retention |
| `tensor_file` | named tensors as the content of a `.safetensors` file |
| `encoding` | nested values as JSON plus named tensors, and back |
| `weights` | policy weights, alone |
| `lock` | one live learner per run |
"""

from importlib import import_module
from typing import Any

_HOME = {
    "best": "run_state",
    "load_state": "run_state",
    "newest_valid": "run_state",
    "prune": "run_state",
    "read_info": "run_state",
    "remove": "run_state",
    "save_state": "run_state",
    "verify": "run_state",
    "fetch_latest": "weights",
    "load_policy": "weights",
    "publish_latest": "weights",
    "save_policy": "weights",
    "saved_epochs": "weights",
    "LearnerLock": "lock",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"amago.checkpoint.{_HOME[name]}"), name)
    raise AttributeError(f"module 'amago.checkpoint' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
