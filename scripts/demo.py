"""`make demo`: Tiny Darknet's layer table, then a photo classified, with whatever weights this machine has.

No model of our own ships with the package yet, so the photo needs the published weights: fetched ones (`minidarknet
fetch tiny`), or those in the folder that MINIDARKNET_SHARED names (default ../shared). Without either, the demo says so
and draws a network with random weights instead, which runs all the same kernels and knows nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from minidarknet import zoo
from minidarknet.cli import main

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MINIDARKNET_SHARED", REPOSITORY.parent / "shared"))


def run(*arguments: str) -> None:
    """Show a command and run it; the demo ends where it fails."""
    print(f"\n$ minidarknet {' '.join(arguments)}", flush=True)
    if code := main(arguments):
        sys.exit(code)


def picture(folder: str) -> str:
    """A photo of a dog where there is one, else a drawn picture."""
    for photo in (SHARED / "golden/images/dog.png", SHARED / "data/dog.jpg"):
        if photo.is_file():
            return str(photo)
    y, x = np.mgrid[0:240, 0:320]
    path = Path(folder, "rings.png")
    Image.fromarray((127 + 127 * np.sin(np.hypot(x - 160, y - 120) / 9)).astype(np.uint8)).save(path)
    return str(path)


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    run("summary", "cfg/tiny.cfg")
    with tempfile.TemporaryDirectory() as folder:
        image = picture(folder)
        fetched, given = zoo.locate("tiny").weights, SHARED / "data/tiny.weights"
        if fetched:
            run("classify", "tiny", image)
        elif given.is_file():
            run("classify", "cfg/tiny.cfg", str(given), image, "--names", str(SHARED / "data/imagenet.names"))
        else:
            print("\nThere are no weights on this machine yet (`minidarknet fetch tiny` downloads the published ones).")
            print("With random ones the answers below mean nothing, but every layer runs:")
            run("classify", "cfg/tiny.cfg", image, "--random-weights", "1", "--preprocess", "letterbox")
