import { Message } from '@a2a-js/sdk';
import { z } from 'zod';
import { canonicalJson } from '../../kernel/canonical_json.ts';
import type { JsonObject } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { A2A_EXTENSION_URI, A2A_MESSAGE_TOOL, a2aSaid } from '../../wire/a2a_extension.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import {
  FILENAME_CHARACTERS_MAX,
  HISTORY_LENGTH_MAX,
  MEDIA_TYPE_CHARACTERS_MAX,
  MESSAGE_ID_CHARACTERS_MAX,
  PARTS_MAX,
  REFERENCE_TASKS_MAX,
  TASK_ID_CHARACTERS_MAX,
} from './limits.ts';

const taskId = z.string().min(1).max(TASK_ID_CHARACTERS_MAX);
const record = z.record(z.string(), z.unknown());
const mediaType = z.string().max(MEDIA_TYPE_CHARACTERS_MAX);

const partSchema = z
  .strictObject({
    text: z.string().optional(),
    raw: z.base64().optional(),
    url: z.string().optional(),
    data: z.unknown().optional(),
    filename: z.string().max(FILENAME_CHARACTERS_MAX).optional(),
    mediaType: mediaType.optional(),
    metadata: record.optional(),
  })
  .refine(
    ({ text, raw, url, data }) => [text, raw, url, data ?? undefined].filter((one) => one !== undefined).length === 1,
    'must have exactly one of text, raw, url and data',
  );

/**
 * A2A 1.0 §3.2.1 and §4.1.4, by its camel-case names alone. A member that is not known here is refused: nobody would have
 * seen it, and the agent might act by it.
 */
const sentSchema = z.strictObject({
  tenant: z.literal('').optional(),
  message: z.strictObject({
    // It reaches the agent and is not part of what is approved, so it can say nothing.
    messageId: z
      .string()
      .max(MESSAGE_ID_CHARACTERS_MAX)
      .regex(/^[A-Za-z0-9._:-]+$/, 'must be of letters, digits and . _ : -'),
    role: z.literal('ROLE_USER'),
    parts: z.array(partSchema).min(1).max(PARTS_MAX),
    contextId: taskId.optional(),
    taskId: taskId.optional(),
    referenceTaskIds: z.array(taskId).max(REFERENCE_TASKS_MAX).optional(),
    metadata: record.optional(),
    extensions: z.array(z.string().max(TASK_ID_CHARACTERS_MAX)).max(PARTS_MAX).optional(),
  }),
  configuration: z
    .strictObject({
      acceptedOutputModes: z.array(mediaType).max(PARTS_MAX).optional(),
      historyLength: z.number().int().min(0).max(HISTORY_LENGTH_MAX).optional(),
      returnImmediately: z.boolean().optional(),
    })
    .optional(),
  metadata: record.optional(),
});
type SentJson = z.infer<typeof sentSchema>;
type PartJson = z.infer<typeof partSchema>;

/** A message on its way to the agent. */
export interface Sent {
  /** The tool that it counts as a call of. */
  readonly tool: string;
  /** What is decided, shown and signed. */
  readonly arguments: JsonObject;
  /** What the agent gets, made from the arguments; the conversation is filled in where it begins one. */
  readonly params: (contextId: string) => JsonObject;
  readonly contextId: string | undefined;
  readonly taskId: string | undefined;
  readonly referenceTaskIds: readonly string[];
}

export interface Reading {
  /** Which skill a message is for; `named` believes the message. */
  readonly skillOf: 'named' | ((message: Message) => string | undefined) | undefined;
  /** Schemas of the data part of structured skills, by tool. */
  readonly inputs: Readonly<Record<string, JsonObject>>;
  readonly tools: ReadonlySet<string>;
}

/** Reads the params of SendMessage and SendStreamingMessage. */
export function readSent(params: JsonObject, reading: Reading): Result<Sent, Refusal> {
  const parsed = sentSchema.safeParse(params);
  if (!parsed.success) return invalid(describe(parsed.error));
  const sent = parsed.data;
  const said = a2aSaid.safeParse(sent.message.metadata?.[A2A_EXTENSION_URI] ?? {});
  if (!said.success) return invalid(`the metadata under ${A2A_EXTENSION_URI} has members that are not known`);
  const tool = toolOf(sent, said.data.skill, reading);
  if (!reading.tools.has(tool)) return invalid(`this agent has no skill "${tool}"`);
  const input = reading.inputs[tool];
  const split = input === undefined ? accepted({ parts: sent.message.parts }) : structured(sent.message.parts, tool);
  if (!split.ok) return split;
  const args = JSON.parse(canonicalJson({ ...split.value, ...rest(sent) } as JsonObject)) as JsonObject;
  return accepted({
    tool,
    arguments: args,
    params: (contextId) => runParams(sent, args, contextId),
    contextId: sent.message.contextId,
    taskId: sent.message.taskId,
    referenceTaskIds: sent.message.referenceTaskIds ?? [],
  });
}

function toolOf(sent: SentJson, named: string | undefined, { skillOf }: Reading): string {
  if (skillOf === undefined) return A2A_MESSAGE_TOOL;
  const skill = skillOf === 'named' ? named : skillOf(Message.fromJSON(sent.message));
  return skill ?? A2A_MESSAGE_TOOL;
}

/** One data part by itself, so that policies and delegations can name its members; other parts after it. */
function structured(parts: readonly PartJson[], tool: string): Result<JsonObject, Refusal> {
  const data = parts.filter((part) => part.data !== undefined);
  const [only] = data;
  const isPlain = only?.metadata === undefined && only?.filename === undefined;
  const isJson = only?.mediaType === undefined || only.mediaType === 'application/json';
  const isObject = typeof only?.data === 'object' && !Array.isArray(only.data);
  if (data.length !== 1 || !isObject || !isPlain || !isJson) {
    return invalid(`"${tool}" takes exactly one data part, an object, without metadata of its own`);
  }
  const others = parts.filter((part) => part !== only);
  return accepted({ input: only?.data, ...(others.length === 0 ? {} : { parts: others }) } as JsonObject);
}

function rest({ message, metadata }: SentJson) {
  const { contextId, taskId, referenceTaskIds, extensions } = message;
  const own = Object.entries(message.metadata ?? {}).filter(([name]) => name !== A2A_EXTENSION_URI);
  const others = extensions?.filter((uri) => uri !== A2A_EXTENSION_URI) ?? [];
  return {
    ...(contextId === undefined ? {} : { contextId }),
    ...(taskId === undefined ? {} : { taskId }),
    ...(referenceTaskIds === undefined || referenceTaskIds.length === 0 ? {} : { referenceTaskIds }),
    ...(others.length === 0 ? {} : { extensions: others }),
    ...(own.length === 0 ? {} : { metadata: Object.fromEntries(own) }),
    ...(metadata === undefined || Object.keys(metadata).length === 0 ? {} : { requestMetadata: metadata }),
  };
}

function runParams(sent: SentJson, args: JsonObject, contextId: string): JsonObject {
  const { input, parts, requestMetadata, ...message } = args;
  const first = input === undefined ? [] : [{ data: input, mediaType: 'application/json' }];
  return {
    message: {
      ...message,
      messageId: sent.message.messageId,
      role: 'ROLE_USER',
      contextId,
      parts: [...first, ...((parts as JsonObject[] | undefined) ?? [])],
    },
    ...(sent.configuration === undefined ? {} : { configuration: sent.configuration as JsonObject }),
    ...(requestMetadata === undefined ? {} : { metadata: requestMetadata }),
  };
}

function describe(error: z.ZodError): string {
  const [issue] = error.issues;
  if (issue === undefined) return 'they are not understood';
  const place = issue.path.map(String).join('.');
  const names = issue.code === 'unrecognized_keys' ? ` (${issue.keys.join(', ')})` : '';
  return `${place === '' ? '' : `${place}: `}${issue.message.toLowerCase()}${names}`;
}

function invalid(what: string): Result<never, Refusal> {
  return refused(refusal('request_invalid', `The params of the message are refused: ${what.slice(0, 300)}.`));
}
