import { z } from 'zod';
import type { Page, PageRequest } from '../ledger/page.js';
import { resourceId } from './field.schema.js';
import { invalidRequest } from './problem.js';

const LIMIT_MAX = 100;
const LIMIT_DEFAULT = 10;

export const paging = {
  limit: z
    .preprocess(
      (text) => (typeof text === 'string' && /^\d{1,3}$/.test(text) ? Number(text) : text),
      z.int().min(1).max(LIMIT_MAX),
    )
    .default(LIMIT_DEFAULT)
    .meta({ description: 'How many at most.' }),
  starting_after: resourceId.optional().meta({ description: 'Continue behind this id.' }),
  ending_before: resourceId.optional().meta({ description: 'The page that ends before this id.' }),
};

export const pagingQuery = z.strictObject(paging);

/** @throws Problem where both directions are asked for at once. */
export function pageRequest(query: z.output<typeof pagingQuery>): PageRequest {
  const { limit, starting_after: after, ending_before: before } = query;
  if (after !== undefined && before !== undefined) {
    throw invalidRequest('/ending_before', 'starting_after and ending_before exclude each other.');
  }
  if (after !== undefined) return { limit, cursor: { side: 'after', id: after } };
  if (before !== undefined) return { limit, cursor: { side: 'before', id: before } };
  return { limit, cursor: null };
}

export const listOf = <T extends z.ZodType>(id: string, item: T) =>
  z.object({ object: z.literal('list'), data: z.array(item), has_more: z.boolean() }).meta({
    id,
    examples: [{ object: 'list', data: item.meta()?.examples ?? [], has_more: false }],
  });

/** @throws Problem where the cursor named nothing. */
export function listResource<T, R>(page: Page<T> | null, resource: (item: T) => R, asked: PageRequest) {
  if (page === null) {
    throw invalidRequest(
      asked.cursor?.side === 'before' ? '/ending_before' : '/starting_after',
      'The cursor names nothing on this list.',
    );
  }
  return { object: 'list' as const, data: page.items.map(resource), has_more: page.hasMore };
}
