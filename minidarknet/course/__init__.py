"""The course's side of the package: what checks the exercises of `lessons/`.

    from minidarknet.course import check

    check("3.1", output_side)

`checking.py` says what a check is; `lessonNN.py` has those of one lesson; `stubs.py` makes the copy that a learner
begins with, and `copies.py` runs it.
"""

from __future__ import annotations

from minidarknet.course.checking import check

__all__ = ["check"]
