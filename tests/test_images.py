"""Reading pictures: every pixel mode, every way a file can be bad, and which files a command line means."""

from __future__ import annotations

import builtins
import os
import random
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile, features

from minidarknet import images
from minidarknet.errors import ImageError
from minidarknet.images import FORMATS, MAX_PIXELS, find_images, read_image

COLOURS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
needs_webp = pytest.mark.skipif(not features.check("webp"), reason="this Pillow was built without WebP")


def bytes_of(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Back to bytes, (height, width, channels), after checking that the array is what `read_image` promises."""
    assert image.dtype == np.float32
    assert image.ndim == 3
    assert image.flags.c_contiguous
    assert image.flags.writeable
    levels = np.rint(image * 255).astype(np.uint8)
    np.testing.assert_array_equal(image, levels.astype(np.float32) / np.float32(255))
    return levels.transpose(1, 2, 0)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG file made by hand, for what Pillow cannot write; `rows` has the filter byte before each row."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body + png_chunk(b"IEND", b"")


def message_of(path: Path, channels: int = 3) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, channels)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def picture_or_message(path: Path) -> NDArray[np.float32] | str:
    try:
        return read_image(path)
    except ImageError as error:
        return str(error)


# ---------------------------------------------------------------- good pictures


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm"])
def test_lossless_colour(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOURS).save(path)
    np.testing.assert_array_equal(bytes_of(read_image(path)), COLOURS)
    np.testing.assert_array_equal(bytes_of(read_image(str(path))), COLOURS)


def test_all_levels_are_bytes_over_255(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    Image.fromarray(levels).save(path)
    expected = (np.arange(256) / 255.0).astype(np.float32)  # Darknet's way: in double, then rounded
    np.testing.assert_array_equal(read_image(path)[2, 0], expected)


@pytest.mark.parametrize("picture", ["dog", "eagle", "horses"])
def test_jpeg_close_to_darknets(shared: Path, picture: str) -> None:
    """libjpeg and stb_image differ by up to 3 levels (golden README)."""
    ours = bytes_of(read_image(shared / "data" / f"{picture}.jpg")).astype(int)
    darknets = np.asarray(Image.open(shared / "golden" / "images" / f"{picture}.png")).astype(int)
    assert np.abs(ours - darknets).max() <= 3


def test_grey_gives_three_equal_planes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS[:, :, 0]).save(path)
    np.testing.assert_array_equal(bytes_of(read_image(path)), np.repeat(COLOURS[:, :, :1], 3, axis=2))
    np.testing.assert_array_equal(bytes_of(read_image(path, channels=1)), COLOURS[:, :, :1])


def test_one_channel_of_a_colour_picture(tmp_path: Path) -> None:
    """stb_image's whole-number formula, so that grey stays exactly as it was."""
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    red, green, blue = COLOURS.astype(int).transpose(2, 0, 1)
    grey = bytes_of(read_image(path, channels=1))
    np.testing.assert_array_equal(grey[:, :, 0], (77 * red + 150 * green + 29 * blue) // 256)
    Image.new("RGB", (2, 2), (255, 255, 255)).save(path)
    assert (read_image(path, channels=1) == 1).all()


def test_transparency_is_dropped(tmp_path: Path) -> None:
    """The colours stored below transparent pixels are seen, as in Darknet; nothing is blended."""
    path = tmp_path / "a.png"
    alpha = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
    Image.fromarray(np.concatenate((COLOURS, alpha), axis=2)).save(path)
    np.testing.assert_array_equal(bytes_of(read_image(path)), COLOURS)
    Image.fromarray(np.concatenate((COLOURS[:, :, :1], alpha), axis=2)).save(path)  # grey and alpha
    np.testing.assert_array_equal(bytes_of(read_image(path)), np.repeat(COLOURS[:, :, :1], 3, axis=2))
    Image.fromarray(COLOURS).save(path, transparency=tuple(COLOURS[0, 0].tolist()))  # one colour is transparent
    np.testing.assert_array_equal(bytes_of(read_image(path)), COLOURS)
    Image.fromarray(COLOURS[:, :, 0]).save(path, transparency=int(COLOURS[0, 0, 0]))
    np.testing.assert_array_equal(bytes_of(read_image(path, 1)), COLOURS[:, :, :1])


@pytest.mark.parametrize("transparency", [None, 2, bytes([0, 100, 255])])
def test_palette(tmp_path: Path, transparency: int | bytes | None) -> None:
    colours = np.array([[10, 20, 30], [40, 50, 60], [250, 0, 128]], np.uint8)
    numbers = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    picture = Image.fromarray(numbers)
    picture.putpalette(colours.tobytes())
    assert picture.mode == "P"
    path = tmp_path / "a.png"
    picture.save(path, **({} if transparency is None else {"transparency": transparency}))
    np.testing.assert_array_equal(bytes_of(read_image(path)), colours[numbers])


@pytest.mark.parametrize("suffix", ["png", "bmp", "pbm"])
def test_one_bit(tmp_path: Path, suffix: str) -> None:
    bits = np.array([[True, False, True], [False, False, True]])
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(bits).save(path)
    np.testing.assert_array_equal(bytes_of(read_image(path, 1))[:, :, 0], bits * np.uint8(255))
    assert read_image(path).shape == (3, 2, 3)


DEEP = np.array([[0, 255, 256, 511], [0x1234, 0x8000, 0xFEFF, 0xFFFF]], np.uint16)


def test_sixteen_bit_grey_png_keeps_the_high_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(DEEP).save(path)
    np.testing.assert_array_equal(bytes_of(read_image(path, 1))[:, :, 0], [[0, 0, 1, 1], [0x12, 0x80, 0xFE, 0xFF]])
    assert read_image(path).shape == (3, 2, 4)


@pytest.mark.parametrize("header", [b"P5 4 2 65535\n", b"P2 4 2 65535\n"])
def test_sixteen_bit_pgm_keeps_the_high_byte(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.pgm"
    plain = " ".join(map(str, DEEP.ravel())).encode()
    path.write_bytes(header + (DEEP.astype(">u2").tobytes() if header.startswith(b"P5") else plain))
    np.testing.assert_array_equal(bytes_of(read_image(path, 1))[:, :, 0], [[0, 0, 1, 1], [0x12, 0x80, 0xFE, 0xFF]])


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_colour_png_keeps_the_high_byte(tmp_path: Path, colour: int, channels: int) -> None:
    """Colour, grey with alpha, colour with alpha."""
    deep = np.random.default_rng(1).integers(0, 65536, (3, 4, channels)).astype(">u2")
    path = tmp_path / "a.png"
    path.write_bytes(png(4, 3, 16, colour, b"".join(b"\0" + row.tobytes() for row in deep)))
    expected = (deep >> 8).astype(np.uint8)
    expected = np.repeat(expected[:, :, :1], 3, axis=2) if channels == 2 else expected[:, :, :3]
    np.testing.assert_array_equal(bytes_of(read_image(path)), expected)


def test_pgm_of_few_levels_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5\n# a comment\n3 1\n15\n\x00\x05\x0f")
    np.testing.assert_array_equal(bytes_of(read_image(path, 1)).ravel(), [0, 85, 255])


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (16, 8), (0, 255, 255, 0)).save(path, quality=95)  # full magenta and yellow: red
    red, green, blue = read_image(path).mean(axis=(1, 2))
    assert red > 0.98
    assert max(green, blue) < 0.02
    assert read_image(path, 1).shape == (1, 8, 16)


def test_gif_gives_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    first, second = Image.new("RGB", (4, 3), (255, 0, 0)), Image.new("RGB", (4, 3), (0, 0, 255))
    first.save(path, save_all=True, append_images=[second])
    np.testing.assert_array_equal(bytes_of(read_image(path)), np.full((3, 4, 3), (255, 0, 0)))


def test_gif_with_transparency(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette(bytes([1, 2, 3, 200, 201, 202]))
    picture.save(path, transparency=1)
    np.testing.assert_array_equal(bytes_of(read_image(path)), [[[1, 2, 3], [200, 201, 202]]])


@needs_webp
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.webp"
    picture = Image.fromarray(COLOURS)
    if mode == "RGBA":
        picture.putalpha(100)
    picture.save(path, lossless=True, exact=True)
    np.testing.assert_array_equal(bytes_of(read_image(path)), COLOURS)


def test_the_content_counts_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOURS).save(path, "png")
    np.testing.assert_array_equal(bytes_of(read_image(path)), COLOURS)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    """By the EXIF standard: where row 0 and column 0 of what is stored belong in what is seen."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.kron(np.array([[0, 60, 120], [180, 210, 250]], np.uint8), np.ones((16, 16), np.uint8))
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, exif=exif, **({"quality": 95} if suffix == "jpg" else {}))
    seen = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: stored[::-1].T,
        7: stored[::-1, ::-1].T,
        8: stored[:, ::-1].T,
    }[orientation]
    result = bytes_of(read_image(path, 1))[:, :, 0]
    assert result.shape == seen.shape
    assert np.abs(result.astype(int) - seen.astype(int)).max() <= 3


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage!", b"Exif\0\0II*\0\xff\xff\xff\x7f"]
)
def test_damaged_exif_is_ignored(tmp_path: Path, exif: bytes) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOURS).save(path, exif=exif)
    assert read_image(path).shape == (3, 5, 7)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (17, 13)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    for suffix in ("png", "jpg", "gif", "bmp", "ppm"):
        path = tmp_path / f"a.{suffix}"
        Image.new("RGB", size, (9, 99, 200)).save(path)
        assert read_image(path).shape == (3, size[1], size[0])


# ---------------------------------------------------------------- bad files


@pytest.mark.parametrize("channels", [0, 2, 4, -1])
def test_other_numbers_of_channels(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    assert message_of(path, channels) == f"a picture gives 3 channels (colour) or 1 (grey), not {channels}"


def test_missing_file(tmp_path: Path) -> None:
    assert message_of(tmp_path / "a.png") == "there is no such file"


def test_folder(tmp_path: Path) -> None:
    assert message_of(tmp_path) == "expected a picture, found a folder"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    assert message_of(path) == "expected a picture, found an empty file"


def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert message_of(path) == "expected a picture, found a pipe or a device"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, since nothing is forbidden to root."""
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    monkeypatch.undo()
    assert str(caught.value) == f"{path}: no permission to read this file"


def test_impossible_name() -> None:
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image("a\0b.png")
    with pytest.raises(ImageError, match="this file cannot be read: File name too long"):
        read_image("a" * 5000)


@pytest.mark.parametrize(
    "content",
    [
        b"hello, this is text",
        b"\x89",
        b"II*\0\x08\0\0\0",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"RIFF",
        b"%!PS-Adobe-3.0 EPSF-3.0",
    ],
)
def test_not_a_picture(tmp_path: Path, content: bytes) -> None:
    """Text, a single byte, TIFF and PostScript (which Pillow could read, the latter by running it), sound."""
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    expected = f"expected JPEG, PNG, BMP, PPM, GIF, WebP, found a file that begins {content[:12]!r}"
    assert message_of(path) == f"not a picture that can be read: {expected}"
    assert FORMATS == "JPEG, PNG, BMP, PPM, GIF, WebP"


def bomb(kind: str, width: int, height: int) -> bytes:
    """A small file that claims a large picture."""
    if kind == "png":
        return png(width, height, 8, 2, b"\0")
    if kind == "gif":
        frame = b",\0\0\0\0" + struct.pack("<HH", width, height) + b"\0\x02\x02D\x01\0;"
        return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0\0\0\0\xff\xff\xff" + frame
    if kind == "bmp":
        return (
            b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
        )
    if kind == "ppm":
        return b"P6 %d %d 255\n" % (width, height) + bytes(12)
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\0"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame + b"\xff\xda\0\x08\x01\x01\0\0?\0" + bytes(9)


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (20_000, 20_000), (60_000, 60_000)])
@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "ppm", "jpg"])
def test_bomb(tmp_path: Path, kind: str, width: int, height: int) -> None:
    """Refused from the header; Pillow's own limits, at 89 and 179 million pixels, never speak."""
    path = tmp_path / f"a.{kind}"
    path.write_bytes(bomb(kind, width, height))
    assert path.stat().st_size < 200
    size = f"{width} x {height} = {width * height:,} pixels"
    assert message_of(path) == f"the picture is {size}, the limit is 100,000,000"
    assert MAX_PIXELS == 100_000_000


@needs_webp
@pytest.mark.parametrize("side", [10_001, 16_383])
def test_webp_bomb(tmp_path: Path, side: int) -> None:
    """WebP's decoder makes room when it opens the file, so Pillow's own limit comes first beyond 179 million."""
    path = tmp_path / "a.webp"
    Image.new("RGB", (8, 8)).save(path, lossless=True)
    content = bytearray(path.read_bytes())
    assert content[12:16] == b"VP8L"
    struct.pack_into("<I", content, 21, (side - 1) | (side - 1) << 14)
    path.write_bytes(content)
    message = message_of(path)
    assert f"{side * side:,}" in message or f"{side * side}" in message
    assert "100,000,000" in message


def test_gif_frame_larger_than_its_screen(tmp_path: Path) -> None:
    """The screen is 10 x 10, the frame claims 60000 x 60000."""
    path = tmp_path / "a.gif"
    content = bytearray(bomb("gif", 60_000, 60_000))
    struct.pack_into("<HH", content, 6, 10, 10)
    path.write_bytes(content)
    assert "the limit is 100,000,000" in message_of(path)


def test_large_picture_below_the_limit_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's limits have no say: the same with both of them far too low."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    assert read_image(path).shape == (3, 5, 7)


def test_limit_itself_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 35)
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    assert read_image(path).shape == (3, 5, 7)
    monkeypatch.setattr(images, "MAX_PIXELS", 34)
    assert message_of(path) == "the picture is 7 x 5 = 35 pixels, the limit is 34"


@pytest.mark.parametrize(
    "header", [b"P5 4 4 255\n123", b"P6 4 4 100\n123", b"P2 4 4 255\n1 2 3", b"P1 4 4\n101", b"P5"]
)
def test_short_ppm(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(header)
    assert message_of(path).startswith("this PPM picture cannot be decoded, it is damaged or cut short: ")


@pytest.mark.parametrize("content", [b"P6 0 4 255\n", b"P5 4 0 255\n", b"P6 -4 -4 255\n" + bytes(48)])
def test_picture_without_pixels(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(content)
    assert message_of(path).startswith("this PPM picture cannot be decoded, it is damaged or cut short: ")


FILES = ("png", "jpg", "gif", "bmp", "ppm", pytest.param("webp", marks=needs_webp))


@pytest.mark.parametrize("suffix", FILES)
def test_every_truncation(tmp_path: Path, suffix: str) -> None:
    """Cut anywhere, a file is an error; only when nothing but padding was cut may the whole picture still come out."""
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(COLOURS).save(whole)
    content, picture = whole.read_bytes(), read_image(whole)
    path = tmp_path / f"cut.{suffix}"
    read = []
    for length in range(len(content)):
        path.write_bytes(content[:length])
        result = picture_or_message(path)
        if isinstance(result, str):
            assert result.startswith(f"{path}: ")
        else:
            np.testing.assert_array_equal(result, picture)
            read.append(length)
    # What may be missing: PNG's closing chunk, JPEG's end marker, GIF's end byte.
    assert len(content) - min(read, default=len(content)) <= 20


@pytest.mark.parametrize("suffix", FILES)
def test_damaged_bytes(tmp_path: Path, suffix: str) -> None:
    """Random damage gives a picture or an `ImageError`, never a warning or another exception."""
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(COLOURS).save(whole)
    content = whole.read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    chance = random.Random(suffix)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        path.write_bytes(damaged)
        result = picture_or_message(path)
        if isinstance(result, str):
            assert result.startswith(f"{path}: ")
        else:
            bytes_of(result)


def test_truncated_message(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:10_000])
    message = message_of(path)
    assert message.startswith("this JPEG picture cannot be decoded, it is damaged or cut short: ")
    assert "truncated" in message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory to decode this PNG picture"),
        (SyntaxError("odd"), "this PNG picture cannot be decoded, it is damaged or cut short: odd"),
        (EOFError(), "this PNG picture cannot be decoded, it is damaged or cut short: EOFError"),
        (struct.error("few"), "this PNG picture cannot be decoded, it is damaged or cut short: few"),
        (RecursionError("deep"), "this PNG picture cannot be decoded, it is damaged or cut short: deep"),
        (OSError(5, "Input/output error"), "this PNG picture cannot be read: Input/output error"),
    ],
)
def test_whatever_pillow_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)

    def fail(_: ImageFile.ImageFile) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    assert message_of(path) == message


@pytest.mark.parametrize("exif", [b"garbage!", b"", b"MM\0*\0\0\0\x08\xff\xff", b"MM"])
def test_damaged_exif_of_a_png_is_ignored(tmp_path: Path, exif: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, 8, 2, b"\0\x01\x02\x03", png_chunk(b"eXIf", exif)))
    np.testing.assert_array_equal(bytes_of(read_image(path)), [[[1, 2, 3]]])


def test_odd_metadata_gives_no_warning(tmp_path: Path) -> None:
    """A wrong animation header makes Pillow warn; pytest would turn that into an error."""
    path = tmp_path / "a.png"
    broken = png_chunk(b"acTL", struct.pack(">II", 0, 0))
    path.write_bytes(png(1, 1, 8, 2, b"\0\x01\x02\x03", broken))
    np.testing.assert_array_equal(bytes_of(read_image(path)), [[[1, 2, 3]]])


def test_threads_leave_the_warning_filters_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [read_image(path) for _ in range(30)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_file_is_closed(tmp_path: Path) -> None:
    """pytest turns an unclosed file into an error only when it is collected; count the open ones instead."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc here")
    good, bad = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(COLOURS).save(good)
    bad.write_bytes(good.read_bytes()[:60])
    before = len(os.listdir("/proc/self/fd"))
    read_image(good)
    message_of(bad)
    assert len(os.listdir("/proc/self/fd")) == before


# ---------------------------------------------------------------- which files are meant


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures and other things in it, made the current one; the files are empty."""
    for name in ("b.png", "a.JPG", "c.webp", ".hidden.png", "notes.txt", "[1].png", "sub/d.gif", "sub.png/e.bmp"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_find_files(folder: Path) -> None:
    assert find_images([]) == []
    assert find_images(["photos/b.png", "missing.jpg", "photos/notes.txt", "photos/b.png"]) == [
        "photos/b.png",
        "missing.jpg",
        "photos/notes.txt",
        "photos/b.png",
    ]


def test_find_folder(folder: Path) -> None:
    expected = ["photos/[1].png", "photos/a.JPG", "photos/b.png", "photos/c.webp"]
    assert find_images(["photos"]) == expected
    assert find_images(["photos/", "x.png"]) == [*expected, "x.png"]


def test_find_pattern(folder: Path) -> None:
    assert find_images(["photos/*.png"]) == ["photos/[1].png", "photos/b.png"]
    assert find_images(["photos/?.*"]) == ["photos/a.JPG", "photos/b.png", "photos/c.webp"]
    assert find_images(["photos/[bc].*", "photos/b.png"]) == ["photos/b.png", "photos/c.webp", "photos/b.png"]
    assert find_images(["**/*.gif"]) == ["photos/sub/d.gif"]
    assert find_images(["photos/[1].png"]) == ["photos/[1].png"]  # the name of a file, not a pattern


def test_find_nothing(folder: Path) -> None:
    with pytest.raises(ImageError) as caught:
        find_images(["empty"])
    assert str(caught.value) == (
        "empty: no picture in this folder; looked for .jpg .jpeg .png .bmp .ppm .pgm .pbm .pnm .gif .webp"
    )
    with pytest.raises(ImageError) as caught:
        find_images(["photos/*.tif"])
    assert str(caught.value) == "photos/*.tif: no file matches this pattern"
    with pytest.raises(ImageError, match="no file matches"):
        find_images(["emp*"])  # matches a folder only


def test_folder_that_cannot_be_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("minidarknet.images.os.listdir", refuse)
    with pytest.raises(ImageError) as caught:
        find_images(["photos"])
    monkeypatch.undo()
    assert str(caught.value) == "photos: this folder cannot be listed: Permission denied"
