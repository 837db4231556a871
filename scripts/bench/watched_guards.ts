import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { acceptToolServer } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import type { GuardsReady, RevokeAnswer, Revoked, RevokeOrder } from './guards_process.ts';
import { Installation, singleRedis } from './installation.ts';
import { type Program, startProgram } from './programs.ts';
import { RedisServer } from './redis_server.ts';

export interface WatchedGuards {
  readonly installation: Installation;
  readonly operator: ScriptedPerson;
  readonly guards: Program<GuardsReady>;
  readonly redis: RedisServer;
}

/** Eight guards of one accepted tool server, in a process of their own, on two nodes with Redis. */
export async function watchByGuards(closing: (() => Promise<unknown>)[]): Promise<WatchedGuards> {
  const redis = await RedisServer.open();
  closing.push(() => redis.kill());
  const installation = await Installation.open(singleRedis(redis.port));
  closing.push(() => installation.close());
  await installation.startNode();
  await installation.startNode();
  const operator = await installation.becomeOperator();
  const guards = await startProgram<GuardsReady>(new URL('./guards_process.ts', import.meta.url), [
    ...['--port', String(await freePort()), '--issuer', installation.issuer],
  ]);
  closing.push(() => guards.stop());
  await acceptToolServer(operator, { ...guards.ready, state: '', tool_server: '', tools: 0 });
  await tell(guards, 'ready');
  return { installation, operator, guards, redis };
}

export function tell({ process: child }: Program<GuardsReady>, order: RevokeOrder | 'ready'): Promise<Revoked> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('The guards ended.'));
    child.once('exit', ended);
    child.once('message', (answer: RevokeAnswer) => {
      child.off('exit', ended);
      if ('ms' in answer) resolve(answer);
      else reject(new Error(answer.problem));
    });
    child.send(order);
  });
}
