import Router from '@koa/router';
import { refusal } from '../wire/refusals.ts';
import { refuseWith } from './answer.ts';
import { addAssetRoutes } from './assets.ts';
import { basePathOf } from './base_path.ts';
import { addAccountRoutes } from './routes/account.ts';
import { addAgentRoutes } from './routes/agents.ts';
import { addAuditRoutes } from './routes/audit.ts';
import { addEntryRoutes } from './routes/entry.ts';
import { addInboxRoutes } from './routes/inbox.ts';
import { addMessageRoutes } from './routes/messages.ts';
import { addPeopleRoutes } from './routes/people.ts';
import { addSignalRoutes } from './routes/signals.ts';
import { addStepUpRoutes } from './routes/step_ups.ts';
import { addTaskTemplateRoutes } from './routes/task_templates.ts';
import { addTaskRoutes } from './routes/tasks.ts';
import { addToolServerRoutes } from './routes/tool_servers.ts';
import { addUpstreamRoutes } from './routes/upstream.ts';
import { entrances } from './routing.ts';
import type { ConsoleParts } from './visit.ts';

/** The pages people use, as routes of the issuer. Mount it last: it also answers what leads nowhere. */
export function createConsole(parts: ConsoleParts): Router {
  const router = new Router({ prefix: basePathOf(parts.store.issuer) });
  const at = entrances(router, parts);
  addAssetRoutes(router);
  addEntryRoutes(at);
  addUpstreamRoutes(at);
  addInboxRoutes(at);
  addStepUpRoutes(at);
  addTaskRoutes(at);
  addTaskTemplateRoutes(at);
  addAgentRoutes(at);
  addToolServerRoutes(at);
  addPeopleRoutes(at);
  addAuditRoutes(at);
  addMessageRoutes(at);
  addSignalRoutes(at, parts.transmitters ?? []);
  addAccountRoutes(at);
  // Last: whatever nobody else answers.
  at.show('/{*path}', async () => refuseWith(refusal('not_found', 'This address leads nowhere.')));
  return router;
}
