"""What a layer does, in a sentence with its own numbers, and the arithmetic behind its operations."""

from __future__ import annotations

from minidarknet.layers.base import Layer
from minidarknet.shapes import Shape


def sides(shape: Shape) -> str:
    """`56x56x16`: width, height, channels; a vector is `1000`."""
    if shape.height == shape.width == 1:
        return f"{shape.channels:,}"
    return f"{shape.width}x{shape.height}x{shape.channels}"


def summary(layer: Layer) -> str:
    """One line: `32 filters of 3x3x16 over 112x112: 0.116 BFLOPs`."""
    o, options = layer.out_shape, layer.options
    if layer.kind in ("convolutional", "deconvolutional", "local"):
        part = layer.in_shape.channels // getattr(options, "groups", 1)
        text = f"{options.filters:,} filters of {options.size}x{options.size}x{part} over {o.width}x{o.height}"
        if layer.kind == "deconvolutional":
            text = f"{options.filters:,} filters of {options.size}x{options.size} paint {o.width}x{o.height}"
        return text + billions(layer)
    if layer.kind == "connected":
        return f"{o.size:,} numbers, each of all {layer.in_shape.size:,}{billions(layer)}"
    if layer.kind == "maxpool":
        size = layer.window() or (0, 0)
        return f"the largest of each {size[0]}x{size[0]} window: {sides(layer.in_shape)} becomes {sides(o)}"
    if layer.kind == "avgpool":
        return f"the mean of each channel: {sides(layer.in_shape)} becomes {sides(o)}"
    if layer.kind == "softmax":
        return f"{o.size:,} scores become probabilities that add up to 1"
    if layer.kind == "route":
        read = " and ".join(map(str, layer.reads))
        several = len(layer.reads) > 1
        return f"the output{'s' if several else ''} of layer{'s' if several else ''} {read}: {sides(o)}"
    if layer.kind == "shortcut":
        return f"layer {layer.reads[1]} is added: {sides(o)}"
    if layer.kind == "dropout":
        return f"drops numbers in training only: {sides(o)} passes through"
    return f"{sides(layer.in_shape)} becomes {sides(o)}"


def billions(layer: Layer) -> str:
    """`: 0.116 BFLOPs`, the operations of a small layer, or nothing where there is nothing to multiply."""
    flops = layer.flops()
    return "" if not flops else f": {flops / 1e9:.3f} BFLOPs" if flops >= 500_000 else f": {flops:,} operations"


def arithmetic(layer: Layer) -> str:
    """How the operations and the learned numbers come about, in words and numbers."""
    o, options, flops = layer.out_shape, layer.options, layer.flops()
    learned = sum(parameter.size for parameter in layer.parameters())
    numbers = f" {learned:,} learned numbers." if learned else ""
    if layer.kind == "convolutional":
        part = layer.in_shape.channels // options.groups
        products = part * options.size**2
        places = o.width * o.height
        step = f", every {options.stride} cells" if options.stride > 1 else ""
        groups = f" (in {options.groups} groups, each of {part} of {layer.in_shape.channels} channels)"
        return (
            f"{sides(layer.in_shape)} comes in, {sides(o)} goes out{step}. Each of {places:,} places has a number for "
            f"each of {options.filters:,} filters{groups if options.groups > 1 else ''}, the sum of "
            f"{options.size} x {options.size} x {part} = {products:,} products: 2 x {products:,} x {options.filters:,} "
            f"x {places:,} = {flops:,} operations, a multiply-add being two.{numbers}"
        )
    if layer.kind == "connected":
        return (
            f"Each of {o.size:,} numbers is the sum of {layer.in_shape.size:,} products: 2 x {layer.in_shape.size:,} x "
            f"{o.size:,} = {flops:,} operations, a multiply-add being two.{numbers}"
        )
    counted = f" {flops:,} operations." if flops else " No products, so no operations by Darknet's count."
    return f"{sides(layer.in_shape)} comes in, {sides(o)} goes out.{counted}{numbers}"
