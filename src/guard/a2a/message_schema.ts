import type { JsonObject } from '../../kernel/json.ts';

const text = { type: 'string' } as const;
const anything = {
  additionalProperties: true,
  items: { additionalProperties: true, items: { additionalProperties: true } },
};
const metadata = { type: 'object', additionalProperties: true } as const;

const part: JsonObject = {
  type: 'object',
  additionalProperties: false,
  properties: {
    text,
    raw: { type: 'string', contentEncoding: 'base64' },
    url: text,
    data: anything,
    filename: text,
    mediaType: text,
    metadata,
  },
};

/**
 * The arguments that a message becomes (`readSent`), as a JSON Schema. With an `input` of its own, a skill takes one data
 * part that this describes, whose members policies and delegations can name: `/input/amount`.
 */
export function messageSchema(input: JsonObject | undefined): JsonObject {
  return {
    type: 'object',
    additionalProperties: false,
    required: [input === undefined ? 'parts' : 'input'],
    properties: {
      ...(input === undefined ? {} : { input }),
      parts: { type: 'array', items: part },
      taskId: text,
      contextId: text,
      referenceTaskIds: { type: 'array', items: text },
      metadata,
      requestMetadata: metadata,
      extensions: { type: 'array', items: text },
    },
  };
}
