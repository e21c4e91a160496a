from typing import TypeVar

from stream_app.engine import layers

_V = TypeVar("_V")

class Layers(layers.Layers[_V]): ...
