import { expect, test } from 'vitest';
import { canonicalResource } from '../../src/agents/tool_servers.ts';

test.each([
  ['https://files.example/mcp', 'https://files.example/mcp'],
  ['HTTPS://Files.Example:443/mcp', 'https://files.example/mcp'],
  ['http://127.0.0.1:80', 'http://127.0.0.1'],
  ['https://files.example/', 'https://files.example'],
  ['https://files.example', 'https://files.example'],
  ['https://files.example/mcp/', 'https://files.example/mcp/'],
  ['https://files.example/?a=b', 'https://files.example/?a=b'],
  ['https://files.example/a/../mcp', 'https://files.example/mcp'],
  ['https://files.example/MCP', 'https://files.example/MCP'],
])('%s names the resource %s', (sent, resource) => {
  expect(canonicalResource(sent)).toBe(resource);
  expect(canonicalResource(resource)).toBe(resource);
});

test.each([
  'files.example/mcp',
  '/mcp',
  '',
  'ftp://files.example/mcp',
  'javascript:alert(1)',
  'data:text/plain,x',
  'https://files.example/mcp#x',
  'https://files.example/mcp#',
  'https://ada@files.example/mcp',
  'https://:secret@files.example/mcp',
  'https://',
])('%j names none', (sent) => {
  expect(canonicalResource(sent)).toBeUndefined();
});
