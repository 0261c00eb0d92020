import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.server.telemetry.ClientTelemetry;
import org.apache.kafka.server.telemetry.ClientTelemetryPayload;
import org.apache.kafka.server.telemetry.ClientTelemetryReceiver;
import org.apache.kafka.shaded.io.opentelemetry.proto.common.v1.KeyValue;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.Metric;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.MetricsData;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.NumberDataPoint;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.ResourceMetrics;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.ScopeMetrics;

/**
 * A metrics plugin of a broker: reads what clients push with OpenTelemetry's own classes, and appends a line of JSON for
 * each push to the file that the system property "telemetry.sink" names.
 */
public final class TelemetrySink implements MetricsReporter, ClientTelemetry, ClientTelemetryReceiver {
    private final Path file = Path.of(System.getProperty("telemetry.sink"));

    @Override
    public ClientTelemetryReceiver clientReceiver() {
        return this;
    }

    @Override
    public void exportMetrics(AuthorizableRequestContext context, ClientTelemetryPayload payload) {
        try {
            List<String> points = new ArrayList<>();
            for (ResourceMetrics resource : MetricsData.parseFrom(payload.data()).getResourceMetricsList()) {
                for (ScopeMetrics scope : resource.getScopeMetricsList()) {
                    for (Metric metric : scope.getMetricsList()) addPoints(metric, points);
                }
            }
            String line = "{\"clientId\":\"" + context.clientId() + "\",\"terminating\":" + payload.isTerminating()
                + ",\"type\":\"" + payload.contentType() + "\",\"points\":[" + String.join(",", points) + "]}\n";
            synchronized (this) {
                Files.write(file, line.getBytes(StandardCharsets.UTF_8), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            }
        } catch (IOException error) {
            // The broker answers INVALID_RECORD then.
            throw new IllegalArgumentException(error);
        }
    }

    private static void addPoints(Metric metric, List<String> points) {
        List<NumberDataPoint> all = metric.hasSum() ? metric.getSum().getDataPointsList() : metric.getGauge().getDataPointsList();
        for (NumberDataPoint point : all) {
            StringBuilder labels = new StringBuilder();
            for (KeyValue label : point.getAttributesList()) {
                labels.append(label.getKey()).append('=').append(label.getValue().getStringValue());
            }
            points.add("{\"name\":\"" + metric.getName() + "\",\"value\":" + point.getAsDouble() + ",\"labels\":\"" + labels
                + "\",\"kind\":\"" + (metric.hasSum() ? metric.getSum().getAggregationTemporality() : "GAUGE")
                + "\",\"spanMs\":" + (point.getTimeUnixNano() - point.getStartTimeUnixNano()) / 1_000_000 + "}");
        }
    }

    @Override
    public void configure(Map<String, ?> configs) {
    }

    @Override
    public void init(List<KafkaMetric> metrics) {
    }

    @Override
    public void metricChange(KafkaMetric metric) {
    }

    @Override
    public void metricRemoval(KafkaMetric metric) {
    }

    @Override
    public void close() {
    }
}
