"""`make screenshots`: draw the README's pictures from what the commands really print and write.

The page of a trace needs a Chromium to be seen with; without one its picture is left as it is.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.text import Text

from minidarknet.cli import main

REPOSITORY = Path(__file__).resolve().parent.parent
IMAGES = REPOSITORY / "docs/images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: The digit that is traced, by its number in the package's data: a seven.
DIGIT = 7
#: The window, in pixels.
WIDTH, HEIGHT = 1260, 1420


def draw_table() -> Path:
    """The layer table of Tiny Darknet in a terminal."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = main(["summary", str(REPOSITORY / "cfg/tiny.cfg")])
    assert code == 0
    console = Console(record=True, width=88, file=io.StringIO())
    console.print(Text(printed.getvalue().rstrip()))
    svg = console.export_svg(title="minidarknet summary cfg/tiny.cfg")
    # Rich's picture asks another server for its font; a reader's own monospace font serves as well.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    target = IMAGES / "summary.svg"
    target.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
    return target


def draw_page(browser: str) -> Path:
    """The upper part of the page of a handwritten digit."""
    with tempfile.TemporaryDirectory() as folder:
        digit, page, shot = (Path(folder) / name for name in ("seven.png", "seven.html", "shot.png"))
        with np.load(REPOSITORY / "minidarknet/digits.npz") as data:
            Image.fromarray(data["x"][DIGIT, 0]).save(digit)
        with redirect_stdout(io.StringIO()):
            code = main(["trace", "digits", str(digit), "--html", str(page)])
        assert code == 0
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/user"]
        window = [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", page.as_uri()]
        subprocess.run([browser, *options, *window], check=True, stderr=subprocess.DEVNULL)
        with Image.open(shot) as picture:
            target = IMAGES / "trace.png"
            picture.convert("RGB").save(target, optimize=True)
    return target


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    print(draw_table().relative_to(REPOSITORY))
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found:
        print(draw_page(found).relative_to(REPOSITORY))
    else:
        print("docs/images/trace.png is left as it is: no Chromium or Chrome on this machine", file=sys.stderr)
