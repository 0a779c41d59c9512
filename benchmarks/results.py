"""Results are written as JSON with every sample, and most of them as a picture where matplotlib is installed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minidarknet.files import atomic_write


def write(folder: Path, name: str, report: dict[str, Any], draw: Callable[[dict[str, Any]], Any] | None = None) -> None:
    """Write NAME.json into the folder and, where `draw` makes a matplotlib figure of the report, NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{name}.json"]
    with atomic_write(written[0]) as file:
        file.write(json.dumps(report, allow_nan=False).encode() + b"\n")
    try:
        figure = draw(report) if draw else None
    except ModuleNotFoundError as error:
        print(f"no picture: the Python package {error.name} is missing", file=sys.stderr)
        figure = None
    if figure:
        picture = io.BytesIO()
        figure.savefig(picture, dpi=120, bbox_inches="tight")
        written.append(folder / f"{name}.png")
        with atomic_write(written[1]) as file:
            file.write(picture.getvalue())
    print("written: " + ", ".join(map(str, written)), file=sys.stderr)
