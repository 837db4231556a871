import { newId } from '../../src/kernel/ids.ts';
import { clientAssertion } from '../../src/wire/client_assertion_rfc7523.ts';
import { GUARD_API } from '../../src/wire/guard_api.ts';
import { BASE_SCOPE } from '../../src/wire/scopes.ts';
import { type NodeWorld, newTokens } from './node_world.ts';

export interface PreparedRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What is asked of the nodes: where, what a good answer holds, and as many requests as wanted, each good once. */
export interface NodeQuestion {
  readonly name: string;
  readonly path: string;
  readonly expected: string;
  prepare(world: NodeWorld, count: number): Promise<PreparedRequest[]>;
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };

export const TOKEN: NodeQuestion = {
  name: 'token for a task',
  path: '/token',
  expected: '"access_token"',
  prepare(world, count) {
    const details = JSON.stringify([{ type: 'mcp_task', task_id: world.taskId }]);
    const fields = {
      grant_type: 'client_credentials',
      ...{ resource: world.guard.resource, scope: BASE_SCOPE, authorization_details: details },
    };
    return times(count, async () => {
      const proof = await clientAssertion(
        world.key,
        { clientId: world.agent.clientId, issuer: world.installation.issuer },
        new Date(),
      );
      return { headers: FORM, body: new URLSearchParams({ ...fields, ...proof }).toString() };
    });
  },
};

export const INTROSPECTION: NodeQuestion = {
  name: 'introspection',
  path: '/introspect',
  expected: '"active":true',
  async prepare(world, count) {
    const { caller } = await newTokens(world);
    return times(count, async () => {
      const proof = await clientAssertion(world.guard.key, world.guard, new Date());
      return { headers: FORM, body: new URLSearchParams({ token: caller, ...proof }).toString() };
    });
  },
};

export const EVALUATION: NodeQuestion = {
  name: 'evaluate, permitted',
  path: GUARD_API.evaluate,
  expected: '"decision":"permit"',
  prepare: (world, count) =>
    asGuard(world, count, GUARD_API.evaluate, (caller) => world.guard.question(caller, 'read_note', { path: 'a.md' })),
};

export const STEP_UP: NodeQuestion = {
  name: 'evaluate, step-up made',
  path: GUARD_API.evaluate,
  expected: '"decision":"step_up"',
  prepare: (world, count) =>
    asGuard(world, count, GUARD_API.evaluate, (caller) =>
      world.guard.question(caller, 'write_note', { path: `${newId('att')}.md`, content: 'x' }),
    ),
};

/** Each of `files` was approved before; taken in turn, so that no two requests at a time use the same grant. */
export function redemption(files: readonly string[]): NodeQuestion {
  return {
    name: 'redeem',
    path: GUARD_API.redeem,
    expected: '"repeated":false',
    prepare: (world, count) =>
      asGuard(world, count, GUARD_API.redeem, (caller, index) => ({
        ...world.guard.question(caller, 'write_note', { path: files[index % files.length] ?? '', content: 'x' }),
        attempt_id: newId('att'),
      })),
  };
}

async function asGuard(
  world: NodeWorld,
  count: number,
  path: string,
  question: (caller: string, index: number) => object,
): Promise<PreparedRequest[]> {
  const { caller, own } = await newTokens(world);
  return times(count, (index) => guardRequest(world, own, path, question(caller, index)));
}

export async function guardRequest(world: NodeWorld, own: string, path: string, question: object) {
  const dpop = await world.guard.proof(path, { accessToken: own });
  const headers = { authorization: `DPoP ${own}`, dpop, 'content-type': 'application/json' };
  return { headers, body: JSON.stringify(question) };
}

async function times<Value>(count: number, make: (index: number) => Promise<Value>): Promise<Value[]> {
  const made: Value[] = [];
  for (let index = 0; index < count; index += 1) made.push(await make(index));
  return made;
}
