from collections.abc import Callable

from stream_app.domain.rows import IdentifierRow

def forward(
    value: bytes | None, row_of: Callable[[bytes], IdentifierRow | None]
) -> tuple[bytes, bytes] | None: ...
