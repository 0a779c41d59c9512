"""`make screenshots`: draw the README's picture of the layer table from what the command really prints."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

from rich.console import Console
from rich.text import Text

from minidarknet.cli import main

REPOSITORY = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = main(["summary", str(REPOSITORY / "cfg/tiny.cfg")])
    assert code == 0
    console = Console(record=True, width=88, file=io.StringIO())
    console.print(Text(printed.getvalue().rstrip()))
    svg = console.export_svg(title="minidarknet summary cfg/tiny.cfg")
    # Rich's picture asks another server for its font; a reader's own monospace font serves as well.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    target = REPOSITORY / "docs/images/summary.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
    print(target.relative_to(REPOSITORY))
