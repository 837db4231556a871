import { html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { plural } from '../words.ts';

export interface ToolServerEntry {
  readonly id: string;
  readonly name: string;
  readonly resource: string;
  readonly state: 'pending' | 'active' | 'suspended' | 'rejected';
  readonly toolsWaiting: number;
}

export function toolServersPage(servers: readonly ToolServerEntry[]): Page {
  const body = html`<h1>Tool servers</h1>
${
  servers.length === 0
    ? html`<div class="empty"><p>Tool servers that agents may use will be listed here.</p>
<p>To add one, start a gateway before it. It registers itself and you accept it on this page:</p>
<pre class="value">countersign gateway --name files -- npx @modelcontextprotocol/server-filesystem ~/notes</pre></div>`
    : html`<ul class="list">${servers.map(
        (server) =>
          html`<li><p><a class="title" href="/tool-servers/${server.id}">${markedHtml(server.name)}</a> ${stateTag(server.state)} ${
            server.state === 'active' &&
            server.toolsWaiting > 0 &&
            html`<span class="tag danger">${plural(server.toolsWaiting, 'tool')} to look at</span>`
          }<br><code>${markedHtml(server.resource)}</code></p></li>`,
      )}</ul>`
}`;
  return { title: 'Tool servers', body, section: 'tool_servers' };
}

export function stateTag(state: ToolServerEntry['state']) {
  const words = { pending: 'waits for you', active: 'accepted', suspended: 'suspended', rejected: 'rejected' } as const;
  return html`<span class="tag">${words[state]}</span>`;
}
