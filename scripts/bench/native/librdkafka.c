/*
 * librdkafka doing one work set: librdkafka name=value ...
 *
 * The same as drive.mjs, with one thread of its own beside those of the library. Callers that wait for one record each
 * are slots here: the report of a record sends the slot's next.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "rdkafka.h"

static int argumentCount;
static char **arguments;

static const char *text(const char *name, const char *fallback) {
    size_t length = strlen(name);
    for (int i = 1; i < argumentCount; i++)
        if (strncmp(arguments[i], name, length) == 0 && arguments[i][length] == '=') return arguments[i] + length + 1;
    return fallback;
}

static long number(const char *name, long fallback) {
    const char *value = text(name, NULL);
    return value == NULL ? fallback : (long)strtod(value, NULL);
}

static rd_kafka_t *client;
static rd_kafka_topic_t *topic;
static char *values;
static long valueBytes, valueCount, keyCount, recordCount;
static char (*keys)[24];
static long sent, settled, failed, refused;
static double *calledMs, *dueMs, *callLatency, *dueLatency;
static long latencies;
static int byCallers;

static double nowMs(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static double wallMs(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static double cpuMs(int withSystem) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double user = usage.ru_utime.tv_sec * 1e3 + usage.ru_utime.tv_usec / 1e3;
    return withSystem ? user + usage.ru_stime.tv_sec * 1e3 + usage.ru_stime.tv_usec / 1e3 : user;
}

/* Not getrusage's: that begins with what the process had that started this one. */
static double maxRssMiB(void) {
    double kib = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) return 0;
    while (fgets(line, sizeof line, status)) if (sscanf(line, "VmHWM: %lf", &kib) == 1) break;
    fclose(status);
    return kib / 1024;
}

/* Hands over the next record; 0 when the library's queue is full. */
static int tryProduce(void) {
    const char *key = keyCount > 0 ? keys[sent % keyCount] : NULL;
    const char *value = values + (sent % valueCount) * valueBytes;
    int result = rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, (void *)value, valueBytes, key,
                                  key == NULL ? 0 : 10, (void *)sent);
    if (result == 0) {
        sent++;
        return 1;
    }
    if (rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL) return 0;
    fprintf(stderr, "produce: %s\n", rd_kafka_err2str(rd_kafka_last_error()));
    exit(1);
}

static void onReport(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    (void)opaque;
    settled++;
    if (message->err) failed++;
    if (calledMs != NULL) {
        long index = (long)message->_private;
        double now = nowMs();
        callLatency[latencies] = now - calledMs[index];
        dueLatency[latencies++] = now - dueMs[index];
    }
    if (byCallers && sent < recordCount) tryProduce();
}

static int ascending(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return difference < 0 ? -1 : difference > 0;
}

static void printLatencies(const char *name, double *all) {
    qsort(all, latencies, sizeof(double), ascending);
    double share[] = {0.5, 0.99, 0.999};
    const char *names[] = {"p50", "p99", "p999"};
    printf(",\"%s\":{", name);
    for (int i = 0; i < 3; i++) {
        long at = (long)(latencies * share[i]);
        printf("%s\"%s\":%.3f", i > 0 ? "," : "", names[i], latencies > 0 ? all[at < latencies ? at : latencies - 1] : 0);
    }
    printf("}");
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK) return;
    fprintf(stderr, "%s\n", error);
    exit(1);
}

static void waitFor(long wanted) {
    while (settled < wanted) rd_kafka_poll(client, 100);
}

static void check(rd_kafka_error_t *error) {
    if (error == NULL) return;
    fprintf(stderr, "%s\n", rd_kafka_error_string(error));
    exit(1);
}

static void openLoop(long perSecond) {
    calledMs = malloc(recordCount * sizeof(double));
    dueMs = malloc(recordCount * sizeof(double));
    callLatency = malloc(recordCount * sizeof(double));
    dueLatency = malloc(recordCount * sizeof(double));
    double perMs = perSecond / 1e3, beginMs = nowMs();
    while (sent < recordCount) {
        double at = nowMs() - beginMs;
        long target = (long)(at * perMs) + 1;
        if (target > recordCount) target = recordCount;
        while (sent < target) {
            dueMs[sent] = beginMs + (long)(sent / perMs);
            calledMs[sent] = nowMs();
            while (!tryProduce()) rd_kafka_poll(client, 1);
        }
        rd_kafka_poll(client, 0);
        double left = beginMs + (long)at + 1 - nowMs();
        if (left > 0) usleep((useconds_t)(left * 1e3));
    }
    double deadline = nowMs() + 30e3;
    while (settled < sent && nowMs() < deadline) rd_kafka_poll(client, 10);
}

static double recoverMs = -1;

static void stall(long perSecond) {
    double marks[] = {2e3, 22e3, 24e3}, beginMs = nowMs(), continuedMs = 0;
    const char *lines[] = {"@@stop", "@@continue", NULL};
    long sentBefore = -1;
    for (int marked = 0;;) {
        double at = nowMs() - beginMs;
        if (at >= marks[marked]) {
            if (lines[marked] == NULL) break;
            puts(lines[marked++]);
            fflush(stdout);
            if (marked == 2) continuedMs = nowMs(), sentBefore = sent;
        }
        long target = (long)(at * perSecond / 1e3);
        while (sent + refused < target)
            if (!tryProduce()) refused++;
        rd_kafka_poll(client, 0);
        if (sentBefore >= 0 && recoverMs < 0 && settled >= sentBefore) recoverMs = nowMs() - continuedMs;
        usleep(1000);
    }
    double deadline = nowMs() + 60e3;
    while (settled < sent && nowMs() < deadline) {
        rd_kafka_poll(client, 1);
        if (recoverMs < 0 && settled >= sentBefore) recoverMs = nowMs() - continuedMs;
    }
}

static void readValues(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) exit(1);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    values = malloc(size);
    if (fread(values, 1, size, file) != (size_t)size) exit(1);
    fclose(file);
    valueCount = size / valueBytes;
}

int main(int argc, char **argv) {
    argumentCount = argc;
    arguments = argv;
    const char *kind = text("kind", "");
    recordCount = number("count", 1);
    valueBytes = number("bytes", 100);
    int starts = strcmp(kind, "start") == 0;

    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", text("brokers", ""));
    set(conf, "client.id", "bench");
    set(conf, "compression.codec", text("codec", "none"));
    set(conf, "acks", text("acks", "all"));
    int transactional = number("transactional", 0) > 0;
    if (transactional) set(conf, "transactional.id", text("topic", ""));
    if (number("idempotent", 0)) set(conf, "enable.idempotence", "true");
    if (number("linger", -1) >= 0) set(conf, "linger.ms", text("linger", ""));
    rd_kafka_conf_set_dr_msg_cb(conf, onReport);
    char error[512];
    client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (client == NULL) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    topic = rd_kafka_topic_new(client, text("topic", ""), NULL);

    if (!starts) readValues(text("values", ""));
    else {
        values = calloc(1, valueBytes);
        valueCount = 1;
    }
    keyCount = number("keys", 0);
    keys = malloc((keyCount + 1) * sizeof *keys);
    for (long i = 0; i < keyCount; i++) snprintf(keys[i], sizeof *keys, "k%09ld", i * 7919 % keyCount);

    long warm = 1;
    if (transactional) {
        check(rd_kafka_init_transactions(client, 30000));
        check(rd_kafka_begin_transaction(client));
    }
    tryProduce();
    waitFor(1);
    if (transactional) check(rd_kafka_commit_transaction(client, -1));
    double elapsed, cpu, user;
    if (starts) {
        elapsed = wallMs() - strtod(text("spawnedMs", "0"), NULL);
        cpu = cpuMs(1);
        user = cpuMs(0);
        sent = 1, warm = 0;
    } else {
        sent = settled = failed = 0;
        double beginMs = nowMs(), cpuBefore = cpuMs(1), userBefore = cpuMs(0);
        long batch = number("batch", 1), window = number("window", 0);
        if (!strcmp(kind, "awaited") || !strcmp(kind, "batches")) {
            while (sent < recordCount) {
                if (transactional) check(rd_kafka_begin_transaction(client));
                for (long i = 0; i < batch; i++)
                    while (!tryProduce()) rd_kafka_poll(client, 10);
                waitFor(sent);
                if (transactional) check(rd_kafka_commit_transaction(client, -1));
            }
        } else if (!strcmp(kind, "burst")) {
            while (sent < recordCount) {
                while (window > 0 && sent - settled >= window) rd_kafka_poll(client, 10);
                while (!tryProduce()) rd_kafka_poll(client, 10);
                if (sent % 1000 == 0) rd_kafka_poll(client, 0);
            }
            waitFor(sent);
        } else if (!strcmp(kind, "callers")) {
            byCallers = 1;
            for (long i = number("callers", 1); i > 0; i--) tryProduce();
            waitFor(recordCount);
        } else if (!strcmp(kind, "open-loop")) openLoop(number("perSecond", 1000));
        else if (!strcmp(kind, "stall")) stall(number("perSecond", 1000));
        else return 2;
        elapsed = nowMs() - beginMs;
        cpu = cpuMs(1) - cpuBefore;
        user = cpuMs(0) - userBefore;
    }
    double rss = maxRssMiB();
    long unsettled = sent - settled, acknowledged = settled - failed + warm;
    rd_kafka_flush(client, 10000);
    printf("@@result {\"sent\":%ld,\"settled\":%ld,\"failed\":%ld,\"acknowledged\":%ld,\"elapsedMs\":%.3f,\"cpuMs\":%.3f,"
           "\"userMs\":%.3f,\"maxRssMiB\":%.1f,\"version\":\"%s\"",
           sent, settled, failed, acknowledged, elapsed, cpu, user, rss, rd_kafka_version_str());
    if (calledMs != NULL) {
        printLatencies("latencyMs", callLatency);
        printLatencies("latencyFromDueMs", dueLatency);
    }
    if (!strcmp(kind, "stall"))
        printf(",\"refused\":%ld,\"unsettled\":%ld,\"recoverMs\":%.1f", refused, unsettled, recoverMs);
    puts("}");
    fflush(stdout);
    _exit(0);
}
