"""`minidarknet trace --verify`: every stage beside what others make of the same inputs."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidarknet.network import Network
    from minidarknet.trace import Trace
    from minidarknet.trace.dump import Dump
    from minidarknet.trace.verify import Check

#: Whom a trace is compared with, and how the table calls them.
WAYS = {"float64": "float64", "onnx": "ONNX Runtime", "darknet": "Darknet"}


def verified(net: Network, run: Trace, dump: Dump | None) -> dict[str, list[Check]]:
    """A check for each stage, by each way that there is; one line says where ONNX Runtime is not installed."""
    from minidarknet import console
    from minidarknet.trace import onnx_check
    from minidarknet.trace.dump import compare, input_difference
    from minidarknet.trace.verify import verify

    found = {"float64": verify(net, run)}
    if onnx_check.installed():
        found["onnx"] = onnx_check.check(net, run)
    else:
        console.note("ONNX Runtime: not installed (pip install 'minidarknet[onnx]')")
    if dump is not None:
        found["darknet"] = compare(dump, run)
        if dump.input is not None and (off := input_difference(dump, run)):
            console.note(f"{dump.path} is of another input, up to {off:.2g} off: its layers are too")
    return found


def as_values(found: dict[str, list[Check]], bound: float) -> dict[str, Any]:
    """For `--json`; None is where nothing was compared, or what is infinite."""
    stages = []
    for number, check in enumerate(found["float64"]):
        record: dict[str, Any] = {"layer": check.stage.layer, "kind": check.stage.kind, "name": check.stage.name}
        for way, checks in found.items():
            other = checks[number]
            record[way] = None if other.relative is None else _values(other, bound)
        stages.append(record)
    return {"bound": bound, "compared_with": list(found), "stages": stages}


def _values(check: Check, bound: float) -> dict[str, Any]:
    values = {"absolute": check.absolute, "relative": check.relative}
    finite = {key: value if value is not None and math.isfinite(value) else None for key, value in values.items()}
    return {**finite, "passed": check.passed(bound)}


def print_verified(found: dict[str, list[Check]]) -> None:
    """A row for each stage: the largest error, and that as a share of the stage's largest number."""
    from minidarknet import console

    titles = ["layer ", "stage "]
    for way in found:
        titles += [WAYS[way], "relative"]
    rows, before = [], -1
    for number, check in enumerate(found["float64"]):
        stage = check.stage
        row = [f"{stage.layer:2d} {stage.kind}" if stage.layer != before else "", stage.name]
        for checks in found.values():
            other = checks[number]
            row += ["", ""] if other.relative is None else [f"{other.absolute:.1e}", f"{other.relative:.1e}"]
        rows.append(row)
        before = stage.layer
    console.result("\nlargest error of each stage")
    console.table(titles, rows)


def verdict(found: dict[str, list[Check]], options: argparse.Namespace) -> int:
    """Say for each way what was compared and where it is worst; 1 where a stage is beyond the bound."""
    from minidarknet import console

    failed = False
    for way, checks in found.items():
        compared = [check for check in checks if check.relative is not None]
        beyond = [check for check in compared if not check.passed(options.bound)]
        failed = failed or bool(beyond)
        for check in beyond[:10]:
            value = f"its {WAYS[way]} value" if way == "float64" else WAYS[way]
            console.error(
                f"{check.stage.title}: {check.absolute:.2e} from {value}, {check.relative:.2e} of the largest"
            )
        if not compared:
            console.note(f"{WAYS[way]}: nothing to compare")
            continue
        worst = max(compared, key=lambda check: check.relative or 0)
        rest = sorted({check.stage.kind for check in checks} - {check.stage.kind for check in compared})
        console.note(
            f"verified {len(compared)} stages {'in' if way == 'float64' else 'with'} {WAYS[way]}: at most "
            f"{worst.relative:.1e} of a stage's largest number ({worst.stage.title}); the bound is {options.bound:g}"
            + (f"; not compared: {', '.join(rest)}" if rest else "")
        )
    return int(failed)
