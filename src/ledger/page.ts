export interface PageRequest {
  readonly limit: number;
  /** Where the page starts (`after`) or ends (`before`), in the order of the list; the cursor itself is not on it. */
  readonly cursor: { readonly side: 'after' | 'before'; readonly id: string } | null;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** There are more in the direction that was walked. */
  readonly hasMore: boolean;
}

/** Rows were read with one too many, and backwards where the page ends before its cursor. */
export function pageOf<T>(rows: readonly T[], page: PageRequest): Page<T> {
  const items = rows.slice(0, page.limit);
  return {
    items: page.cursor?.side === 'before' ? items.reverse() : items,
    hasMore: rows.length > page.limit,
  };
}
