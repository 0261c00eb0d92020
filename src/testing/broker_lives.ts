/**
 * Brokers that start, stop, die and are cut off.
 *
 * @module
 */

import type { Broker } from "./broker/broker.ts";
import type { Controller } from "./control/controller.ts";
import type { MemoryNetwork } from "./doubles/network.ts";

/** Starts brokers and ends them: tells the controller, and has the network in memory listen for them or not. */
export class BrokerLives {
  readonly #network: MemoryNetwork;
  readonly #controller: Controller;
  readonly #unlisten = new Map<Broker, () => void>();

  /** Every broker is running. */
  constructor(brokers: readonly Broker[], network: MemoryNetwork, controller: Controller) {
    this.#network = network;
    this.#controller = controller;
    for (const broker of brokers) this.#listen(broker);
  }

  /** Shuts a broker down in order. */
  stop(broker: Broker): void {
    if (!broker.isRunning) return;
    if (broker.isIsolated) return this.kill(broker);
    this.#controller.fence(broker.id);
    this.#down(broker);
  }

  /** Ends a broker as `kill -9` does. */
  kill(broker: Broker): void {
    if (!broker.isRunning) return;
    this.#down(broker);
    this.#controller.lose(broker.id);
  }

  /** Starts a broker again. */
  start(broker: Broker): void {
    if (broker.isRunning) return;
    this.#controller.fence(broker.id);
    broker.setRunning(true);
    broker.setIsolated(false);
    this.#listen(broker);
    this.#controller.welcome(broker.id);
  }

  /** Cuts a broker off from the others. */
  isolate(broker: Broker): void {
    if (!broker.isRunning || broker.isIsolated) return;
    broker.setIsolated(true);
    this.#controller.lose(broker.id);
  }

  /** Connects a broker with the others again. */
  heal(broker: Broker): void {
    if (!broker.isIsolated) return;
    broker.setIsolated(false);
    if (broker.isRunning) this.#controller.resume(broker.id);
  }

  /** Nobody reaches a broker any more, and their connections end. */
  close(broker: Broker): void {
    this.#unlisten.get(broker)?.();
    broker.disconnectAll();
  }

  #listen(broker: Broker): void {
    this.#unlisten.set(
      broker,
      this.#network.listen(memoryAddressOf(broker), (socket) => broker.accept(socket, "memory")),
    );
  }

  #down(broker: Broker): void {
    this.#unlisten.get(broker)?.();
    broker.setRunning(false);
    this.#network.reset(memoryAddressOf(broker));
    this.#controller.down(broker.id);
  }
}

/** Where a broker is reached in memory. */
export function memoryAddressOf(broker: Broker): string {
  const { host, port } = broker.endpoint("memory");
  return `${host}:${port}`;
}
