"""All layers: the name of a cfg section, and the class that makes it. One section, one file, one class.

Read `base.py` first, then any other file in any order. A new layer is one new file and one new line here.
"""

from __future__ import annotations

from minidarknet.layers.activation import Activation
from minidarknet.layers.avgpool import Avgpool
from minidarknet.layers.base import Layer
from minidarknet.layers.batchnorm import Batchnorm
from minidarknet.layers.connected import Connected
from minidarknet.layers.convolutional import Convolutional
from minidarknet.layers.cost import Cost
from minidarknet.layers.crop import Crop
from minidarknet.layers.deconvolutional import Deconvolutional
from minidarknet.layers.detector import Detection, Iseg, Region, Yolo
from minidarknet.layers.dropout import Dropout
from minidarknet.layers.l2norm import L2norm
from minidarknet.layers.local import Local
from minidarknet.layers.logistic import Logistic
from minidarknet.layers.maxpool import Maxpool
from minidarknet.layers.normalization import Normalization
from minidarknet.layers.recurrent import Crnn, Gru, Lstm, Rnn
from minidarknet.layers.reorg import Reorg
from minidarknet.layers.route import Route
from minidarknet.layers.shortcut import Shortcut
from minidarknet.layers.softmax import Softmax
from minidarknet.layers.upsample import Upsample

LAYERS: dict[str, type[Layer]] = {
    "activation": Activation,
    "avg": Avgpool,
    "avgpool": Avgpool,
    "batchnorm": Batchnorm,
    "conn": Connected,
    "connected": Connected,
    "conv": Convolutional,
    "convolutional": Convolutional,
    "cost": Cost,
    "crnn": Crnn,
    "crop": Crop,
    "deconv": Deconvolutional,
    "deconvolutional": Deconvolutional,
    "detection": Detection,
    "dropout": Dropout,
    "gru": Gru,
    "iseg": Iseg,
    "l2norm": L2norm,
    "local": Local,
    "logistic": Logistic,
    "lrn": Normalization,
    "lstm": Lstm,
    "max": Maxpool,
    "maxpool": Maxpool,
    "normalization": Normalization,
    "region": Region,
    "reorg": Reorg,
    "rnn": Rnn,
    "route": Route,
    "shortcut": Shortcut,
    "soft": Softmax,
    "softmax": Softmax,
    "upsample": Upsample,
    "yolo": Yolo,
}
