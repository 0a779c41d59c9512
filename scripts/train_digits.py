"""`make digits`: train the network that comes with minidarknet, twice, and keep it where both are the same bytes.

The same bytes come out on any number of threads, and on any machine whose processor has registers of the same width;
elsewhere sums are in another order, and the network is as good.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from minidarknet.cli import main
from minidarknet.files import atomic_write

TARGET = Path(__file__).resolve().parent.parent / "minidarknet" / "digits.weights"


def trained() -> bytes:
    """The weights file of one run of `minidarknet train digits`."""
    with tempfile.TemporaryDirectory() as folder:
        if code := main(["train", "digits", "--backup", folder]):
            sys.exit(code)
        return Path(folder, "digits.weights").read_bytes()


if __name__ == "__main__":
    first, second = trained(), trained()
    if first != second:
        sys.exit("two runs have given two networks; they should be the same bytes")
    known = TARGET.is_file() and TARGET.read_bytes() == first
    with atomic_write(TARGET) as file:
        file.write(first)
    print(f"{TARGET.name}: {'as before' if known else 'new'}, sha256 {hashlib.sha256(first).hexdigest()}")
    sys.exit(main(["validate", "digits", "digits"]))
