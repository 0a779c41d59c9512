"""Checkpoints: all that training needs to go on bit by bit, in folders that are whole or not there.

    backup/digits.checkpoints/
      000041/
        network.weights       the network, in Darknet's format: any Darknet can use it
        state.safetensors     every parameter, and what the optimizer has stored
        meta.json             counters and settings, and the hashes of both files and of itself
      000042/ ...             the newest one that is whole is the one that counts

A checkpoint is written beside under another name, synced to the disk, and renamed; older ones are deleted only then. So
whenever the power fails there is a whole one. The hashes tell what a disk has damaged since.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from minidarknet import weights
from minidarknet.errors import CheckpointError, WeightsError
from minidarknet.files import atomic_folder, remove_folder
from minidarknet.network import Network

State = dict[str, NDArray[Any]]

#: The version of this format; it changes when older programs could not go on from what newer ones write.
VERSION = 1
WEIGHTS, STATE, META = "network.weights", "state.safetensors", "meta.json"
#: How many checkpoints stay.
KEPT = 3


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, read and found whole.

    Attributes
    ----------
    path
        Its folder.
    state
        Arrays, as they were given to `Store.write`.
    record
        Everything else that was given to it.
    """

    path: Path
    state: State
    record: dict[str, Any]


class Store:
    """The checkpoints of one run, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """All checkpoints by their names, the oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(
            (path for path in self.folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)
        )

    def write(self, network: Network, seen: int, state: Mapping[str, NDArray[Any]], record: dict[str, Any]) -> Path:
        """Write a checkpoint, then delete those that are too old; where the disk is full, do so before.

        Parameters
        ----------
        network
            What goes into the `.weights` file.
        seen
            The images that it has learned from, for the header of that file.
        state
            Arrays by name.
        record
            What `json` can write.

        Raises
        ------
        CheckpointError
            It cannot be written; those that were there before still are, or at least the newest of them.
        """
        try:
            path = self._write(network, seen, state, record)
        except CheckpointError:
            if len(self.paths()) < 2:
                raise
            self._keep(1)  # the disk may be full
            path = self._write(network, seen, state, record)
        self._keep(KEPT)
        return path

    def _write(self, network: Network, seen: int, state: Mapping[str, NDArray[Any]], record: dict[str, Any]) -> Path:
        paths = self.paths()
        path = self.folder / f"{int(paths[-1].name) + 1 if paths else 1:06d}"
        try:
            with atomic_folder(path) as aside:
                weights.save(network, aside / WEIGHTS, weights.Header(seen=seen))
                save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, aside / STATE)
                shutil.copymode(aside / WEIGHTS, aside / STATE)  # safetensors lets only the owner read
                files = {name: _fingerprint(aside / name) for name in (WEIGHTS, STATE)}
                meta = {"format": "minidarknet checkpoint", "version": VERSION, "files": files, "record": record}
                text = json.dumps({**meta, "sha256": _digest(meta)}, indent=2, allow_nan=False)
                (aside / META).write_text(text + "\n", "utf-8")
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from None
        except (WeightsError, SafetensorError) as error:  # they have their own words for a full disk
            raise CheckpointError(f"{path}: cannot be written: {error}") from None
        return path

    def _keep(self, count: int) -> None:
        """Delete all but the newest checkpoints, and what killed processes have left half written."""
        for path in [*self.paths()[:-count], *self.folder.glob(".*.tmp")]:
            try:
                remove_folder(path)
            except OSError:  # it stays: a checkpoint too many does no harm
                continue

    def keep_newest(self) -> None:
        """Delete all checkpoints but the newest."""
        self._keep(1)

    def newest(self, skipped: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole; `skipped` is told of each newer one what is wrong with it.

        None where there is no checkpoint at all.

        Raises
        ------
        CheckpointError
            There are checkpoints, but none is whole; or the newest has a format that this program does not know.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                return read(path)
            except _Damage as damage:
                skipped(f"{path} is damaged and left out: {damage}")
        if paths:
            raise CheckpointError(
                f"{self.folder}: all {len(paths)} checkpoints are damaged; there is none to go on from"
            )
        return None


class _Damage(Exception):
    """What is wrong with a checkpoint."""


def read(path: Path) -> Checkpoint:
    """Read a checkpoint, and check all of it."""
    try:
        text = (path / META).read_text("utf-8")
        meta = json.loads(text)
        claimed = meta.pop("sha256")
        if _digest(meta) != claimed:
            raise _Damage(f"{META} is not what was written")
        if meta["version"] != VERSION:
            raise CheckpointError(
                f"{path}: is a checkpoint of format {meta['version']}; this minidarknet knows format {VERSION}. "
                "Go on with the one that wrote it"
            )
        for name, expected in meta["files"].items():
            found = _fingerprint(path / name)
            if found != expected:
                what = f"{found['bytes']:,} bytes instead of {expected['bytes']:,}"
                raise _Damage(f"{name} has {what if found['bytes'] != expected['bytes'] else 'other bytes'}")
        return Checkpoint(path, load_file(path / STATE), meta["record"])
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise _Damage(f"there is no {Path(error.filename or path).name}") from None
    except OSError as error:
        raise _Damage(f"it cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError):
        raise _Damage(f"{META} is not what was written") from None


def _fingerprint(path: Path) -> dict[str, Any]:
    """Size and hash of a file."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _digest(meta: dict[str, Any]) -> str:
    """The hash of what `meta.json` says, however its lines are broken."""
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()
