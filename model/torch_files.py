"""Files of torch.save, read as data alone."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from curate.errors import InputError


def load_data(path: Path, to_delete: Path, device: torch.device | str = "cpu") -> Any:
    """What a file of torch.save holds, its tensors on a device.

    Args:
        path: The file.
        to_delete: What the user may delete to be rid of it.
        device: As torch names it.

    Raises:
        InputError: The file holds more than data.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{to_delete} holds pickled code, which is never run; delete it to start anew"
        ) from error
