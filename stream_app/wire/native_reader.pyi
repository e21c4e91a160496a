from stream_app.domain.event import ChannelEvent
from stream_app.wire.limits import Limits

def read_event(data: bytes, start: int, limits: Limits) -> tuple[ChannelEvent, int]: ...
