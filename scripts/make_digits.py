"""Make minidarknet/digits.npz and digits.names from the copy of the data that scikit-learn carries.

    pip install scikit-learn
    python scripts/make_digits.py

The 1,797 pictures of 8x8 pixels have 17 shades, 0 to 16, which become 0 to 255; their order stays. The file's bytes
follow from its contents: no dates, the same compression each time.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGE = Path(__file__).resolve().parent.parent / "minidarknet"
NAMES = [str(digit) for digit in range(10)]


def arrays() -> dict[str, NDArray[np.generic]]:
    """What the file holds: pictures (1797, 1, 8, 8) as bytes, their classes, and what the classes are called."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    shades = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return {"x": shades[:, None], "y": digits.target.astype(np.uint8), "names": np.array(NAMES)}


def pack(contents: dict[str, NDArray[np.generic]]) -> bytes:
    """An .npz file without dates in it."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, array in contents.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, part.getvalue(), zipfile.ZIP_DEFLATED, 9)
    return whole.getvalue()


if __name__ == "__main__":
    (PACKAGE / "digits.npz").write_bytes(pack(arrays()))
    (PACKAGE / "digits.names").write_text("\n".join(NAMES) + "\n")
    print(f"written: {PACKAGE / 'digits.npz'}")
