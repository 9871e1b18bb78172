import { describe, expect, it } from '@jest/globals';
import { seal, unseal } from './seal.js';

const old = { id: 'old', secret: Buffer.alloc(32, 1) };
const next = { id: 'k.2', secret: Buffer.alloc(32, 2) };

describe('sealed text', () => {
  it('opens with the key that sealed it, wherever that key stands in the ring', () => {
    const sealed = seal('refresh-token', { keys: [old] });
    expect(sealed).not.toContain('refresh-token');
    expect(unseal(sealed, { keys: [next, old] })).toBe('refresh-token');
    expect(unseal(seal('x', { keys: [next] }), { keys: [next] })).toBe('x');
  });

  it('differs each time', () => {
    expect(seal('a', { keys: [old] })).not.toBe(seal('a', { keys: [old] }));
  });

  it('refuses a changed text, an unknown key and what was never sealed', () => {
    const sealed = seal('a', { keys: [old] });
    const [id, text = ''] = sealed.split('.');
    const bytes = Buffer.from(text, 'base64url');
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      expect(() => unseal(`${id}.${changed.toString('base64url')}`, { keys: [old] })).toThrow();
    }
    expect(() => unseal(sealed, { keys: [{ id: 'old', secret: next.secret }] })).toThrow();
    expect(() => unseal(sealed, { keys: [next] })).toThrow('not set');
    expect(() => unseal('plain', { keys: [old] })).toThrow('not set');
  });
});
