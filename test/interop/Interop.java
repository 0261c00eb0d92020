import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedWriter;
import java.io.File;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java side of the interop tests: Interop create | topics | produce | read | transact, with a plan (JSON file) as second
 * argument. What it finds goes to standard output, one JSON value a line.
 */
public final class Interop {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Base64.Encoder BASE64 = Base64.getEncoder();

    private final JsonNode plan;
    private final PrintWriter out =
        new PrintWriter(new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8), 1 << 16));

    private Interop(JsonNode plan) {
        this.plan = plan;
    }

    public static void main(String[] args) throws Exception {
        Interop interop = new Interop(JSON.readTree(new File(args[1])));
        switch (args[0]) {
            case "create": interop.create(); break;
            case "topics": interop.topics(); break;
            case "produce": interop.produce(); break;
            case "read": interop.read(); break;
            case "transact": interop.transact(); break;
            default: throw new IllegalArgumentException(args[0]);
        }
        interop.out.flush();
        // Client threads that still close down must not keep the JVM.
        Runtime.getRuntime().halt(interop.out.checkError() ? 1 : 0);
    }

    private void create() throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (JsonNode topic : plan.get("topics")) {
            topics.add(new NewTopic(topic.asText(), Optional.of(plan.get("partitions").asInt()), Optional.empty()));
        }
        try (Admin admin = Admin.create(properties())) {
            admin.createTopics(topics).all().get();
            // A broker knows its new partitions a moment later than the controller, and acks=0 loses what comes
            // before that; it can't tell their offsets before either.
            Map<TopicPartition, OffsetSpec> partitions = new HashMap<>();
            for (NewTopic topic : topics) {
                for (int i = 0; i < topic.numPartitions(); i++) {
                    partitions.put(new TopicPartition(topic.name(), i), OffsetSpec.latest());
                }
            }
            admin.listOffsets(partitions).all().get();
        }
    }

    private void topics() throws Exception {
        try (Admin admin = Admin.create(properties())) {
            for (String name : admin.listTopics().names().get()) out.println(JSON.writeValueAsString(name));
        }
    }

    /** Produces the records to each topic and prints where they went, in their order. */
    private void produce() throws Exception {
        for (JsonNode topic : plan.get("topics")) {
            List<int[]> results = produce(topic);
            out.println(JSON.writeValueAsString(Map.of("topic", topic.get("topic").asText(), "results", results)));
        }
    }

    private List<int[]> produce(JsonNode topic) throws Exception {
        Properties properties = properties();
        properties.put("acks", topic.get("acks").asText());
        properties.put("compression.type", topic.get("codec").asText());
        properties.put("key.serializer", ByteArraySerializer.class.getName());
        properties.put("value.serializer", ByteArraySerializer.class.getName());
        List<int[]> results = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode record : plan.get("records")) {
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : record.get("headers")) {
                    headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
                }
                Integer partition = record.get("partition").isNull() ? null : record.get("partition").asInt();
                sent.add(producer.send(new ProducerRecord<>(topic.get("topic").asText(), partition,
                    record.get("timestamp").asLong(), bytes(record.get("key")), bytes(record.get("value")), headers)));
            }
            for (Future<RecordMetadata> each : sent) {
                results.add(new int[] {each.get().partition(), (int) each.get().offset()});
            }
        }
        return results;
    }

    /** Prints each record of each topic once all have been seen or time is up. */
    private void read() throws Exception {
        long deadline = System.currentTimeMillis() + plan.get("withinMs").asLong();
        Properties properties = properties();
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("max.poll.records", "100000");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
            List<TopicPartition> partitions = new ArrayList<>();
            Map<String, Long> missing = new HashMap<>();
            for (JsonNode topic : plan.get("topics")) {
                String name = topic.get("topic").asText();
                missing.put(name, topic.get("count").asLong());
                for (PartitionInfo info : consumer.partitionsFor(name)) {
                    partitions.add(new TopicPartition(info.topic(), info.partition()));
                }
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            boolean lastLook = false;
            while (System.currentTimeMillis() < deadline && !lastLook) {
                // One more look when all is there: a record too many is a failure as well.
                lastLook = missing.isEmpty();
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(lastLook ? 300 : 100))) {
                    print(record);
                    missing.computeIfPresent(record.topic(), (topic, left) -> left > 1 ? left - 1 : null);
                }
            }
        }
    }

    /**
     * Writes transactions to a topic and aborts some, one of them with its records in the log, reads what was committed
     * as a member of a group, copies it in one more transaction with the group's offsets, and then takes over its own id.
     */
    private void transact() throws Exception {
        String input = plan.get("input").asText();
        String output = plan.get("output").asText();
        int count = plan.get("count").asInt();
        List<String> read = new ArrayList<>();
        String fenced = "not fenced";
        try (KafkaProducer<byte[], byte[]> producer = transactional()) {
            producer.initTransactions();
            for (String name : List.of("first", "aborted", "aborted at once", "second")) {
                producer.beginTransaction();
                for (int i = 0; i < count; i++) producer.send(new ProducerRecord<>(input, utf8(i + ""), utf8(name + " " + i)));
                if (name.equals("aborted")) producer.flush();
                if (name.startsWith("aborted")) producer.abortTransaction();
                else producer.commitTransaction();
            }
            try (KafkaConsumer<byte[], byte[]> consumer = committedOnly(plan.get("group").asText())) {
                consumer.subscribe(List.of(input));
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                producer.beginTransaction();
                long deadline = System.currentTimeMillis() + 60_000;
                while (read.size() < 2 * count && System.currentTimeMillis() < deadline) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                        read.add(new String(record.value(), StandardCharsets.UTF_8));
                        producer.send(new ProducerRecord<>(output, record.key(), record.value()));
                    }
                }
                for (TopicPartition partition : consumer.assignment()) {
                    offsets.put(partition, new OffsetAndMetadata(consumer.position(partition)));
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                producer.commitTransaction();
            }
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(output, utf8("zombie"), utf8("zombie"))).get();
            try (KafkaProducer<byte[], byte[]> second = transactional()) {
                second.initTransactions();
                try {
                    producer.commitTransaction();
                } catch (ProducerFencedException error) {
                    fenced = "fenced";
                }
            }
        }
        List<String> copied = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = committedOnly(plan.get("group").asText() + "-copies")) {
            consumer.subscribe(List.of(output));
            long deadline = System.currentTimeMillis() + 60_000;
            boolean lastLook = false;
            while (System.currentTimeMillis() < deadline && !lastLook) {
                lastLook = copied.size() >= 2 * count;
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(lastLook ? 300 : 100))) {
                    copied.add(new String(record.value(), StandardCharsets.UTF_8));
                }
            }
        }
        out.println(JSON.writeValueAsString(Map.of("read", read, "copied", copied, "zombie", fenced)));
    }

    private KafkaProducer<byte[], byte[]> transactional() {
        Properties properties = properties();
        properties.put("transactional.id", plan.get("id").asText());
        properties.put("key.serializer", ByteArraySerializer.class.getName());
        properties.put("value.serializer", ByteArraySerializer.class.getName());
        return new KafkaProducer<>(properties);
    }

    private KafkaConsumer<byte[], byte[]> committedOnly(String group) {
        Properties properties = properties();
        properties.put("group.id", group);
        properties.put("isolation.level", "read_committed");
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return new KafkaConsumer<>(properties);
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private void print(ConsumerRecord<byte[], byte[]> record) throws Exception {
        StringBuilder line = new StringBuilder("{\"topic\":").append(JSON.writeValueAsString(record.topic()))
            .append(",\"partition\":").append(record.partition())
            .append(",\"offset\":").append(record.offset())
            .append(",\"timestamp\":").append(record.timestamp())
            .append(",\"key\":").append(quoted(record.key()))
            .append(",\"value\":").append(quoted(record.value()))
            .append(",\"headers\":[");
        String separator = "";
        for (Header header : record.headers()) {
            line.append(separator).append('[').append(JSON.writeValueAsString(header.key())).append(',')
                .append(quoted(header.value())).append(']');
            separator = ",";
        }
        out.println(line.append("]}"));
    }

    private Properties properties() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", plan.get("brokers").asText());
        return properties;
    }

    private static String quoted(byte[] bytes) {
        return bytes == null ? "null" : "\"" + BASE64.encodeToString(bytes) + "\"";
    }

    private static byte[] bytes(JsonNode base64) throws Exception {
        return base64.isNull() ? null : base64.binaryValue();
    }
}
