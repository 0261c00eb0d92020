"""librdkafka's side of the interop tests: librdkafka.py produce | read | transact <plan.json>.

What it finds goes to standard output, one JSON value a line, in the form that Interop.java prints.
"""

import base64
import json
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        plan = json.load(file)
    {"produce": produce, "read": read, "transact": transact}[sys.argv[1]](plan)


def produce(plan):
    """Produces the records to each topic and prints where they went, in their order."""
    for topic in plan["topics"]:
        results = produce_topic(plan, topic)
        print(json.dumps({"topic": topic["topic"], "results": results}))


def produce_topic(plan, topic):
    failed = []
    placed = [None] * len(plan["records"])
    producer = Producer({
        "bootstrap.servers": plan["brokers"],
        "acks": topic["acks"],
        "compression.type": topic["codec"],
        "enable.idempotence": topic["acks"] == "all",
        "partitioner": "murmur2_random",  # Java's
        "linger.ms": 5,
    })

    def settled(index):
        def callback(error, message):
            if error is not None:
                failed.append(str(error))
            else:
                placed[index] = [message.partition(), message.offset()]

        return callback

    for index, record in enumerate(plan["records"]):
        extra = {} if record["partition"] is None else {"partition": record["partition"]}
        producer.produce(
            topic["topic"],
            key=decode(record["key"]),
            value=decode(record["value"]),
            timestamp=record["timestamp"],
            headers=[(name, decode(value)) for name, value in record["headers"]],
            on_delivery=settled(index),
            **extra,
        )
        producer.poll(0)
    left = producer.flush(30)
    if failed or left:
        sys.exit(f"{topic['topic']}: {left} not delivered, {len(failed)} failed: {failed[:3]}")
    return placed


def read(plan):
    """Prints each record of each topic once all have been seen or time is up."""
    deadline = time.monotonic() + plan["withinMs"] / 1000
    consumer = Consumer({
        "bootstrap.servers": plan["brokers"],
        "group.id": "not-joined",
        "enable.auto.commit": False,
        "check.crcs": True,
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 1,
    })
    missing = {each["topic"]: each["count"] for each in plan["topics"]}
    partitions = []
    for topic in missing:
        for partition in range(plan["partitions"]):
            partitions.append(TopicPartition(topic, partition, 0))
    consumer.assign(partitions)
    last_look = False
    while time.monotonic() < deadline and not last_look:
        # One more look when all is there: a record too many is a failure as well.
        last_look = not missing
        for message in consumer.consume(10_000, 0.3 if last_look else 0.1):
            if message.error() is not None:
                sys.exit(f"{message.topic()}: {message.error()}")
            topic = message.topic()
            sys.stdout.write(json.dumps({
                "topic": topic,
                "partition": message.partition(),
                "offset": message.offset(),
                "timestamp": message.timestamp()[1],
                "key": encode(message.key()),
                "value": encode(message.value()),
                "headers": [[name, encode(value)] for name, value in message.headers() or []],
            }) + "\n")
            if topic in missing:
                missing[topic] -= 1
                if missing[topic] == 0:
                    del missing[topic]
    consumer.close()


def encode(data):
    return None if data is None else base64.b64encode(data).decode("ascii")


def transact(plan):
    """Writes three transactions to a topic, the second of which it aborts, reads what was committed as a member of a
    group, copies it in one more transaction with the group's offsets, and then takes over its own id."""
    count, group = plan["count"], plan["group"]

    def transactional():
        producer = Producer({"bootstrap.servers": plan["brokers"], "transactional.id": plan["id"]})
        producer.init_transactions(30)
        return producer

    producer = transactional()
    for name in ["first", "aborted", "second"]:
        producer.begin_transaction()
        for i in range(count):
            producer.produce(plan["input"], key=str(i), value=f"{name} {i}")
        if name == "aborted":
            # Else librdkafka may end what the coordinator doesn't know yet: it waits to add the partitions until the
            # last transaction is complete, an abort meanwhile doesn't wait for it, and a Kafka refuses that one for good.
            producer.flush(30)
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    consumer = committed_only(plan, group, plan["input"])
    read = poll(consumer, 2 * count)
    producer.begin_transaction()
    for key, value in read:
        producer.produce(plan["output"], key=key, value=value)
    producer.send_offsets_to_transaction(
        consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
    )
    producer.commit_transaction(30)
    consumer.close()

    producer.begin_transaction()
    producer.produce(plan["output"], key="zombie", value="zombie")
    producer.flush(30)
    transactional()
    zombie = "not fenced"
    try:
        producer.commit_transaction(30)
    except KafkaException as error:
        zombie = "fenced" if error.args[0].code() == KafkaError._FENCED else str(error)
    consumer = committed_only(plan, f"{group}-copies", plan["output"])
    copied = poll(consumer, 2 * count)
    consumer.close()

    def values(records):
        return [value.decode() for _, value in records]

    print(json.dumps({"read": values(read), "copied": values(copied), "zombie": zombie}))


def committed_only(plan, group, topic):
    consumer = Consumer({
        "bootstrap.servers": plan["brokers"],
        "group.id": group,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })
    consumer.subscribe([topic])
    return consumer


def poll(consumer, count):
    """The records until so many are there, and what comes for a moment after."""
    records = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        message = consumer.poll(0.3)
        if message is None:
            if len(records) >= count:
                break
        elif message.error() is None:
            records.append((message.key(), message.value()))
    return records


def decode(text):
    return None if text is None else base64.b64decode(text)


main()
