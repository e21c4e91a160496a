from stream_app.domain.chosen import Waiting
from stream_app.domain.customer import Customers
from stream_app.domain.messages import ComponentMessage

class UsualEvents:
    def __init__(self, customers: Customers) -> None: ...
    def gather(
        self, messages: list[ComponentMessage], start: int, waiting: dict[str, list[Waiting]]
    ) -> int: ...
    def take(self, events: list[Waiting], start: int) -> int: ...
