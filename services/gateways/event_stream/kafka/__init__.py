"""Parts of the event stream on Kafka; `in_kafka` puts them together, nobody else imports them."""
