/**
 * A page that writes what is typed to a topic, through `sluice proxy`: a browser has WebSockets and no TCP.
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic notes &
 *     node dist/esm/bin.js proxy --allow 127.0.0.1:9092 --origin http://localhost:8000 &
 *     npx esbuild examples/browser.ts --bundle --format=esm --alias:@sluice/kafka=./mod.ts \
 *       --alias:@sluice/kafka/sockets=./src/runtime/mod.ts --external:node:* --external:cloudflare:* \
 *       --servedir=examples --outdir=examples
 *
 * Then open http://localhost:8000/browser.html. `npm run browser` does all that in a headless Chromium.
 */

import { Producer } from "@sluice/kafka";
import { webSocketConnect } from "@sluice/kafka/sockets";

/** What is used of a page here. */
interface Page {
  readonly location: { readonly search: string };
  querySelector(selector: string): Element;
  createElement(tag: string): Element;
}

interface Element {
  value: string;
  textContent: string;
  append(child: Element): void;
  addEventListener(event: string, listener: (event: { preventDefault(): void }) => void): void;
}

const page = (globalThis as unknown as { document: Page }).document;
const given = new URLSearchParams(page.location.search);
const producer = new Producer({
  brokers: given.get("brokers") ?? "127.0.0.1:9092",
  connect: webSocketConnect(given.get("proxy") ?? "ws://127.0.0.1:8080", {
    ...(given.has("token") ? { token: given.get("token")! } : {}),
  }),
  compression: "lz4",
});

const [form, input, list] = ["form", "input", "ul"].map((selector) => page.querySelector(selector)) as [
  Element,
  Element,
  Element,
];

async function send(value: string): Promise<void> {
  const line = page.createElement("li");
  line.textContent = `${value} …`;
  list.append(line);
  try {
    const { partition, offset } = await producer.send({ topic: "notes", value });
    line.textContent = `${value}: partition ${partition}, offset ${offset}`;
  } catch (error) {
    line.textContent = `${value}: ${error}`;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void send(input.value);
  input.value = "";
});
for (const value of given.getAll("send")) void send(value);
