"""The layer table is Darknet's, byte for byte, and the page's four systems have the page's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import golden_files
from minidarknet import summary, zoo
from minidarknet.cfg import parse_cfg
from minidarknet.cli import main
from minidarknet.network import Network

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("table", golden_files("tables/*.txt"), ids=lambda path: path.stem)
def test_tables_of_darknets_cfgs(table: Path, shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "--plain", str(shared / f"data/cfg/{table.stem}.cfg")]) == 0
    assert capfd.readouterr() == (table.read_text(), "")


@pytest.mark.parametrize("table", golden_files("layers/*.table.txt"), ids=lambda path: path.name.split(".")[0])
def test_tables_of_every_layer_type(table: Path) -> None:
    cfg = table.with_name(table.name.replace(".table.txt", ".cfg"))
    text = (
        cfg.read_text().replace("filters=77\n", "").replace("noSuchActivation", "relu").replace("unknown_key = 7", "")
    )
    assert summary.table(Network.from_cfg(parse_cfg(text, str(cfg)))) == table.read_text()


def test_the_golden_tables_are_there(golden: Path) -> None:
    assert len(golden_files("tables/*.txt")) == 17


@pytest.mark.parametrize(
    ("name", "operations", "parameters", "mebibytes"),
    [
        ("tiny", 983_048_192, 1_046_488, "4.0 MiB"),
        ("darknet", 805_142_528, 7_323_480, "27.9 MiB"),
        ("alexnet", 2_270_512_192, 62_378_344, "238.0 MiB"),
        ("squeezenet", 1_722_679_872, 1_248_424, "4.8 MiB"),
    ],
)
def test_the_four_systems(name: str, operations: int, parameters: int, mebibytes: str) -> None:
    network = Network.from_cfg(REPOSITORY / f"cfg/{name}.cfg")
    facts = summary.describe(network, batch=1)
    assert (facts["flops"], facts["parameters"]) == (operations, parameters)
    assert facts["weights_bytes"] == 4 * parameters + 20
    assert dict(summary.footer(network, 1))["weights file"].endswith(mebibytes)
    assert network.output_shape.size == 1000
    assert zoo.cfg_path(name) == REPOSITORY / f"cfg/{name}.cfg"


@pytest.mark.parametrize(
    ("ours", "darknets"),
    [("tiny", "tiny"), ("darknet", "darknet-2016"), ("alexnet", "alexnet"), ("squeezenet", "squeezenet")],
)
def test_our_cfgs_have_the_same_layers_as_darknets(ours: str, darknets: str, shared: Path) -> None:
    theirs = Network.from_cfg(shared / f"data/cfg/{darknets}.cfg")
    layers = [layer.table_row() for layer in theirs.layers if layer.kind != "cost"]
    network = Network.from_cfg(REPOSITORY / f"cfg/{ours}.cfg")
    assert [layer.table_row() for layer in network.layers] == layers
    activations = [getattr(layer.options, "activation", None) for layer in network.layers]
    assert activations == [
        getattr(layer.options, "activation", None) for layer in theirs.layers if layer.kind != "cost"
    ]


def test_receptive_fields() -> None:
    text = """[net]
    width=32
    height=32
    channels=3
    [conv]
    filters=4
    size=3
    pad=1
    [max]
    size=2
    stride=2
    [conv]
    filters=4
    size=3
    pad=1
    [route]
    layers=0
    [route]
    layers=-2,1
    [upsample]
    stride=2
    [conv]
    filters=2
    size=3
    pad=1
    [avg]
    """
    # 3; + 1 pixel; + 2 steps of 2; the route to layer 0; the larger of two; unchanged; + 2 steps of 1 again; all
    assert summary.receptive_fields(Network.from_cfg(parse_cfg(text))) == [3, 4, 8, 3, 8, 8, 10, None]


def test_activation_memory_counts_what_is_allocated() -> None:
    network = Network.from_cfg(REPOSITORY / "cfg/tiny.cfg")
    network.allocate(2)
    assert network.memory(2)["outputs"] == sum(layer.output.nbytes for layer in network.layers)
