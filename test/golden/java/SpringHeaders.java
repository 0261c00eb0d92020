import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.kafka.KafkaMessageFactory;
import java.net.URI;
import java.time.OffsetDateTime;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.*;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.*;
import org.springframework.kafka.core.*;
import org.springframework.kafka.listener.*;
import org.springframework.kafka.mock.MockProducerFactory;
import org.springframework.kafka.requestreply.*;

/** Prints, as JSON, what Spring and CloudEvents' own SDK write into headers and values. */
public class SpringHeaders {
  static String hex(byte[] b) { return b == null ? "null" : "\"" + HexFormat.of().formatHex(b) + "\""; }
  static String json(Iterable<Header> headers) {
    StringJoiner list = new StringJoiner(",\n      ", "[\n      ", "\n    ]");
    for (Header h : headers) list.add("[\"" + h.key() + "\", " + hex(h.value()) + "]");
    return list.toString();
  }
  /** Never reads anything. */
  static ConsumerFactory<byte[], byte[]> idle() {
    return new DefaultKafkaConsumerFactory<>(Map.of("bootstrap.servers", "localhost:1", "group.id", "g"), new ByteArrayDeserializer(), new ByteArrayDeserializer()) {
      final MockConsumer<byte[], byte[]> consumer = new MockConsumer<>(OffsetResetStrategy.EARLIEST);
      @Override public org.apache.kafka.clients.consumer.Consumer<byte[], byte[]> createConsumer(String g, String p, String s, Properties o) { return consumer; }
    };
  }
  public static void main(String[] args) throws Exception {
    MockProducer<byte[], byte[]> producer = new MockProducer<>(true, new ByteArraySerializer(), new ByteArraySerializer());
    KafkaTemplate<byte[], byte[]> template = new KafkaTemplate<>(new MockProducerFactory<>(() -> producer));
    Exception cause = new IllegalStateException("no such table: ümlaut");
    Exception error = new ListenerExecutionFailedException("Listener failed", "shippers", cause);
    for (Throwable t : new Throwable[]{error, cause}) t.setStackTrace(new StackTraceElement[] { new StackTraceElement("a.B", "c", "B.java", 7) });
    ConsumerRecord<byte[], byte[]> original = new ConsumerRecord<>("orders", 3, 9007199254740993L, 1700000000123L, TimestampType.CREATE_TIME,
      1, 1, new byte[]{1}, new byte[]{2}, new RecordHeaders(), Optional.empty());
    DeadLetterPublishingRecoverer recoverer = new DeadLetterPublishingRecoverer(template, (r, e) -> new TopicPartition("orders-dlt", 3));
    recoverer.accept(original, null, error);
    System.out.println("  \"spring\": {\n    \"by\": \"spring-kafka 3.3.5, DeadLetterPublishingRecoverer\",\n    \"headers\": " + json(producer.history().get(0).headers()) + "\n  },");

    MockProducer<byte[], byte[]> second = new MockProducer<>(true, new ByteArraySerializer(), new ByteArraySerializer());
    ContainerProperties properties = new ContainerProperties("replies");
    ReplyingKafkaTemplate<byte[], byte[], byte[]> replying = new ReplyingKafkaTemplate<>(new MockProducerFactory<>(() -> second),
      new KafkaMessageListenerContainer<>(idle(), properties));
    replying.setCorrelationIdStrategy(r -> new CorrelationKey(HexFormat.of().parseHex("000102030405060708090a0b0c0d0eff")));
    replying.start();
    replying.sendAndReceive(new ProducerRecord<>("requests", new byte[]{1}));
    ProducerRecord<byte[], byte[]> request = second.history().get(0);
    System.out.println("  \"request\": {\n    \"by\": \"spring-kafka 3.3.5, ReplyingKafkaTemplate\",\n    \"headers\": " + json(request.headers()) + "\n  },");

    CloudEvent event = CloudEventBuilder.v1().withId("1-ü").withSource(URI.create("/shop")).withType("order.placed")
      .withSubject("o-1").withTime(OffsetDateTime.parse("2026-01-02T03:04:05.678Z")).withDataSchema(URI.create("https://example.com/order.json"))
      .withExtension("partitionkey", "o-1").withExtension("tries", 3).withExtension("test", true)
      .withData("application/json", "{\"total\":5}".getBytes()).build();
    CloudEvent small = CloudEventBuilder.v1().withId("2").withSource(URI.create("/shop")).withType("order.gone").build();
    Map<String, ProducerRecord<?, byte[]>> made = new LinkedHashMap<>();
    made.put("binary", KafkaMessageFactory.createWriter("orders").writeBinary(event));
    made.put("small", KafkaMessageFactory.createWriter("orders").writeBinary(small));
    made.put("structured", KafkaMessageFactory.createWriter("orders").writeStructured(event, "application/cloudevents+json"));
    for (Map.Entry<String, ProducerRecord<?, byte[]>> e : made.entrySet()) {
      System.out.println("  \"" + e.getKey() + "\": {\n    \"by\": \"cloudevents-kafka 4.0.1\",\n    \"headers\": " + json(e.getValue().headers())
        + ",\n    \"value\": " + hex(e.getValue().value()) + "\n  },");
    }
    System.exit(0);
  }
}
