"""The `.weights` file: a header, then the parameters of layer after layer as little-endian float32.

    bytes 0-11    major, minor, revision        three 32-bit integers
    then          seen, images trained on       64-bit from version 0.2 on, else (and for numbers from 1000 on) 32-bit
    then          layer 0: biases, [scales, rolling mean, rolling variance], weights; layer 1: ... (in connected layers
                  the three of batch norm come behind the weights)

How long the file must be follows from the cfg, so it is compared before anything is loaded: Darknet itself loads a file
that is too short or belongs to another network without a word. Source: Darknet, parser.c (load_weights_upto).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from os import PathLike, fspath

import numpy as np

from minidarknet.errors import WeightsError
from minidarknet.files import atomic_write
from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array, Parameter
from minidarknet.network import Network

BATCH_NORM = ("scales", "rolling_mean", "rolling_variance")


@dataclass(frozen=True)
class Header:
    """The first bytes of a weights file. `seen` is the number of images that training has shown to the network."""

    major: int = 0
    minor: int = 2
    revision: int = 0
    seen: int = 0

    @property
    def transposed(self) -> bool:
        """Whether connected weights are stored (inputs, outputs), as a very old Darknet did."""
        return self.major > 1000 or self.minor > 1000

    @property
    def layout(self) -> str:
        """The header for `struct`: three integers, and `seen` with 64 or 32 bits."""
        wide = self.major * 10 + self.minor >= 2 and self.major < 1000 and self.minor < 1000
        return "<3iq" if wide else "<3ii"

    @property
    def size(self) -> int:
        return struct.calcsize(self.layout)

    @classmethod
    def read(cls, data: bytes) -> Header | None:
        """The header at the beginning of `data`, or None where there are too few bytes."""
        if len(data) < 16:
            return None
        header = cls(*struct.unpack_from("<3i", data))
        if len(data) < header.size:
            return None
        return cls(*struct.unpack_from(header.layout, data))

    def pack(self) -> bytes:
        return struct.pack(self.layout, self.major, self.minor, self.revision, self.seen)


@dataclass(frozen=True)
class Piece:
    """A run of numbers in the file: what they are, and how many (fewer than the parameter has with `numload`)."""

    layer: Layer
    parameter: Parameter
    count: int

    @property
    def name(self) -> str:
        return f"the {self.parameter.name} of layer {self.layer.index} [{self.layer.kind}]"

    def shape(self) -> tuple[int, ...]:
        """The sides of the part that is in the file: `numload` shortens the first."""
        first = self.count // (self.parameter.size // self.parameter.shape[0])
        return (first, *self.parameter.shape[1:])

    def sides_swapped(self, header: Header) -> bool:
        """Whether the file holds this matrix with its sides swapped."""
        if self.parameter.name != "weights":
            return False
        return header.transposed if self.layer.kind == "connected" else getattr(self.layer.options, "flipped", False)


def pieces(network: Network, loading: bool, layers: int | None = None) -> list[Piece]:
    """What a weights file of this network holds, in order; of its first `layers` layers only, if given."""
    found = []
    for layer, parameter in network.parameters():
        options = layer.options
        if (layers is not None and layer.index >= layers) or not parameter.stored:
            continue
        if options.dontload if loading else options.dontsave:
            continue
        filters = used = parameter.shape[0]
        if loading and layer.kind == "convolutional" and options.numload:  # Darknet heeds it there only
            used = min(options.numload, filters)
        if loading and layer.kind != "batchnorm" and options.dontloadscales and parameter.name in BATCH_NORM:
            continue
        found.append(Piece(layer, parameter, parameter.size // filters * used))
    return found


def file_size(network: Network) -> int:
    """The bytes of this network's weights file as written by default (header 0.2)."""
    return Header().size + 4 * sum(piece.count for piece in pieces(network, loading=False))


def load(network: Network, path: str | PathLike[str], layers: int | None = None, check: bool = True) -> Header:
    """Load a weights file into a network.

    Parameters
    ----------
    network
        The network; its parameters get new arrays.
    path
        The file.
    layers
        Load only so many of the first layers; what follows in the file is left alone, and the other layers keep what
        they have.
    check
        Whether to refuse numbers that cannot stand in a trained network; files of random numbers may hold them.

    Returns
    -------
    Header
        The file's header.

    Raises
    ------
    WeightsError
        The file is too short, too long, of another network, headerless, or holds a number that is not finite or a
        negative variance: with the layer and byte where they part. The network is then unchanged.
    """
    path = fspath(path)
    expected = pieces(network, True, layers)
    count = sum(piece.count for piece in expected)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = Header.read(file.read(20))
            if header is None:
                raise WeightsError(f"{path}: {size} bytes are too few even for a header; expected a .weights file")
            surplus = size - header.size - 4 * count
            if surplus < 0 or (surplus > 0 and layers is None):
                raise WeightsError(f"{path}: {_mismatch(header, expected, size)}")
            for piece in expected:
                _check_rest(path, piece)
            network.check_memory(0)
            file.seek(header.size)
            numbers = np.fromfile(file, "<f4", count).astype(np.float32, copy=False)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; expected a Darknet .weights file") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(numbers) < count:
        raise WeightsError(f"{path}: the file was changed while it was being read")
    places = _places(expected)
    for piece, start in places if check else ():
        _check_numbers(path, piece, numbers[start : start + piece.count], header.size + 4 * start)
    for piece, start in places:
        _put(piece, numbers[start : start + piece.count], header)
    for layer, parameter in network.parameters():
        # What no file holds but every file means: a batch norm without biases has biases of 0.
        if parameter.array is None and parameter.initial.is_constant and (layers is None or layer.index < layers):
            parameter.array = parameter.initial.draw(parameter.shape, np.random.default_rng(0))
    return header


def save(network: Network, path: str | PathLike[str], header: Header | None = None, layers: int | None = None) -> None:
    """Write a network's parameters into a weights file, all at once or not at all.

    Parameters
    ----------
    network, path
        A network whose parameters have values, and the file; one that is there is replaced.
    header
        The header to write; the one that `load` returned gives the same bytes again. By default 0.2.0 with `seen` 0.
    layers
        Save only so many of the first layers.

    Raises
    ------
    WeightsError
        A parameter has no values, `seen` does not fit into the header, or the file cannot be written.
    """
    path, header = fspath(path), header or Header()
    arrays = []
    for piece in pieces(network, False, layers):
        array = piece.parameter.array
        if array is None:
            raise WeightsError(f"{path}: {piece.name} have no values to save: load a file or draw random ones first")
        if piece.sides_swapped(header):
            array = array.reshape(len(array), -1).T
        arrays.append(np.ascontiguousarray(array, "<f4"))
    try:
        with atomic_write(path) as file:
            file.write(header.pack())
            for array in arrays:
                file.write(array.data)
    except struct.error:
        raise WeightsError(f"{path}: {header} does not fit into {header.size} bytes; expected version 0.2") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from None


def _places(expected: list[Piece]) -> list[tuple[Piece, int]]:
    """Each piece with the number of its first value."""
    places, start = [], 0
    for piece in expected:
        places.append((piece, start))
        start += piece.count
    return places


def _check_numbers(path: str, piece: Piece, numbers: Array, offset: int) -> None:
    """Raise at the first number that cannot stand in a trained network."""
    wrong = ~np.isfinite(numbers)
    if piece.parameter.name == "rolling_variance":
        wrong |= numbers < 0
    if wrong.any():
        first = int(wrong.argmax())
        raise WeightsError(
            f"{path}: {numbers[first]} at byte {offset + 4 * first:,}, number {first} of {piece.name}; expected "
            f"{'a variance of 0 or more' if np.isfinite(numbers[first]) else 'a finite number'}. "
            "The file is damaged, or of another network"
        )


def _check_rest(path: str, piece: Piece) -> None:
    """Raise where a file gives values to a part of a parameter, and nothing has given any to the rest."""
    parameter, first = piece.parameter, piece.shape()[0]
    if first < parameter.shape[0] and parameter.array is None and not parameter.initial.is_constant:
        raise WeightsError(
            f"{path}: numload={piece.layer.options.numload} gives values to {first} of {parameter.shape[0]} filters in "
            f"{piece.name}; draw random ones for the others first"
        )


def _put(piece: Piece, numbers: Array, header: Header) -> None:
    """Give a parameter the numbers of its piece of the file; with `numload`, its first ones."""
    shape = piece.shape()
    if piece.sides_swapped(header):
        numbers = numbers.reshape(-1, shape[0]).T
    values = np.array(numbers, np.float32, order="C").reshape(shape)
    parameter = piece.parameter
    if shape == parameter.shape:
        parameter.array = values
        return
    if parameter.array is None:
        parameter.array = parameter.initial.draw(parameter.shape, np.random.default_rng(0))
    parameter.value[: shape[0]] = values
    parameter.array = parameter.value  # it has changed


def _mismatch(header: Header, expected: list[Piece], size: int) -> str:
    """Why a file of `size` bytes is not the one of these pieces: where they part, and the likely reason."""
    count = sum(piece.count for piece in expected)
    need = header.size + 4 * count
    text = (
        f"the file has {size:,} bytes; the cfg needs {need:,}: {header.size} of header (version {header.major}."
        f"{header.minor}) and {count:,} numbers. "
    )
    if size < need:
        ends = ((piece, header.size + 4 * (start + piece.count)) for piece, start in _places(expected))
        piece, end = next((piece, end) for piece, end in ends if size < end)
        text += f"It ends inside {piece.name}, which takes bytes {end - 4 * piece.count:,} to {end:,}. "
    else:
        text += f"The network ends at byte {need:,}, and {size - need:,} bytes follow. "
    return text + _likely_reason(header, expected, size, count)


def _likely_reason(header: Header, expected: list[Piece], size: int, count: int) -> str:
    other = {"<3iq": 16, "<3ii": 20}[header.layout]
    if size == 4 * count:
        return "As many bytes as the numbers alone take: the header seems to be missing"
    if size == other + 4 * count:
        what = "lost" if size < header.size + 4 * count else "too many"
        return f"It would fit with a {other}-byte header: a wrong version in the header, or 4 bytes {what}"
    if not (0 <= header.major <= 1001 and 0 <= header.minor <= 1001):
        return "The version makes no sense: this seems to be no .weights file"
    last = [piece for piece in expected if piece.layer is expected[-1].layer] if expected else []
    if last and last[0].layer.kind in ("connected", "convolutional"):
        filters = last[0].parameter.shape[0]
        each = sum(piece.count for piece in last) // filters
        numbers, rest = divmod(size - header.size, 4)
        classes, uneven = divmod(numbers - count + filters * each, each)
        if not rest and not uneven and classes > 0:
            where = f"layer {last[0].layer.index} [{last[0].layer.kind}]"
            return f"It would fit if {where} had {classes} outputs instead of {filters}: another number of classes?"
    return "It was cut off, or belongs to another network" if size < header.size + 4 * count else "Another network?"
