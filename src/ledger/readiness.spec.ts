import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { NEWEST_MIGRATION } from './readiness.js';

describe('the newest migration', () => {
  it('is the last one in the folder, so that readiness asks for it', () => {
    const names = readdirSync(join(import.meta.dirname, '..', '..', 'migrations')).sort();
    expect(names.at(-1)).toBe(`${NEWEST_MIGRATION}.sql`);
  });
});
