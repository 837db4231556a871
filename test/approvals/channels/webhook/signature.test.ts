import { expect, test } from 'vitest';
import { parseSecret, signedHeaders } from '../../../../src/approvals/channels/webhook/signature.ts';

const base64 = (bytes: number) => Buffer.alloc(bytes, 1).toString('base64');

test('the signature is the published one of the Standard Webhooks libraries', () => {
  const key = parseSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')!;
  const message = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    body: '{"test": 2432232314}',
    sentAt: new Date(1_614_265_330_900),
  };
  expect(signedHeaders([key], message)).toEqual({
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

test('two secrets make two signatures, the current one first', () => {
  const message = { id: 'msg_a', body: '{}', sentAt: new Date() };
  const [first, second] = [parseSecret(`whsec_${base64(24)}`)!, parseSecret(`whsec_${base64(64)}`)!];
  const one = signedHeaders([first], message)['webhook-signature'];
  const other = signedHeaders([second], message)['webhook-signature'];
  expect(signedHeaders([first, second], message)['webhook-signature']).toBe(`${one} ${other}`);
  expect(one).not.toBe(other);
});

test.each([
  ['no prefix', base64(32)],
  ['another prefix', `whsk_${base64(32)}`],
  ['23 bytes', `whsec_${base64(23)}`],
  ['65 bytes', `whsec_${base64(65)}`],
  ['nothing', 'whsec_'],
  ['what is not base64', `whsec_${'!'.repeat(44)}`],
  ['text after the base64', `whsec_${base64(32)} # new`],
])('a secret with %s is none', (_, text) => expect(parseSecret(text)).toBeUndefined());
