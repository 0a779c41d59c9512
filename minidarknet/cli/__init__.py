"""The command line: `minidarknet COMMAND ...`. Each command is a file of this folder with `add_arguments` and `run`.

Exit codes: 0 ok, 1 a check failed, 2 usage, 3 bad input, 4 non-finite numbers, 130 interrupted (143 by SIGTERM). A
command's file imports what it needs inside `run`, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from minidarknet.errors import MinidarknetError

#: Every command and what it does; the file of the same name in this folder has the rest.
COMMANDS = {
    "summary": "print the layer table of a cfg, as Darknet does, and what it adds up to",
    "classify": "say what is in pictures",
    "fetch": "download the published weights and class names of a known network",
    "validate": "say how often a network is right about pictures whose class is known, and where it goes wrong",
    "train": "teach a network: it can be stopped or killed at any moment, and goes on to the same bits",
    "new": "make a cfg of your own from a known one: for other classes, with frozen layers",
    "partial": "keep the first layers of a weights file, as a start for another network",
    "explain-cfg": "say what every section and option of a cfg means, with type, default and bounds",
    "trace": "watch a picture flow through a network: every stage with its numbers, verified if you like",
    "explain": "take one output number apart, down to single multiply-adds, and follow it back to a pixel",
    "bench": "measure how fast a network is on this machine, layer by layer",
    "compare": "set networks side by side: operations, parameters, size, time, and accuracy on pictures of yours",
    "augment": "draw what a network will see of its training pictures, on a contact sheet",
    "lesson": "the course: list its lessons, begin one, and have your exercises checked",
    "warmup": "compile the kernels ahead, so that nothing waits for them later",
}

EPILOG = """\
examples:
  minidarknet summary cfg/tiny.cfg
  minidarknet fetch tiny
  minidarknet classify tiny dog.jpg
  minidarknet classify cfg/tiny.cfg tiny.weights dog.jpg --names imagenet.names
  minidarknet train photos/ my.cfg
  minidarknet validate photos/ my.cfg my.weights
  minidarknet trace tiny dog.jpg
  minidarknet bench tiny
  minidarknet compare tiny squeezenet
  minidarknet lesson list

exit codes: 0 ok, 1 a check failed, 2 usage, 3 bad input, 4 non-finite numbers, 130 interrupted,
  141 the reader of the output has gone
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="minidarknet",
        description="Darknet that a person can read.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        if name in words:
            module = importlib.import_module(f"minidarknet.cli.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    options = parser.parse_args(words)
    if options.version:
        from minidarknet import __version__

        print(f"minidarknet {__version__}")
        return 0
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    return _guarded(options)


def _guarded(options: argparse.Namespace) -> int:
    """Run the chosen command; a user's mistake becomes a message and an exit code, never a traceback."""
    from minidarknet import console

    try:
        with console.warnings_on_screen():
            code = int(options.run(options))
        sys.stdout.flush()
        return code
    except MinidarknetError as error:
        console.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.note("interrupted")
        return 130
    except MemoryError:
        console.error("out of memory; take a smaller batch or input, or set MINIDARKNET_MEMORY (MiB)")
        return 3
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). Nobody is left to tell; keep Python from trying at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
