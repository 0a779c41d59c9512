"""Pictures on disk become arrays: float32, channels x height x width, red green blue, 0..1.

Pillow does the decoding. Which of its decoders runs is decided here, by the first bytes of the file, so that a hostile
file cannot reach the decoders of rare formats, and every way in which a file can be bad ends in one `ImageError`.

Darknet reads with stb_image. For lossless files the result is the same bit for bit; for JPEG the decoders round
differently (up to 3 of 255 levels). Unlike Darknet, the EXIF orientation that a camera writes is obeyed.
"""

from __future__ import annotations

import glob
import os
import stat
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import DecompressionBombError, Image, Transpose, fromarray
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.WebPImagePlugin import WebPImageFile

from minidarknet.errors import ImageError

# A 12 byte header can claim any size. 100 million pixels are more than most cameras have, and 1.2 GB as float32.
MAX_PIXELS = 100_000_000

# Name, first bytes, decoder. The decoders are called directly, not through PIL.Image.open, whose own size check
# warns or raises by a limit of its own before the size of the picture can be told.
DECODERS: tuple[tuple[str, tuple[bytes, ...], type[ImageFile]], ...] = (
    ("JPEG", (b"\xff\xd8\xff",), JpegImageFile),
    ("PNG", (b"\x89PNG\r\n\x1a\n",), PngImageFile),
    ("BMP", (b"BM",), BmpImageFile),
    ("PPM", (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), PpmImageFile),
    ("GIF", (b"GIF87a", b"GIF89a"), GifImageFile),
    ("WebP", (b"WEBP",), WebPImageFile),
)
FORMATS = ", ".join(name for name, _, _ in DECODERS)
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".webp")

ORIENTATION = 0x0112  # the EXIF tag; 1 is upright, the others say how the camera was held
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def read_image(path: str | os.PathLike[str], channels: int = 3) -> NDArray[np.float32]:
    """Read one picture.

    Parameters
    ----------
    path
        A JPEG, PNG, BMP, PPM (also PGM, PBM), GIF (its first frame) or WebP file; the content counts, not the suffix.
    channels
        3 for red, green, blue (a grey picture gives three equal planes), 1 for grey.

    Returns
    -------
    ndarray
        float32, C-contiguous, (channels, height, width), each value a whole number of 0..255 divided by 255.
        Transparency is dropped, not blended: the colour stored below it is what is seen, as in Darknet. Of 16 bits
        the high byte is kept. Grey is (77 red + 150 green + 29 blue) / 256 rounded down, stb_image's formula.

    Raises
    ------
    ImageError
        The file is missing, unreadable, no picture, damaged, cut short, or larger than `MAX_PIXELS`. Damage that
        leaves all the pixels decodable (a flipped bit inside a JPEG) cannot be noticed.

    Notes
    -----
    Darknet: image.c, load_image_stb.

    Examples
    --------
    >>> from PIL import Image
    >>> from minidarknet import read_image
    >>> Image.new("RGB", (4, 2), "red").save("red.png")
    >>> red = read_image("red.png")
    >>> red.shape, red[:, 0, 0].tolist()
    ((3, 2, 4), [1.0, 0.0, 0.0])
    """
    name = os.fspath(path)
    if channels not in (1, 3):
        raise ImageError(f"{name}: a picture gives 3 channels (colour) or 1 (grey), not {channels}")
    return to_planes(_decode(name), channels)


def to_planes(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.float32]:
    """Turn bytes (height, width, 1 or 3) into float32 (channels, height, width) in 0..1; see `read_image`."""
    if channels == 1 and pixels.shape[2] == 3:
        red, green, blue = pixels.transpose(2, 0, 1).astype(np.uint16)
        pixels = ((77 * red + 150 * green + 29 * blue) >> 8)[:, :, None]  # the sum, up to 256 * 255, fits 16 bits
    height, width, _ = pixels.shape
    image = np.empty((channels, height, width), np.float32)
    image[:] = pixels.transpose(2, 0, 1)  # one grey plane fills three
    image /= np.float32(255)  # a pass of its own: eight times as quick as dividing bytes into floats
    return image


def find_images(arguments: Iterable[str]) -> list[str]:
    """Turn what was typed after a command into the list of files it means.

    Parameters
    ----------
    arguments
        Each is a file, a folder or a pattern. A file stands for itself, even when it does not exist: `read_image`
        reports that when its turn comes. A folder stands for the pictures in it, told by their suffix, sorted, without
        hidden files and without going into further folders. A pattern (it has `*`, `?` or `[` and is not itself the
        name of something) stands for the files it matches, sorted, whatever their suffix; `**` goes into folders.

    Returns
    -------
    list of str
        In the order of the arguments. What is named twice is listed twice.

    Raises
    ------
    ImageError
        A folder without a picture, or that cannot be listed; a pattern that matches no file.
    """
    found: list[str] = []
    for argument in arguments:
        if os.path.isdir(argument):
            found += _pictures_in(argument)
        elif any(sign in argument for sign in "*?[") and not os.path.lexists(argument):
            matches = sorted(match for match in glob.glob(argument, recursive=True) if os.path.isfile(match))
            if not matches:
                raise ImageError(f"{argument}: no file matches this pattern")
            found += matches
        else:
            found.append(argument)
    return found


def _pictures_in(folder: str) -> list[str]:
    """The pictures of one folder, sorted; see `find_images`."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ImageError(f"{folder}: this folder cannot be listed: {error.strerror}") from error
    pictures = [
        os.path.join(folder, name)
        for name in names
        if name.lower().endswith(SUFFIXES)
        and not name.startswith(".")
        and not os.path.isdir(os.path.join(folder, name))
    ]
    if not pictures:
        raise ImageError(f"{folder}: no picture in this folder; looked for {' '.join(SUFFIXES)}")
    return pictures


def _decode(name: str) -> NDArray[np.uint8]:
    """Decode a file to bytes, (height, width, 3)."""
    kind = "file"
    try:
        with open(name, "rb", opener=_open_regular) as file:
            start = file.read(12)
            file.seek(0)
            kind, decoder = _decoder_for(name, start)
            with _no_warnings():
                picture = decoder(file)  # reads the header only
            _check_size(name, *picture.size)
            picture.load()
            return _to_bytes(_turn_upright(picture))
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name}: there is no such file") from error
    except PermissionError as error:
        raise ImageError(f"{name}: no permission to read this file") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name}: expected a picture, found a folder") from error
    except DecompressionBombError as error:  # Pillow looks at the frames of GIF and WebP, whose size is not ours to see
        raise ImageError(f"{name}: too large, the limit is {MAX_PIXELS:,} pixels; Pillow says: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode this {kind}") from error
    except Exception as error:  # Pillow lets out whatever a damaged file makes it trip over, not only OSError
        if isinstance(error, OSError) and error.strerror:  # the operating system speaks: the file is not to blame
            raise ImageError(f"{name}: this {kind} cannot be read: {error.strerror}") from error
        reason = str(error) or type(error).__name__
        raise ImageError(f"{name}: this {kind} cannot be decoded, it is damaged or cut short: {reason}") from error


def _open_regular(name: str, flags: int) -> int:
    """Open a file for `open`, but refuse at once what could wait or go on for ever: pipes, terminals, devices."""
    mode = os.stat(name).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder raises an error of its own
        raise ImageError(f"{name}: expected a picture, found a pipe or a device")
    return os.open(name, flags)


def _decoder_for(name: str, start: bytes) -> tuple[str, type[ImageFile]]:
    """The name and the decoder of the format that these first 12 bytes announce."""
    if not start:
        raise ImageError(f"{name}: expected a picture, found an empty file")
    signature = start[8:] if start.startswith(b"RIFF") else start  # WebP sits in a container that sound files share
    for kind, signatures, decoder in DECODERS:
        if signature.startswith(signatures):
            return f"{kind} picture", decoder
    raise ImageError(f"{name}: not a picture that can be read: expected {FORMATS}, found a file that begins {start!r}")


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        size = f"{width} x {height} = {width * height:,} pixels"
        raise ImageError(f"{name}: the picture is {size}, the limit is {MAX_PIXELS:,}")


_warnings_lock = threading.Lock()


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep quiet about oddities in metadata that do not touch the pixels.

    The warning filters belong to the whole process; without the lock, two threads that read pictures could each save
    and restore the other's and leave them silent for good. The lock covers the headers, not the slow decoding.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _turn_upright(picture: ImageFile) -> Image:
    """Apply the EXIF orientation; a picture whose EXIF data is damaged stays as it is."""
    try:
        with _no_warnings():
            orientation = picture.getexif().get(ORIENTATION, 1)
        turn = UPRIGHT.get(orientation)
    except Exception:  # the same variety of errors as in decoding
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _to_bytes(picture: Image) -> NDArray[np.uint8]:
    """Bring any of Pillow's pixel modes to bytes, (height, width, 3)."""
    if picture.mode.startswith("I"):  # 16 bits: Pillow's own conversion would clip everything above 255 to white
        high = np.clip(np.asarray(picture, np.int32), 0, 65535) >> 8
        picture = fromarray(high.astype(np.uint8))
    picture.info.pop("transparency", None)  # or Pillow tries to carry it over, with a warning
    return np.asarray(picture.convert("RGB"))
