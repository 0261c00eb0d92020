import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java producer doing one work set: Bench name=value ...
 *
 * The same as drive.mjs. Callers that wait for one record each are slots: the callback of a record sends the slot's
 * next, as 1,000 threads would measure the scheduler.
 */
public final class Bench {
    private static final Map<String, String> ARGUMENTS = new HashMap<>();
    private static final AtomicLong SENT = new AtomicLong();
    private static final AtomicLong SETTLED = new AtomicLong();
    private static final AtomicLong FAILED = new AtomicLong();
    private static volatile String firstError;
    private static KafkaProducer<byte[], byte[]> producer;
    private static byte[][] values;
    private static byte[][] keys = new byte[0][];
    private static String topic;

    public static void main(String[] args) throws Exception {
        for (String argument : args) {
            int at = argument.indexOf('=');
            ARGUMENTS.put(argument.substring(0, at), argument.substring(at + 1));
        }
        String kind = text("kind", "");
        boolean starts = kind.equals("start");
        int count = number("count", 1);
        topic = text("topic", "");
        producer = new KafkaProducer<>(properties(), new ByteArraySerializer(), new ByteArraySerializer());
        if (starts) values = new byte[][] {new byte[number("bytes", 100)]};
        else readValues(number("bytes", 100));
        boolean transactional = number("transactional", 0) > 0;
        if (transactional) {
            producer.initTransactions();
            producer.beginTransaction();
        }
        producer.send(record(0)).get();
        if (transactional) producer.commitTransaction();
        StringBuilder more = new StringBuilder();
        if (starts) {
            double elapsedMs = System.currentTimeMillis() - Double.parseDouble(text("spawnedMs", "0"));
            print(elapsedMs, 0, cpuMs()[1], 1, 1, 1, more);
        }

        long beginNanos = System.nanoTime();
        double[] before = cpuMs();
        switch (kind) {
            case "awaited": batches(count, 1, false); break;
            case "batches": batches(count, number("batch", 1), transactional); break;
            case "burst": burst(count, number("window", 0)); break;
            case "callers": callers(count, number("callers", 1)); break;
            case "open-loop": openLoop(count, number("perSecond", 1000), more); break;
            case "stall": stall(number("perSecond", 1000), more); break;
            default: throw new IllegalArgumentException(kind);
        }
        double elapsedMs = (System.nanoTime() - beginNanos) / 1e6;
        double[] after = cpuMs();
        long settled = SETTLED.get();
        long acknowledged = settled - FAILED.get() + 1;
        print(elapsedMs, after[0] - before[0], after[1] - before[1], SENT.get(), settled, acknowledged, more);
    }

    private static Properties properties() {
        Properties all = new Properties();
        all.put("bootstrap.servers", text("brokers", ""));
        all.put("client.id", "bench");
        all.put("acks", text("acks", "all"));
        all.put("compression.type", text("codec", "none"));
        if (text("acks", "all").equals("0")) all.put("enable.idempotence", "false");
        if (ARGUMENTS.containsKey("transactional")) all.put("transactional.id", topic);
        if (ARGUMENTS.containsKey("linger")) all.put("linger.ms", text("linger", ""));
        return all;
    }

    private static void readValues(int size) throws Exception {
        byte[] bytes = Files.readAllBytes(Path.of(text("values", "")));
        values = new byte[bytes.length / size][];
        for (int i = 0; i < values.length; i++) values[i] = Arrays.copyOfRange(bytes, i * size, (i + 1) * size);
        int count = number("keys", 0);
        keys = new byte[count][];
        for (int i = 0; i < count; i++) keys[i] = String.format("k%09d", i * 7919L % count).getBytes();
    }

    private static ProducerRecord<byte[], byte[]> record(long i) {
        byte[] key = keys.length == 0 ? null : keys[(int) (i % keys.length)];
        return new ProducerRecord<>(topic, key, values[(int) (i % values.length)]);
    }

    private static void report(Exception error) {
        if (error != null) {
            FAILED.incrementAndGet();
            if (firstError == null) firstError = error.toString();
        }
        SETTLED.incrementAndGet();
    }

    private static void batches(int count, int batch, boolean transactional) throws InterruptedException {
        Semaphore done = new Semaphore(0);
        Callback onDone = (metadata, error) -> {
            report(error);
            done.release();
        };
        for (int from = 0; from < count; from += batch) {
            if (transactional) producer.beginTransaction();
            for (int i = 0; i < batch; i++) producer.send(record(from + i), onDone);
            SENT.addAndGet(batch);
            if (transactional) producer.commitTransaction();
            done.acquire(batch);
        }
    }

    private static void burst(int count, int window) throws InterruptedException {
        Semaphore room = window > 0 ? new Semaphore(window) : null;
        Callback onDone = (metadata, error) -> {
            report(error);
            if (room != null) room.release();
        };
        for (int i = 0; i < count; i++) {
            if (room != null) room.acquire();
            producer.send(record(i), onDone);
        }
        SENT.set(count);
        producer.flush();
        waitSettled(60_000);
    }

    private static void callers(int count, int callers) {
        Callback[] next = new Callback[1];
        next[0] = (metadata, error) -> {
            report(error);
            long i = SENT.getAndIncrement();
            if (i < count) producer.send(record(i), next[0]);
            else SENT.decrementAndGet();
        };
        for (int i = 0; i < callers; i++) producer.send(record(SENT.getAndIncrement()), next[0]);
        while (SETTLED.get() < count) sleep(1);
    }

    private static void openLoop(int count, int perSecond, StringBuilder more) {
        double[] call = new double[count];
        double[] due = new double[count];
        double perMs = perSecond / 1e3;
        long begin = System.nanoTime();
        for (int i = 0; i < count;) {
            double at = (System.nanoTime() - begin) / 1e6;
            int target = (int) Math.min(count, (long) (at * perMs) + 1);
            for (; i < target; i++) {
                int index = i;
                long called = System.nanoTime();
                long dueAt = begin + (long) (i / perMs) * 1_000_000;
                producer.send(record(i), (metadata, error) -> {
                    long now = System.nanoTime();
                    call[index] = (now - called) / 1e6;
                    due[index] = (now - dueAt) / 1e6;
                    report(error);
                });
            }
            SENT.set(i);
            long left = begin + ((long) at + 1) * 1_000_000 - System.nanoTime();
            if (left > 0) java.util.concurrent.locks.LockSupport.parkNanos(left);
        }
        waitSettled(30_000);
        percentiles("latencyMs", call, more);
        percentiles("latencyFromDueMs", due, more);
    }

    private static void percentiles(String name, double[] all, StringBuilder more) {
        Arrays.sort(all);
        more.append(String.format(",\"%s\":{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f}", name, all[all.length / 2],
            all[(int) (all.length * 0.99)], all[(int) (all.length * 0.999)]));
    }

    private static void stall(int perSecond, StringBuilder more) {
        double[] marksMs = {2e3, 22e3, 24e3};
        String[] lines = {"@@stop", "@@continue", null};
        long begin = System.nanoTime();
        // The marks come in time also while the caller is blocked.
        long[] sentBefore = {Long.MAX_VALUE};
        Thread marker = new Thread(() -> {
            for (int marked = 0; lines[marked] != null; marked++) {
                while ((System.nanoTime() - begin) / 1e6 < marksMs[marked]) sleep(1);
                if (marked == 1) sentBefore[0] = SENT.get();
                System.out.println(lines[marked]);
            }
        });
        marker.start();
        double recoverMs = -1;
        for (long made = 0; (System.nanoTime() - begin) / 1e6 < marksMs[2];) {
            for (long target = (long) ((System.nanoTime() - begin) / 1e6 * perSecond / 1e3); made < target; made++) {
                ProducerRecord<byte[], byte[]> shared = record(made);
                SENT.incrementAndGet();
                // It blocks while its buffer is full: this caller is made to wait, and its records come late.
                producer.send(new ProducerRecord<>(topic, shared.key(), shared.value().clone()),
                    (metadata, error) -> report(error));
                double at = (System.nanoTime() - begin) / 1e6;
                if (recoverMs < 0 && SETTLED.get() >= sentBefore[0]) recoverMs = at - marksMs[1];
                if (at >= marksMs[2]) break;
            }
            sleep(1);
            if (recoverMs < 0 && SETTLED.get() >= sentBefore[0]) {
                recoverMs = (System.nanoTime() - begin) / 1e6 - marksMs[1];
            }
        }
        waitSettled(60_000);
        more.append(String.format(",\"refused\":0,\"unsettled\":%d,\"recoverMs\":%.1f", SENT.get() - SETTLED.get(),
            recoverMs));
    }

    private static void waitSettled(long limitMs) {
        long end = System.nanoTime() + limitMs * 1_000_000;
        while (SETTLED.get() < SENT.get() && System.nanoTime() < end) sleep(1);
    }

    private static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    /** User time and all time of the process, in ms; clock ticks are 10 ms. */
    private static double[] cpuMs() throws Exception {
        String stat = Files.readString(Path.of("/proc/self/stat"));
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        double user = Long.parseLong(fields[11]) * 10.0;
        return new double[] {user, user + Long.parseLong(fields[12]) * 10.0};
    }

    private static double maxRssMiB() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM")) return Double.parseDouble(line.replaceAll("[^0-9]", "")) / 1024;
        }
        return 0;
    }

    private static void print(double elapsedMs, double userMs, double cpuMs, long sent, long settled, long acknowledged,
                              StringBuilder more) throws Exception {
        double rss = maxRssMiB();
        // With acks 0 the last requests may not have been written yet.
        producer.close();
        String error = firstError == null ? "" : ",\"firstError\":\"" + firstError.replaceAll("[\"\\\\\n]", " ") + "\"";
        System.out.printf("@@result {\"sent\":%d,\"settled\":%d,\"failed\":%d,\"acknowledged\":%d,\"elapsedMs\":%.3f,"
            + "\"userMs\":%.1f,\"cpuMs\":%.1f,\"maxRssMiB\":%.1f%s%s}%n",
            sent, settled, FAILED.get(), acknowledged, elapsedMs, userMs, cpuMs, rss, error, more);
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static String text(String name, String fallback) {
        return ARGUMENTS.getOrDefault(name, fallback);
    }

    private static int number(String name, int fallback) {
        return ARGUMENTS.containsKey(name) ? (int) Double.parseDouble(ARGUMENTS.get(name)) : fallback;
    }
}
