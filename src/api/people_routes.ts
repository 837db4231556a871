import type Router from '@koa/router';
import { findPerson, listPeopleAfter } from '../people/list_people.ts';
import type { Store } from '../store/store.ts';
import { refusal } from '../wire/refusals.ts';
import { authenticateApiToken } from './api_token_auth.ts';
import { answer, answerRefusal } from './http.ts';
import { PEOPLE_PER_PAGE_MAX } from './limits.ts';
import { TASK_API_PATH } from './task_routes.ts';

const PEOPLE_PATH = `${TASK_API_PATH}/people`;

/** Who there is, for machines that name people as owners and requesters (`people:read`): `GET …/people?after=<id>`. */
export function addPeopleRoutes(router: Router, store: Store): void {
  router.get(PEOPLE_PATH, async (ctx) => {
    const token = await authenticateApiToken(ctx, store, 'people:read');
    if (!token.ok) return answerRefusal(ctx, token.refusal);
    const after = typeof ctx.query.after === 'string' ? ctx.query.after : '';
    const people = await listPeopleAfter(store, { after, limit: PEOPLE_PER_PAGE_MAX });
    const next = people.length === PEOPLE_PER_PAGE_MAX ? people.at(-1)!.id : null;
    answer(ctx, { people: people.map((person) => ({ ...person })), next });
  });
  router.get(`${PEOPLE_PATH}/:id`, async (ctx) => {
    const token = await authenticateApiToken(ctx, store, 'people:read');
    if (!token.ok) return answerRefusal(ctx, token.refusal);
    const person = await findPerson(store, ctx.params.id ?? '');
    if (person === undefined) return answerRefusal(ctx, refusal('not_found', 'There is no person with this id.'));
    answer(ctx, { ...person });
  });
}
