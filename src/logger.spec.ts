import { describe, expect, it } from '@jest/globals';
import { createLogger } from './logger.js';

function logged(fields: object): Record<string, unknown> {
  let line = '';
  createLogger('worker', { write: (text) => (line = text) }).warn(fields, 'a test');
  return JSON.parse(line) as Record<string, unknown>;
}

describe('the log', () => {
  it.each(['err', 'error'])('shows what an error says and where it arose, under the name `%s`', (name) => {
    const { [name]: shown } = logged({ [name]: new TypeError('no body') });
    expect(shown).toMatchObject({ type: 'TypeError', message: 'no body' });
    expect(shown).toHaveProperty('stack', expect.stringContaining('logger.spec.ts'));
  });

  it('leaves alone what is no error', () => {
    expect(logged({ error: 'a word' })).toMatchObject({ error: 'a word' });
  });

  it.each(['err', 'error'])('cuts out what is secret, within an error under the name `%s` too', (name) => {
    const error = Object.assign(new Error('refused'), { token: 'hush', config: { password: 'hush' } });
    const line = logged({ [name]: error, accessToken: 'hush' });
    expect(JSON.stringify(line)).not.toContain('hush');
  });
});
