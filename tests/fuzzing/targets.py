"""All fuzz targets, by name."""

from __future__ import annotations

from tests.fuzzing import files, records, values

TARGETS = {target.name: target for module in (records, files, values) for target in module.TARGETS}
