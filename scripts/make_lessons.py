"""`make lessons`: each `lessons/NN_name.py` becomes `NN_name.ipynb`, run from its first cell to its last.

The notebooks are committed, so that their pictures can be seen where nothing is installed. The same script on the
same machine gives the same file, but for what cells tagged `volatile` print.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from minidarknet import zoo
from minidarknet.course import notebooks
from minidarknet.course.lessons import Lesson, lessons
from minidarknet.errors import MinidarknetError
from minidarknet.files import atomic_write

REPOSITORY = Path(__file__).resolve().parent.parent
#: Seconds that one cell may take.
PATIENCE = 300


def make(lesson: Lesson) -> None:
    """Write the notebook of a lesson beside its script."""
    notebook = notebooks.from_script(lesson.path.read_text("utf-8"))
    if any("weights" in tags(cell) for cell in notebook.cells) and zoo.locate("tiny").weights is None:
        raise MinidarknetError(f"{lesson.path.name} shows Tiny Darknet's weights: run `minidarknet fetch tiny` first")
    notebook.metadata["minidarknet"] = {"generated": f"from {lesson.path.name} by `make lessons`"}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as sockets:
        private = {"transport": "ipc", "ip": f"{sockets}/kernel"}  # nobody else on the machine can listen
        client = NotebookClient(
            notebook,
            timeout=PATIENCE,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            config=Config({"KernelManager": private}),
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise MinidarknetError(f"{lesson.path.name}: a cell fails\n{error}") from None
        if left := sorted(path.name for path in Path(folder).iterdir()):
            raise MinidarknetError(f"{lesson.path.name} leaves files where it runs: {', '.join(left)}")
    for number, cell in enumerate(notebook.cells, start=1):
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":
            cell.outputs = [tidied(output, f"{lesson.path.name}, cell {number}") for output in joined(cell.outputs)]
    notebook.metadata["language_info"] = {"name": "python"}  # the kernel adds its version
    with atomic_write(lesson.path.with_suffix(".ipynb")) as file:
        file.write(notebooks.written(notebook))


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def joined(outputs: list[Any]) -> list[Any]:
    """Outputs with printed text in as few pieces as possible: how a kernel parts it is chance."""
    found: list[Any] = []
    for output in outputs:
        if found and output.output_type == "stream" and found[-1].get("name") == output.name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def tidied(output: Any, place: str) -> Any:
    """An output that is fit to be committed: printed text or a picture."""
    if output.output_type == "stream" and output.name == "stderr":
        raise MinidarknetError(f"{place} writes to stderr, which a reader takes for a failure: {output.text}")
    if output.output_type == "execute_result":
        raise MinidarknetError(f"{place} ends with a bare expression; print it, or show the picture by plt.show()")
    return output


def main(only: list[str]) -> int:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")  # jupyter warns where nobody has chosen
    os.environ.pop("MPLBACKEND", None)  # the notebook's own draws into it
    known = {f"{lesson.number:02}": lesson for lesson in lessons()}
    wanted = [number.zfill(2) for number in only] or list(known)
    if odd := [number for number in wanted if number not in known]:
        print(f"there is no lesson {', '.join(odd)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for number in wanted:
        start = perf_counter()
        try:
            make(known[number])
        except MinidarknetError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        file = known[number].path.with_suffix(".ipynb")
        print(f"{file.name}: {perf_counter() - start:.1f} s, {file.stat().st_size / 1024:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
