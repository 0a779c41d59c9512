"""`minidarknet warmup [CFG ...]`: compile the kernels ahead of the first picture."""

from __future__ import annotations

import argparse

from minidarknet.cli.bench import count_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cfg", nargs="*", help="cfg files, or names of known networks (default: what all known networks and bench need)"
    )


def run(options: argparse.Namespace) -> int:
    from time import perf_counter

    from minidarknet import benchmark, console, zoo
    from minidarknet.errors import InputError
    from minidarknet.files import cache_folder
    from minidarknet.kernels.jit import announce_compiling, kernel_folder
    from minidarknet.network import Network

    benchmark.check_compiled()
    folder = kernel_folder()
    if folder is None:
        raise InputError(
            f"there is no folder to keep compiled kernels in: {cache_folder()} cannot be written. "
            "Set MINIDARKNET_CACHE to a folder that can"
        )
    networks = [Network.from_cfg(zoo.find_cfg(word)) for word in options.cfg or zoo.SYSTEMS]
    for network in networks:
        network.check_runs()
    compiled: list[str] = []

    def started(name: str) -> None:
        compiled.append(name)
        console.note(f"compiling {name} ...")

    start = perf_counter()
    with announce_compiling(started):
        for network in networks:
            console.note(f"running {network.path} ...")
            benchmark.run_all_kernels(network)
        if not options.cfg:
            benchmark.run_peak_kernels()
    seconds = perf_counter() - start
    if compiled:
        console.result(f"compiled {count_of(len(compiled), 'kernel')} in {seconds:.1f} s; they are kept in {folder}")
    else:
        console.result(f"nothing to compile: all kernels are in {folder}")
    return 0
