from collections.abc import Iterable, Sequence

from stream_app.domain.event import ChannelEvent
from stream_app.domain.profile import Profile

def encode_payload(event: ChannelEvent) -> bytes: ...
def encode_profile(
    customer_id: str,
    version: int,
    identifiers: Sequence[str],
    profile: Profile,
    segments: Iterable[str] = (),
) -> bytes: ...
