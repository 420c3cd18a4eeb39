"""kafka-python's errors as ours: one line, no secret.

Every call of the Kafka adapter goes through `failing_as_stream_down`; nothing of kafka-python leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as kafka_errors

from contracts.errors import StreamDown
from services.gateways.event_stream.kafka.place import KafkaPlace


@contextmanager
def failing_as_stream_down(place: KafkaPlace) -> Iterator[None]:
    """Turn whatever goes wrong between us and the brokers into StreamDown."""
    try:
        yield
    except (kafka_errors.KafkaError, OSError, TimeoutError) as error:
        raise down(place, error) from error


def down(place: KafkaPlace, error: BaseException) -> StreamDown:
    """What to say of an error."""
    return StreamDown(f"{place.shown}: {reason_of(error)}")


def reason_of(error: BaseException) -> str:
    """One phrase; never the error's own words where they could hold what we sent."""
    match error:
        case kafka_errors.UnknownTopicOrPartitionError():
            return "the topic is not there; `rankgr topics create` makes it"
        case kafka_errors.TopicAuthorizationFailedError() | kafka_errors.GroupAuthorizationFailedError():
            return "this user may not"
        case kafka_errors.SaslAuthenticationFailedError() | kafka_errors.UnsupportedSaslMechanismError():
            return "the user or the password was refused"
        case kafka_errors.MessageSizeTooLargeError():
            return "the message is larger than the brokers take"
        case kafka_errors.KafkaTimeoutError() | kafka_errors.RequestTimedOutError() | TimeoutError():
            return "no answer in time"
        case kafka_errors.KafkaConnectionError() | kafka_errors.NodeNotReadyError() | OSError():
            return "cannot connect, or the connection was lost"
        case kafka_errors.CommitFailedError() | kafka_errors.RebalanceInProgressError():
            return "the group is handing out its partitions anew"
        case _:
            return type(error).__name__
