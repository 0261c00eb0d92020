import java.lang.reflect.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.*;
import org.apache.kafka.common.header.Header;

/** Prints, as JSON, the headers that Kafka Connect and share groups (KIP-1191) give to dead letters. */
public class KafkaHeaders {
  static String hex(byte[] b) { return b == null ? "null" : "\"" + HexFormat.of().formatHex(b) + "\""; }
  static String json(Iterable<Header> headers) {
    StringJoiner list = new StringJoiner(",\n      ", "[\n      ", "\n    ]");
    for (Header h : headers) list.add("[\"" + h.key() + "\", " + hex(h.value()) + "]");
    return list.toString();
  }
  static Object bare(Class<?> type) throws Exception {
    Field f = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe"); f.setAccessible(true);
    return f.get(null).getClass().getMethod("allocateInstance", Class.class).invoke(f.get(null), type);
  }
  static void set(Object target, String name, Object value) throws Exception {
    Field f = target.getClass().getDeclaredField(name); f.setAccessible(true); f.set(target, value);
  }
  public static void main(String[] args) throws Exception {
    Throwable error = new IllegalStateException("no such table: ümlaut");
    error.setStackTrace(new StackTraceElement[] { new StackTraceElement("a.B", "c", "B.java", 7) });
    String rt = "org.apache.kafka.connect.runtime.errors.";
    ConsumerRecord<byte[], byte[]> original = new ConsumerRecord<>("orders", 3, 9007199254740993L, new byte[]{1}, new byte[]{2});
    Class<?> contextType = Class.forName(rt + "ProcessingContext");
    Constructor<?> make = contextType.getDeclaredConstructors()[0]; make.setAccessible(true);
    Object context = make.newInstance(original);
    Class<?> stageType = Class.forName(rt + "Stage");
    Object stage = stageType.getField("VALUE_CONVERTER").get(null);
    for (Method m : contextType.getMethods()) {
      if (m.getName().equals("currentContext")) m.invoke(context, stage, Integer.class);
      if (m.getName().equals("error") && m.getParameterCount() == 1) m.invoke(context, error);
    }
    Class<?> reporterType = Class.forName(rt + "DeadLetterQueueReporter");
    Object reporter = bare(reporterType);
    set(reporter, "connectorTaskId", new org.apache.kafka.connect.util.ConnectorTaskId("sink", 4));
    ProducerRecord<byte[], byte[]> dead = new ProducerRecord<>("orders-dlq", null, new byte[]{1}, new byte[]{2});
    Method populate = reporterType.getDeclaredMethod("populateContextHeaders", ProducerRecord.class, contextType);
    populate.setAccessible(true);
    populate.invoke(reporter, dead, context);
    System.out.println("  \"connect\": {\n    \"by\": \"connect-runtime 4.4.0, DeadLetterQueueReporter\",\n    \"headers\": " + json(dead.headers()) + "\n  },");

    Class<?> paramType = Class.forName("org.apache.kafka.server.share.dlq.ShareGroupDLQRecordParameter");
    Object param = paramType.getDeclaredConstructors()[0].newInstance("shippers", new TopicIdPartition(Uuid.ZERO_UUID, 3, "orders"),
      9007199254740993L, 9007199254740993L, Optional.of((short) 5), Optional.of(error));
    Class<?> handlerType = Class.forName("org.apache.kafka.server.share.dlq.ShareGroupDLQStateManager$ProduceRequestHandler");
    Object handler = bare(handlerType);
    set(handler, "param", param);
    for (Method m : handlerType.getDeclaredMethods()) {
      if (!m.getName().equals("headers")) continue;
      m.setAccessible(true);
      Object[] given = m.getParameterCount() == 1 ? new Object[]{9007199254740993L} : new Object[]{};
      Object made;
      try { made = m.invoke(handler, given); } catch (InvocationTargetException e) { e.getCause().printStackTrace(); throw e; }
      List<Header> list = new ArrayList<>();
      if (made instanceof Header[] array) list.addAll(Arrays.asList(array)); else for (Object h : (Iterable<?>) made) list.add((Header) h);
      System.out.println("  \"kafka\": {\n    \"by\": \"kafka-server 4.4.0, ShareGroupDLQStateManager\",\n    \"headers\": " + json(list) + "\n  }");
    }
  }
}
