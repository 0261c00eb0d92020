using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    # Brokers are mostly in private networks, which workerd does not let a worker reach by default.
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "../.cache/durable_object.js")],
  compatibilityDate = "2025-06-01",
  durableObjectNamespaces = [(className = "KafkaProducer", uniqueKey = "kafka-producer")],
  durableObjectStorage = (inMemory = void),
  bindings = [
    (name = "KAFKA_BROKERS", text = "127.0.0.1:9092"),
    (name = "PRODUCER", durableObjectNamespace = "KafkaProducer"),
  ],
);
