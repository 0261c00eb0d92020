import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The side of the fault rig that isn't under test: creates topics, moves leaders and reads logs back. It lives as long
 * as the rig: one command (JSON) a line comes in, its answer (JSON) goes out, one after the other.
 */
public final class Faults {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String brokers;
    private final Admin admin;
    private final PrintWriter out =
        new PrintWriter(new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8), 1 << 16));

    private Faults(String brokers) {
        this.brokers = brokers;
        Properties properties = properties();
        properties.put("request.timeout.ms", "3000");
        properties.put("default.api.timeout.ms", "6000");
        this.admin = Admin.create(properties);
    }

    public static void main(String[] args) throws Exception {
        Faults faults = new Faults(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) faults.answer(JSON.readTree(line));
        Runtime.getRuntime().halt(0);
    }

    private void answer(JsonNode command) {
        Map<String, Object> answer = new HashMap<>();
        try {
            List<String> topics = new ArrayList<>();
            command.get("topics").forEach(topic -> topics.add(topic.asText()));
            switch (command.get("op").asText()) {
                case "create": create(topics, command.get("partitions").asInt()); break;
                case "delete": admin.deleteTopics(topics).all().get(); break;
                case "leaders": answer.put("leaders", leaders(topics)); break;
                case "settle": answer.put("settled", settle(topics, command.get("withinMs").asLong())); break;
                case "assign": answer.put("leaders", assign(topics, command.get("brokers"))); break;
                case "unregister": admin.unregisterBroker(command.get("broker").asInt()).all().get(); break;
                case "move": answer.put("leaders", move(topics)); break;
                case "read": answer.put("complete", read(topics, command)); break;
                default: throw new IllegalArgumentException(command.get("op").asText());
            }
        } catch (Exception e) {
            answer.put("error", String.valueOf(e));
        }
        try {
            out.println("=" + JSON.writeValueAsString(answer));
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        out.flush();
    }

    private void create(List<String> names, int partitions) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (String name : names) {
            // As many replicas as there are nodes, which the nodes' own defaults say.
            topics.add(new NewTopic(name, Optional.of(partitions), Optional.empty()));
        }
        admin.createTopics(topics).all().get();
    }

    private Map<String, Integer> leaders(List<String> names) throws Exception {
        Map<String, Integer> leaders = new TreeMap<>();
        for (TopicDescription topic : admin.describeTopics(names).allTopicNames().get().values()) {
            for (TopicPartitionInfo partition : topic.partitions()) {
                Node leader = partition.leader();
                leaders.put(topic.name() + "-" + partition.partition(), leader == null ? -1 : leader.id());
            }
        }
        return leaders;
    }

    /** Waits until every partition has its leader and all its replicas in sync. */
    private boolean settle(List<String> names, long withinMs) throws Exception {
        long deadline = System.currentTimeMillis() + withinMs;
        while (true) {
            boolean settled = true;
            try {
                for (TopicDescription topic : admin.describeTopics(names).allTopicNames().get().values()) {
                    for (TopicPartitionInfo partition : topic.partitions()) {
                        boolean led = partition.leader() != null && !partition.leader().isEmpty();
                        settled &= led && partition.isr().size() == partition.replicas().size();
                    }
                }
            } catch (Exception e) {
                settled = false;
            }
            if (settled || System.currentTimeMillis() > deadline) return settled;
            Thread.sleep(100);
        }
    }

    /** Makes the next replica of every partition its preferred leader, and its leader. */
    private Map<String, Integer> move(List<String> names) throws Exception {
        Map<TopicPartition, Optional<NewPartitionReassignment>> orders = new HashMap<>();
        for (TopicDescription topic : admin.describeTopics(names).allTopicNames().get().values()) {
            for (TopicPartitionInfo partition : topic.partitions()) {
                List<Integer> replicas = new ArrayList<>();
                for (Node node : partition.replicas()) replicas.add(node.id());
                replicas.add(replicas.remove(0));
                TopicPartition id = new TopicPartition(topic.name(), partition.partition());
                orders.put(id, Optional.of(new NewPartitionReassignment(replicas)));
            }
        }
        admin.alterPartitionReassignments(orders).all().get();
        Set<TopicPartition> partitions = new HashSet<>(orders.keySet());
        // A partition that can't change its leader now is of no interest.
        admin.electLeaders(ElectionType.PREFERRED, partitions).partitions().get();
        return leaders(names);
    }

    /** Gives every partition these brokers, in turn as its preferred leader, and has that one elected. */
    private Map<String, Integer> assign(List<String> names, JsonNode brokers) throws Exception {
        Map<TopicPartition, Optional<NewPartitionReassignment>> orders = new HashMap<>();
        for (TopicDescription topic : admin.describeTopics(names).allTopicNames().get().values()) {
            for (TopicPartitionInfo partition : topic.partitions()) {
                List<Integer> replicas = new ArrayList<>();
                for (int i = 0; i < brokers.size(); i++) {
                    replicas.add(brokers.get((i + partition.partition()) % brokers.size()).asInt());
                }
                TopicPartition id = new TopicPartition(topic.name(), partition.partition());
                orders.put(id, Optional.of(new NewPartitionReassignment(replicas)));
            }
        }
        admin.alterPartitionReassignments(orders).all().get();
        // The new ones must have what the old ones have before they may lead.
        while (!admin.listPartitionReassignments(orders.keySet()).reassignments().get().isEmpty()) Thread.sleep(100);
        // And be in sync, which they are a moment later.
        long deadline = System.currentTimeMillis() + 20_000;
        while (!ledAsPreferred(names) && System.currentTimeMillis() < deadline) {
            admin.electLeaders(ElectionType.PREFERRED, orders.keySet()).partitions().get();
            Thread.sleep(200);
        }
        return leaders(names);
    }

    private boolean ledAsPreferred(List<String> names) throws Exception {
        for (TopicDescription topic : admin.describeTopics(names).allTopicNames().get().values()) {
            for (TopicPartitionInfo partition : topic.partitions()) {
                Node leader = partition.leader();
                if (leader == null || leader.id() != partition.replicas().get(0).id()) return false;
            }
        }
        return true;
    }

    /** Prints every record up to the ends that the partitions have now. */
    private boolean read(List<String> names, JsonNode command) throws Exception {
        long deadline = System.currentTimeMillis() + command.get("withinMs").asLong();
        Properties properties = properties();
        properties.put("isolation.level", command.path("isolation").asText("read_uncommitted"));
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "none");
        properties.put("max.poll.records", "100000");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (String name : names) {
                consumer.partitionsFor(name).forEach(info -> partitions.add(new TopicPartition(name, info.partition())));
            }
            Map<TopicPartition, Long> left = new HashMap<>(consumer.endOffsets(partitions));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (!left.isEmpty() && System.currentTimeMillis() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) print(record);
                left.entrySet().removeIf(entry -> consumer.position(entry.getKey()) >= entry.getValue());
            }
            return left.isEmpty();
        }
    }

    private void print(ConsumerRecord<byte[], byte[]> record) throws Exception {
        List<String> headers = new ArrayList<>();
        for (Header header : record.headers()) headers.add(header.key() + "=" + text(header.value()));
        out.println(JSON.writeValueAsString(new Object[] {
            record.topic(), record.partition(), record.offset(), record.timestamp(),
            text(record.key()), text(record.value()), headers,
        }));
    }

    private Properties properties() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", brokers);
        return properties;
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.ISO_8859_1);
    }
}
