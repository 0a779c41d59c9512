"""Darknet that a person can read.

    import minidarknet as md

    net = md.load("cfg/tiny.cfg", "tiny.weights")
    net.predict(md.read_image("dog.jpg"))

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidarknet.cfg import parse_cfg, read_cfg
    from minidarknet.errors import MinidarknetError
    from minidarknet.images import read_image
    from minidarknet.network import Network
    from minidarknet.prediction import Classifier, Prediction, load

__version__ = "0.1.0"
__all__ = [
    "Classifier",
    "MinidarknetError",
    "Network",
    "Prediction",
    "load",
    "parse_cfg",
    "read_cfg",
    "read_image",
]

_HOMES = {
    "Classifier": "prediction",
    "MinidarknetError": "errors",
    "Network": "network",
    "Prediction": "prediction",
    "load": "prediction",
    "parse_cfg": "cfg",
    "read_cfg": "cfg",
    "read_image": "images",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minidarknet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"minidarknet.{_HOMES[name]}"), name)
