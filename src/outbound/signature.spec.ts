import { describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { signedHeaders } from './signature.js';

const secret = (byte: number) => `whsec_${Buffer.alloc(32, byte).toString('base64')}`;
const BODY = '{"type":"refund.created","data":{"amount":1050}}';

describe('the headers of an outbound webhook', () => {
  it('verify with each of the secrets that are good now, and with no other', () => {
    const headers = signedHeaders('msg_1', BODY, [secret(1), secret(2)], Date.now());
    expect(headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/);
    expect(new Webhook(secret(1)).verify(BODY, headers)).toEqual(JSON.parse(BODY));
    expect(new Webhook(secret(2)).verify(BODY, headers)).toEqual(JSON.parse(BODY));
    expect(() => new Webhook(secret(3)).verify(BODY, headers)).toThrow();
  });

  it('are good for this id, this body and these minutes alone', () => {
    const headers = signedHeaders('msg_1', BODY, [secret(1)], Date.now());
    const receiver = new Webhook(secret(1));
    expect(() => receiver.verify(BODY.replace('1050', '9950'), headers)).toThrow();
    expect(() => receiver.verify(BODY, { ...headers, 'webhook-id': 'msg_2' })).toThrow();
    const old = signedHeaders('msg_1', BODY, [secret(1)], Date.now() - 3_600_000);
    expect(() => receiver.verify(BODY, old)).toThrow();
  });
});
