import type { AgentCard, AgentSkill } from '@a2a-js/sdk';
import type { JsonObject } from '../../kernel/json.ts';
import { A2A_EXTENSION_URI, A2A_MESSAGE_TOOL, A2A_VERSION, type A2AExtensionParams } from '../../wire/a2a_extension.ts';
import { authorizationServerMetadataUrl } from '../../wire/authorization_server_rfc8414.ts';
import type { ToolDefinition } from '../../wire/manifest.ts';
import { BASE_SCOPE } from '../../wire/scopes.ts';
import { SKILLS_MAX } from './limits.ts';
import { messageSchema } from './message_schema.ts';

const SCHEME = 'countersign';

export interface CardOptions {
  readonly issuer: string;
  readonly resource: string;
  readonly tokenEndpoint: string;
  readonly tools: readonly string[];
}

/** Throws TypeError for a card that promises what nothing guards. */
export function checkCard(card: AgentCard, inputs: Readonly<Record<string, JsonObject>>): void {
  const ids = card.skills.map((skill) => skill.id);
  if (ids.length > SKILLS_MAX) throw new TypeError(`The agent card has more than ${SKILLS_MAX} skills.`);
  if (ids.includes(A2A_MESSAGE_TOOL)) {
    throw new TypeError(`A skill must not have the id "${A2A_MESSAGE_TOOL}": it stands for messages without a skill.`);
  }
  if (new Set(ids).size !== ids.length || ids.includes('')) {
    throw new TypeError('Every skill of the agent card needs an id of its own.');
  }
  if (card.capabilities?.pushNotifications === true || card.capabilities?.extendedAgentCard === true) {
    throw new TypeError(
      'The agent card promises push notifications or an extended card, which the guard refuses. Leave both out.',
    );
  }
  const known = new Set([A2A_MESSAGE_TOOL, ...ids]);
  for (const name of Object.keys(inputs)) {
    if (!known.has(name)) throw new TypeError(`There is an input schema for "${name}", which is no skill of the card.`);
  }
}

/** The card as clients get it: served at the guarded address alone, by JSON-RPC, with our extension and our OAuth. */
export function guardedCard(card: AgentCard, options: CardOptions): AgentCard {
  const { issuer, resource, tools } = options;
  const params: A2AExtensionParams = { issuer, resource, tools: [...tools] };
  const extensions = (card.capabilities?.extensions ?? []).filter(({ uri }) => uri !== A2A_EXTENSION_URI);
  return {
    ...card,
    supportedInterfaces: [{ url: resource, protocolBinding: 'JSONRPC', tenant: '', protocolVersion: A2A_VERSION }],
    capabilities: {
      ...card.capabilities,
      pushNotifications: false,
      extendedAgentCard: false,
      extensions: [
        ...extensions,
        {
          uri: A2A_EXTENSION_URI,
          description:
            'Messages are decided by a Countersign server. One that a person must approve leaves its task in ' +
            'TASK_STATE_AUTH_REQUIRED, with the address where it is decided, and goes on after that.',
          // Clients that do not know it see a task that needs authorization, and the address in its message.
          required: false,
          params,
        },
      ],
    },
    securitySchemes: {
      [SCHEME]: {
        scheme: {
          $case: 'oauth2SecurityScheme',
          value: {
            description: `Access tokens of ${issuer} for the resource ${resource}, bearer or bound to a key (DPoP).`,
            flows: {
              flow: {
                $case: 'clientCredentials',
                value: {
                  tokenUrl: options.tokenEndpoint,
                  refreshUrl: '',
                  scopes: { [BASE_SCOPE]: 'What the task of the token includes.' },
                },
              },
            },
            oauth2MetadataUrl: authorizationServerMetadataUrl(issuer),
          },
        },
      },
    },
    securityRequirements: [{ schemes: { [SCHEME]: { list: [BASE_SCOPE] } } }],
    // A signature over the card as it was given would not verify.
    signatures: [],
  };
}

/** What the owner of this agent accepts, and tasks include: `message`, and each skill, as tools. */
export function toolsOf(card: AgentCard, inputs: Readonly<Record<string, JsonObject>>): ToolDefinition[] {
  const message: ToolDefinition = {
    name: A2A_MESSAGE_TOOL,
    title: `A message to ${card.name}`,
    description: card.description,
    agent: {
      name: card.name,
      version: card.version,
      ...(card.provider === undefined ? {} : { provider: plain(card.provider) }),
    },
    inputSchema: messageSchema(inputs[A2A_MESSAGE_TOOL]),
  };
  return [message, ...card.skills.map((skill) => toolOf(skill, inputs[skill.id]))];
}

function toolOf(skill: AgentSkill, input: JsonObject | undefined): ToolDefinition {
  return {
    name: skill.id,
    title: skill.name,
    description: skill.description,
    skill: { tags: skill.tags, examples: skill.examples },
    inputSchema: messageSchema(input),
  };
}

function plain(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value)) as JsonObject;
}
