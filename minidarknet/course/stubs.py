"""A learner's copy of a lesson: the same text, with the solutions of the exercises taken out.

    def double(x):                          def double(x):
        ### BEGIN SOLUTION                      # about 1 line
        return 2 * x                ->          raise NotImplementedError
        ### END SOLUTION

For a bug to repair, the broken lines stand behind the right ones as comments, and take their place:

    def double(x):                          def double(x):
        ### BEGIN SOLUTION                      return x * x
        return 2 * x
        ### BEGIN STUB              ->
        # return x * x
        ### END SOLUTION
"""

from __future__ import annotations

from minidarknet.errors import InputError

BEGIN, STUB, END = "### BEGIN SOLUTION", "### BEGIN STUB", "### END SOLUTION"


def learners_copy(text: str, name: str = "lesson") -> str:
    """The text of a lesson, or of one cell, as a learner gets it.

    Raises
    ------
    InputError
        Markers that do not belong together; the message begins with `name` and the line.
    """
    lines: list[str] = []
    solution: list[str] = []
    stub: list[str] | None = None
    inside = False
    for number, line in enumerate(text.split("\n"), start=1):
        marker = line.strip()
        place = f"{name}:{number}: {marker!r}"
        if marker == BEGIN:
            if inside:
                raise InputError(f"{place} before the '{END}' of the one above")
            inside, solution, stub = True, [], None
        elif marker == STUB:
            if not inside or stub is not None:
                raise InputError(f"{place}: expected it once, between '{BEGIN}' and '{END}'")
            stub = []
        elif marker == END:
            if not inside or not any(map(str.strip, solution)):
                raise InputError(f"{place}: expected '{BEGIN}' and a solution above it")
            lines += _replacement(line[: line.index("#")], solution, stub)
            inside = False
        elif not inside:
            lines.append(line)
        elif stub is None:
            solution.append(line)
        else:
            stub.append(_uncommented(line, place))
    if inside:
        raise InputError(f"{name}: '{BEGIN}' without '{END}'")
    return "\n".join(lines)


def has_solution(text: str) -> bool:
    """Whether a cell is an exercise."""
    return any(line.strip() == BEGIN for line in text.split("\n"))


def _replacement(indent: str, solution: list[str], stub: list[str] | None) -> list[str]:
    if stub is not None:
        return stub
    count = sum(1 for line in solution if line.strip() and not line.strip().startswith("#"))
    return [f"{indent}# about {count} line{'s' * (count != 1)}", f"{indent}raise NotImplementedError"]


def _uncommented(line: str, place: str) -> str:
    if not line.strip() or line.strip() == "#":
        return ""
    indent, mark, rest = line.partition("# ")
    if not mark or indent.strip():
        raise InputError(f"{place}: expected '# ' and a line of the broken version")
    return indent + rest
