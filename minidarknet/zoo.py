"""The networks that are known by name: `minidarknet fetch tiny`, then `minidarknet classify tiny dog.jpg`.

A system is a cfg file that comes with minidarknet and, where they are published, weights and class names, which the
user downloads once into a cache folder. Of `digits`, our own one, those come with minidarknet as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minidarknet.download import Progress, RemoteFile, fetch_file
from minidarknet.errors import FetchError, InputError, UsageError
from minidarknet.files import cache_folder
from minidarknet.options import nearest

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Printed:
    """What the Tiny Darknet page prints of a system: 10^9 operations, per cent right, weights in MB of 2^20 bytes."""

    operations: float
    top1: float
    top5: float
    megabytes: float


@dataclass(frozen=True)
class System:
    """A network known by name; the files are None where none with a known hash is published.

    `carried` is one whose weights and names are files of this package.
    """

    name: str
    title: str
    weights: RemoteFile | None = None
    names: RemoteFile | None = None
    printed: Printed | None = None
    carried: bool = False

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """All that can be downloaded for it."""
        return tuple(file for file in (self.weights, self.names) if file is not None)

    def file(self, ending: str) -> RemoteFile | None:
        """The one that can be downloaded as `NAME.weights` or `NAME.names`."""
        return {".weights": self.weights, ".names": self.names}[ending]


@dataclass(frozen=True)
class Located:
    """Where the files of a system are on this machine; None for one that is not here."""

    cfg: Path
    weights: Path | None
    names: Path | None


TINY_WEIGHTS = RemoteFile(
    name="tiny.weights",
    url="https://pjreddie.com/media/files/tiny.weights",
    size=4_185_968,
    sha256="f1c3fe6b9bab9af69ae2a090682df3e5b9d83accba69551315f030ce1b37ea81",
)

# The published list goes on with the classes of the larger ImageNet; the networks know the first 1000.
IMAGENET_NAMES = RemoteFile(
    name="imagenet.names",
    url="https://raw.githubusercontent.com/pjreddie/darknet/master/data/imagenet.shortnames.list",
    size=10_473,
    sha256="5289378d14f392c0cddf78fedc75d032e23b544831eb49d3d779fa6951ee0fc1",
    lines=1000,
)

SYSTEMS: dict[str, System] = {
    "tiny": System("tiny", "Tiny Darknet", TINY_WEIGHTS, IMAGENET_NAMES, Printed(0.98, 58.7, 81.7, 4.0)),
    "darknet": System("darknet", "Darknet Reference", printed=Printed(0.81, 61.1, 83.0, 28)),
    "alexnet": System("alexnet", "AlexNet", printed=Printed(2.27, 57.0, 80.3, 238)),
    "squeezenet": System("squeezenet", "SqueezeNet 1.0", printed=Printed(2.17, 57.5, 80.3, 4.8)),
    "digits": System("digits", "Handwritten Digits", carried=True),
}


def system(name: str) -> System:
    """The system of a name; a `UsageError` lists the names there are."""
    if name not in SYSTEMS:
        raise UsageError(f"no network is called '{name}': known are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


def find_cfg(network: str) -> Path:
    """The cfg that is meant by the name of a known network, or by a path; a file of that name comes first."""
    if is_name(network):
        return cfg_path(network)
    if not Path(network).exists() and not Path(network).suffix:
        known = ", ".join(SYSTEMS)
        raise UsageError(f"{network}: no such file, nor a known network ({known}){nearest(network, SYSTEMS)}")
    return Path(network)


def is_name(network: str) -> bool:
    """Whether this is the name of a known network, and no file."""
    return network in SYSTEMS and not Path(network).exists()


def cfg_path(name: str) -> Path:
    """The cfg file of a system: inside an installed package, or beside the package in a clone of the repository."""
    filename = f"{system(name).name}.cfg"
    places = [PACKAGE / "cfg" / filename, PACKAGE.parent / "cfg" / filename]
    for place in places:
        if place.is_file():
            return place
    raise InputError(f"{filename} is missing from this installation: looked for {places[0]} and {places[1]}")


def fetch(name: str, mirror: str | None = None, progress: Progress | None = None) -> list[Path]:
    """Download the files of a system that are not in the cache folder yet; of a carried one, all are here.

    Parameters
    ----------
    name
        A key of `SYSTEMS`.
    mirror
        Address of a folder on the web that has the files, instead of where they were published.
    progress
        Told the name of the file, the bytes that are here, and the bytes there will be (None: nobody said).

    Returns
    -------
    list of Path
        The weights and the class names; all of them are complete and have the known sha256.

    Raises
    ------
    FetchError
        Nothing is published for this system, or a file could not be had; the message says what to do.
    UsageError
        The name or the mirror makes no sense.
    """
    chosen = system(name)
    if chosen.carried:
        return [require_weights(name), require_names(name)]
    if not chosen.files:
        raise FetchError(_unpublished(chosen))
    return [fetch_file(file, cache_folder(), mirror, progress) for file in chosen.files]


def locate(name: str) -> Located:
    """Where the files of a system are.

    Downloaded files are checked for their size only; `fetch` has checked their hash, and does so again if asked.
    """
    chosen = system(name)
    return Located(cfg_path(name), *(_here(chosen, ending) for ending in (".weights", ".names")))


def require_weights(name: str) -> Path:
    """The weights of a system; a `FetchError` says how to get them where they are not here."""
    return _require(system(name), ".weights", "weights")


def require_names(name: str) -> Path:
    """The class names of a system; a `FetchError` says how to get them where they are not here."""
    return _require(system(name), ".names", "class names")


def _require(chosen: System, ending: str, what: str) -> Path:
    place, file = _here(chosen, ending), chosen.file(ending)
    if place is not None:
        return place
    if chosen.carried:
        raise InputError(f"{chosen.name}{ending} is missing from this installation: looked for it in {PACKAGE}")
    if file is None:
        raise FetchError(_unpublished(chosen))
    missing = f"the {what} of '{chosen.name}' are not here yet ({cache_folder() / file.name})"
    raise FetchError(f"{missing}: run `minidarknet fetch {chosen.name}`")


def _here(chosen: System, ending: str) -> Path | None:
    """Where the file of a system with this ending is on this machine."""
    if not chosen.carried:
        return _in_cache(chosen.file(ending))
    place = PACKAGE / f"{chosen.name}{ending}"
    return place if place.is_file() else None


def _in_cache(file: RemoteFile | None) -> Path | None:
    """A downloaded file, if it is there and as long as it should be."""
    if file is None:
        return None
    place = cache_folder() / file.name
    try:
        return place if place.is_file() and place.stat().st_size == file.size else None
    except OSError:  # a folder that may not be read has nothing for us
        return None


def _unpublished(chosen: System) -> str:
    """What to say of a system without published files."""
    available = ", ".join(other.name for other in SYSTEMS.values() if other.files)
    return (
        f"no weights with a known hash are published for {chosen.title}; there are for: {available}.\n"
        f"Weights of your own stay where they are: "
        f"`minidarknet classify {chosen.name} FILE.weights photo.jpg --names FILE.names`"
    )
