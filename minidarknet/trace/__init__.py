"""Seeing inside a network: what every stage of every layer makes of a picture.

    run = trace(network, picture)          all stages, with their numbers and arrays
    for stage in run.stages:
        print(stage.layer, stage.name, stage.mean, stage.dead)
    save_npz("dog.npz", run)               and other files: files.py, montage.py, and page.py for all of it in a browser

Tracing reads `Network.stages` and changes nothing: an untraced run pays nothing for it, and gives the same bits. What
becomes of a network while it learns is traced by `minidarknet.trace.training`.
"""

from minidarknet.trace.records import SCHEMA, Stage, Trace, trace

__all__ = ["SCHEMA", "Stage", "Trace", "trace"]
