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
    const changed = sealed.slice(0, -1) + (sealed.endsWith('A') ? 'B' : 'A');
    expect(() => unseal(changed, { keys: [old] })).toThrow();
    expect(() => unseal(sealed, { keys: [{ id: 'old', secret: next.secret }] })).toThrow();
    expect(() => unseal(sealed, { keys: [next] })).toThrow('not set');
    expect(() => unseal('plain', { keys: [old] })).toThrow('not set');
  });
});
