"""The engine on devices other than the CPU: `DeviceCore`.

From the host comes one array of integers for each batch (`packing`, `transfers`); the
encoder and a head compute (`layers`, `core`); results wait to be fetched (`pending`).
Short calls are recorded once and played again (`graphs`).
"""

from minidistil.engine.gpu.core import DeviceCore

__all__ = ["DeviceCore"]
