import type { Unsubscribe } from '../ephemeral.ts';

type Listener = (message: string) => void;

interface Channels {
  publish(channel: string, message: string): void;
  /** Calls every listener of every channel once with '': any message may have been missed. */
  publishToAll(): void;
  subscribe(channel: string, listener: Listener): Unsubscribe;
  clear(): void;
}

/** Publish and subscribe within one process. */
export function createChannels(): Channels {
  const channels = new Map<string, Set<Listener>>();
  const publish = (channel: string, message: string): void => {
    // Not in the publisher's stack, as over a network: a listener must not run inside its caller's critical steps.
    for (const listener of channels.get(channel) ?? []) {
      setImmediate(() => {
        if (channels.get(channel)?.has(listener)) listener(message);
      });
    }
  };
  return {
    publish,
    publishToAll() {
      for (const channel of channels.keys()) publish(channel, '');
    },
    subscribe(channel, listener) {
      // A function of its own, so that one listener may subscribe twice and unsubscribe once.
      const own: Listener = (message) => listener(message);
      const listeners = channels.get(channel) ?? new Set();
      channels.set(channel, listeners.add(own));
      return () => {
        listeners.delete(own);
        if (listeners.size === 0 && channels.get(channel) === listeners) channels.delete(channel);
      };
    },
    clear: () => channels.clear(),
  };
}
