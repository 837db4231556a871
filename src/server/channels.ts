import type { Channel } from '../approvals/channel.ts';
import { readWebhookSettings } from '../approvals/channels/webhook/config.ts';
import { createWebhookChannel } from '../approvals/channels/webhook/outbound.ts';
import { CHANNEL_ANSWER_BYTES_MAX, DELIVERY_SEND_MS_MAX } from '../approvals/limits.ts';
import type { Config } from '../config.ts';
import { createSafeFetch } from '../kernel/safe_fetch.ts';

/** The channels of the configuration. Throws what says, to the operator, why one cannot be used. */
export async function openChannels(config: Config): Promise<Channel[]> {
  const webhook = await readWebhookSettings(config.channels.webhook, config.fetch_allowed_hosts);
  if (webhook === null) return [];
  const fetch = createSafeFetch({
    allowedHosts: config.fetch_allowed_hosts,
    timeoutMs: DELIVERY_SEND_MS_MAX,
    bytesMax: CHANNEL_ANSWER_BYTES_MAX,
  });
  return [createWebhookChannel(webhook, fetch)];
}
