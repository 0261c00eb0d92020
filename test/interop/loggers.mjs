/**
 * The loggers that most programs have, as they are: what pino and winston write of a producer that reaches nobody.
 */
import { Writable } from "node:stream";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { pino } from "pino";
import winston from "winston";
import { build } from "../../scripts/build.mjs";
import { freePorts } from "../../scripts/kafka.mjs";
import { root } from "../../scripts/lib/tools.mjs";

/** Lets each logger write, and looks whether event, fields and error are in its JSON. */
export async function runLoggersPart({ tally }) {
  await build();
  const [port] = await freePorts(1);
  const { Producer } = await import(pathToFileURL(join(root, "dist/esm/mod.js")).href);
  const send = (logger) => sendToNobody(Producer, `127.0.0.1:${port}`, logger);
  tally.check("loggers: pino writes event, fields and error", await differences(pinoLogger, "msg", send));
  tally.check("loggers: winston writes event, fields and error", await differences(winstonLogger, "message", send));
}

function pinoLogger(stream) {
  return pino({ level: "info" }, stream);
}

function winstonLogger(stream) {
  return winston.createLogger({ transports: [new winston.transports.Stream({ stream })] });
}

async function sendToNobody(Producer, brokers, logger) {
  const producer = new Producer({ brokers, logger, maxBlockMs: 300 });
  await producer.send({ topic: "orders", value: "v" }).catch(() => {});
  await producer.close();
  return brokers;
}

/** What is wrong with the lines that a logger has written; the key under which it has the event differs. */
async function differences(loggerFor, key, send) {
  let text = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const brokers = await send(loggerFor(stream));
  await new Promise((resolve) => setImmediate(resolve));
  const lines = text.trim().split("\n").map((line) => JSON.parse(line));
  const failed = lines.find((line) => line[key] === "connect_failed");
  if (failed === undefined) return [`no line with ${key} "connect_failed" in ${text}`];
  const record = lines.find((line) => line[key] === "record_failed");
  const wrong = [];
  const wanted = (name, isRight) => isRight || wrong.push(`${name} is wrong in ${text}`);
  wanted("broker", failed.broker === brokers && failed.failures === 1);
  wanted("advice", /Start a broker there/.test(failed.advice));
  wanted("error", failed.error?.name === "ConnectionError" && failed.error.code === "NETWORK_EXCEPTION");
  wanted("error.message", /ECONNREFUSED/.test(failed.error?.message));
  wanted("error.cause", failed.error?.cause?.code === "ECONNREFUSED");
  wanted("record_failed", record?.topic === "orders" && record.error?.name === "TimeoutError");
  return wrong;
}
