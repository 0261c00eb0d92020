/**
 * A real Kafka with a listener for each way to be secure, certificates made for it, and users.
 */
import { kafkaVersions, startKafka } from "../../../scripts/kafka.mjs";
import { certificateAuthority } from "../../../scripts/lib/certificates.mjs";

/** What each listener speaks; the names say what is particular. */
const listeners = {
  SSL: "SSL",
  MTLS: "SSL",
  EXPIRED: "SSL",
  ELSEWHERE: "SSL",
  SASL_SSL: "SASL_SSL",
  SASL_PLAINTEXT: "SASL_PLAINTEXT",
};

/** Users with PLAIN and SCRAM, and their passwords. `mallory` may not write to the topic "forbidden". */
export const users = { alice: "pencil-Ä€-secret", mallory: "mallory-secret" };

const mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
const noPlugin = { classes: undefined, config: {}, systemProperties: {} };
const oauth = "org.apache.kafka.common.security.oauthbearer";

/** How long a session lives before it must be renewed, in ms. */
export const sessionMs = 3_000;

/**
 * Starts it. `tokens` is the token endpoint of tokens.mjs, `plugin` what telemetry.mjs has made. The result is that of `startKafka`, and `ca`, `otherCa` and
 * `client` (a certificate with its key).
 */
export async function startSecureKafka(
  { version = kafkaVersions[0], nodes = 1, tokens, plugin = noPlugin, advertised = {} },
) {
  const ca = certificateAuthority();
  const otherCa = certificateAuthority("Another authority");
  const jaas = (module, rest = "") => `org.apache.kafka.common.security.${module} required${rest};`;
  const passwords = Object.entries(users).map(([name, password]) => ` user_${name}="${password}"`).join("");
  const ofSasl = (name) => ({
    ...prefixed(`listener.name.${name}.`, {
      "plain.sasl.jaas.config": jaas("plain.PlainLoginModule", passwords),
      "scram-sha-256.sasl.jaas.config": jaas("scram.ScramLoginModule"),
      "scram-sha-512.sasl.jaas.config": jaas("scram.ScramLoginModule"),
      "oauthbearer.sasl.jaas.config": jaas("oauthbearer.OAuthBearerLoginModule"),
      "oauthbearer.sasl.server.callback.handler.class": `${oauth}.OAuthBearerValidatorCallbackHandler`,
    }),
  });
  const kafka = await startKafka({
    version,
    nodes,
    listeners,
    advertised,
    systemProperties: { "org.apache.kafka.sasl.oauthbearer.allowed.urls": tokens.keysUrl, ...plugin.systemProperties },
    classes: plugin.classes === undefined ? [] : [plugin.classes],
    scramUsers: Object.entries(users).flatMap(([name, password]) =>
      ["SCRAM-SHA-256", "SCRAM-SHA-512"].map((mechanism) => [mechanism, name, password])
    ),
    config: {
      ...keyStore("", ca.issue({ name: "broker" })),
      ...keyStore("listener.name.expired.", ca.issue({ name: "broker", days: -1 })),
      ...keyStore("listener.name.elsewhere.", ca.issue({ name: "elsewhere", hosts: ["elsewhere.example"] })),
      "ssl.truststore.type": "PEM",
      "ssl.truststore.certificates": ca.cert,
      "listener.name.mtls.ssl.client.auth": "required",
      "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/,DEFAULT",
      "sasl.enabled.mechanisms": mechanisms.join(","),
      "connections.max.reauth.ms": sessionMs,
      // Kafka's own default validator takes tokens of any signer: without this a test of wrong ones proves nothing.
      "sasl.oauthbearer.jwt.validator.class": `${oauth}.BrokerJwtValidator`,
      "sasl.oauthbearer.jwks.endpoint.url": tokens.keysUrl,
      "sasl.oauthbearer.expected.audience": tokens.audience,
      "sasl.oauthbearer.expected.issuer": tokens.issuer,
      ...ofSasl("sasl_ssl"),
      ...ofSasl("sasl_plaintext"),
      "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      "super.users": "User:ANONYMOUS",
      "allow.everyone.if.no.acl.found": true,
      ...plugin.config,
    },
  });
  return Object.assign(kafka, { ca, otherCa, client: ca.issue({ name: "carol" }) });
}

function keyStore(prefix, { cert, key }) {
  return prefixed(`${prefix}ssl.keystore.`, { type: "PEM", key, "certificate.chain": cert });
}

function prefixed(prefix, config) {
  return Object.fromEntries(Object.entries(config).map(([name, value]) => [`${prefix}${name}`, value]));
}
