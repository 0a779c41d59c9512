"""`make demo`: the table of a small network, and what it says of handwritten digits that it has not learned from.

Nothing is needed but this package, which carries network, weights and pictures.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from minidarknet.cli import main
from minidarknet.data import open_dataset

#: What is held out of the set, and the places of three pictures in it.
HELD_OUT, SHOWN = open_dataset("digits", "valid", channels=1), (0, 100, 200)
SHADES = " .:*#"


def run(*arguments: str) -> None:
    """Show a command and run it; the demo ends where it fails."""
    print(f"\n$ minidarknet {' '.join(arguments)}", flush=True)
    if code := main(arguments):
        sys.exit(code)


def drawn(pixels: np.ndarray) -> str:
    """A picture (height, width) of bytes in letters, two for each pixel, which are higher than wide."""
    rows = (pixels.astype(int) * len(SHADES) // 256).tolist()
    return "\n".join("    " + "".join(2 * SHADES[shade] for shade in row) for row in rows)


if __name__ == "__main__":
    run("summary", "digits")
    with tempfile.TemporaryDirectory() as folder:
        for place in SHOWN:
            pixels = np.rint(255 * HELD_OUT.image(place)[0]).astype(np.uint8)
            picture = Path(folder, f"a-{HELD_OUT.names[HELD_OUT.labels[place]]}.png")
            Image.fromarray(pixels).save(picture)
            print(f"\n{drawn(pixels)}", flush=True)
            run("classify", "digits", str(picture), "--top", "3")
    print("\nPhotos are next: `minidarknet fetch tiny`, then `minidarknet classify tiny dog.jpg`.")
    print("Or train this network yourself, in less than a minute: `minidarknet train digits`.")
