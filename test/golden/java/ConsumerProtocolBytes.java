import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.TopicPartition;

/** Prints, as JSON, what a member of a group says of itself and is told, in every version that Java's client writes. */
public class ConsumerProtocolBytes {
  static String hex(ByteBuffer bytes) {
    byte[] copy = new byte[bytes.remaining()];
    bytes.duplicate().get(copy);
    return '"' + HexFormat.of().formatHex(copy) + '"';
  }

  static List<TopicPartition> partitions(Object... namesAndNumbers) {
    List<TopicPartition> all = new ArrayList<>();
    for (int i = 0; i < namesAndNumbers.length; i += 2) {
      all.add(new TopicPartition((String) namesAndNumbers[i], (Integer) namesAndNumbers[i + 1]));
    }
    return all;
  }

  static String json(List<TopicPartition> partitions) {
    StringJoiner list = new StringJoiner(",", "[", "]");
    for (TopicPartition it : partitions) {
      list.add("{\"topic\":\"" + it.topic() + "\",\"partition\":" + it.partition() + "}");
    }
    return list.toString();
  }

  public static void main(String[] args) {
    StringJoiner vectors = new StringJoiner(",\n", "{\"by\": \"kafka-clients 4.4.0, ConsumerProtocol\", \"vectors\": [\n", "\n]}");
    List<List<TopicPartition>> cases = List.of(partitions(), partitions("orders", 0),
      partitions("orders", 11, "é-payments", 2, "orders", 3, "é-payments", 0));
    for (short version = 0; version <= 3; version++) {
      for (List<TopicPartition> owned : cases) {
        ByteBuffer generation = ByteBuffer.allocate(4).putInt(0, 7);
        Subscription subscription =
          new Subscription(List.of("é-payments", "orders"), generation, owned, 7, Optional.empty());
        vectors.add("{\"type\":\"subscription\",\"version\":" + version + ",\"owned\":" + json(owned) + ",\"hex\":"
          + hex(ConsumerProtocol.serializeSubscription(subscription, version)) + "}");
        vectors.add("{\"type\":\"assignment\",\"version\":" + version + ",\"partitions\":" + json(owned) + ",\"hex\":"
          + hex(ConsumerProtocol.serializeAssignment(new Assignment(owned), version)) + "}");
      }
      Subscription racked = new Subscription(List.of("orders"), null, partitions("orders", 1), 9, Optional.of("rack-1"));
      vectors.add("{\"type\":\"subscription with a rack\",\"version\":" + version + ",\"owned\":"
        + json(partitions("orders", 1)) + ",\"hex\":" + hex(ConsumerProtocol.serializeSubscription(racked, version)) + "}");
    }
    System.out.println(vectors);
  }
}
